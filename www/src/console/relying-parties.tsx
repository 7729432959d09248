// The relying parties that are notified of ended sessions, and the state of their notices.

import { useEffect, useState } from "preact/hooks";
import type { RelyingParty, RelyingPartyList } from "../shared/answers";
import { Card } from "../shared/card";
import { Moment } from "../shared/moment";
import { ProblemNotice } from "../shared/outcome";
import type { Answer } from "../shared/request";
import { ShownText } from "../shared/shown-text";
import { Table } from "../shared/table";
import type { Access } from "./access";

/** Requests them whenever they come into view. */
export function RelyingParties({ access, isShown }: { access: Access; isShown: boolean }) {
  const [answer, setAnswer] = useState<Answer<RelyingPartyList> | null>(null);
  const { plane, refusal } = access;
  const canAsk = plane.hasKey && refusal === null;
  useEffect(() => {
    if (isShown && canAsk) void plane.relyingParties().then(setAnswer);
  }, [isShown, canAsk, plane]);
  if (!canAsk || answer === null) return null;
  const list = answer.ok ? answer.value.relying_parties : [];
  return (
    <Card title="Relying parties">
      <p class="quiet">
        The applications with sessions of their own that are notified when a session ends. They are
        registered in the configuration or with <code>PUT /v1/relying-parties</code>.
      </p>
      {!answer.ok && <ProblemNotice problem={answer.problem} />}
      {answer.ok && list.length === 0 && <p class="quiet">No relying party is registered.</p>}
      {list.length > 0 && (
        <Table caption="Relying parties, by name" columns={COLUMNS}
          rows={list.map((one) => ({ key: one.name, cells: cells(one) }))} />
      )}
    </Card>
  );
}

function cells(one: RelyingParty) {
  const { name, audience, delivered_at: deliveredAt, last_error: error, waiting_since: since } = one;
  const address = one.backchannel_logout_uri ?? one.endpoint_url ?? "";
  return [
    <>
      <strong>{name}</strong>
      <div class="quiet small"><code><ShownText text={audience} /></code></div>
    </>,
    <>
      {one.endpoint_url ? "security events" : "back-channel logout"}
      <div class="quiet small"><code><ShownText text={address} /></code></div>
    </>,
    <>
      {one.delivered} delivered{typeof deliveredAt === "number" && <>, last <Moment at={deliveredAt} /></>}
      <div class="small">{one.refused} refused, {one.given_up} given up</div>
    </>,
    typeof since === "number" ? <>since <Moment at={since} /></> : <span class="quiet">nothing</span>,
    error ? (
      <>
        <Moment at={error.at} />: <code>{error.code}</code>
        <div class="small"><ShownText text={error.detail} /></div>
      </>
    ) : <span class="quiet">none</span>,
  ];
}

const COLUMNS = ["Relying party", "Notified by", "Notices", "Waiting", "Last error"];

// The followers that may still decide, with their positions, lags and versions. While this is shown, they are asked
// every few seconds which position they hold.

import { useEffect, useState } from "preact/hooks";
import type { Follower, FollowerList } from "../shared/answers";
import { Card } from "../shared/card";
import { count, duration } from "../shared/format";
import { ProblemNotice } from "../shared/outcome";
import type { Answer } from "../shared/request";
import { ShownText } from "../shared/shown-text";
import { Table } from "../shared/table";
import { Needs, may, type Access } from "./access";

export function Followers({ access, isShown }: { access: Access; isShown: boolean }) {
  const [answer, setAnswer] = useState<Answer<FollowerList> | null>(null);
  const canRead = may(access, "followers:read");
  const { plane } = access;
  useEffect(() => {
    if (!isShown || !canRead) return;
    const ending = { isOver: false };
    void (async () => {
      while (!ending.isOver) {
        const next = document.hidden ? null : await plane.followers();
        if (next !== null && !ending.isOver) setAnswer(next);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    })();
    return () => {
      ending.isOver = true;
    };
  }, [isShown, canRead, plane]);
  const list = answer?.ok ? answer.value : null;
  return (
    <Card title="Followers">
      <Needs access={access} scope="followers:read" to="see the followers" />
      {answer?.ok === false && canRead && <ProblemNotice problem={answer.problem} />}
      {list !== null && canRead && (
        <>
          <p role="status">
            <strong>{count(list.holding)} of {count(list.live)}</strong> followers hold the position{" "}
            <code>{list.position}</code>, the end of the log.
            {list.unidentified > 0 && ` At least ${count(list.unidentified)} more send no id, or there are too many.`}
          </p>
          <p class="quiet">
            {list.counted === "all_processes"
              ? "Every follower of this control plane that may still decide, also behind relays. "
              : "The followers of this process only: the other processes on its store have their own. "}
            A follower stays until it refuses to decide without news. Verifiers behind a cache are not known.
          </p>
          {list.followers.length > 0 && (
            <Table caption="Followers, those that hold least first" columns={COLUMNS}
              rows={list.followers.map((one) => ({ key: one.key + one.follower, cells: cells(one, list.position) }))} />
          )}
        </>
      )}
    </Card>
  );
}

function cells(one: Follower, head: string) {
  const { behind, connected, follower, name, position, refuses_in_seconds: left, sent, software } = one;
  const isThere = position === head;
  return [
    <>
      <strong>{name ? <ShownText text={name} /> : "without a name"}</strong>
      <div class="quiet small"><code>{follower}…</code> key <code><ShownText text={one.key} /></code></div>
    </>,
    <ShownText text={software || "unknown"} />,
    <>
      <span class={isThere ? "light good" : "light unknown"}>{isThere ? "all" : lagOf(position ?? null, head)}</span>
      <div class="quiet small">
        holds <code>{position ?? "nothing"}</code>{sent && sent !== position && <>, sent <code>{sent}</code></>}
      </div>
    </>,
    connected ? "connected" : `seen ${duration(one.seen_seconds_ago)} ago`,
    <>
      {typeof left === "number" ? `in ${duration(left)}` : "never"}
      {behind && (
        <div class="small">{count(behind.holding)} of {count(behind.followers)} behind it hold what it reported</div>
      )}
    </>,
  ];
}

/** By how many records of the log it is behind, if both are of one era. */
function lagOf(position: string | null, head: string): string {
  if (position === null) return "nothing";
  const [[era, seq], [headEra, headSeq]] = [position.split("."), head.split(".")];
  const apart = Number(headSeq) - Number(seq);
  return era === headEra && apart > 0 ? `${count(apart)} behind` : "behind";
}

const COLUMNS = ["Follower", "Version", "Holds", "Contact", "Without news it refuses"];
const PAUSE_MS = 3000;

// What happens now: charts, and the state of the control plane and its store.

import type { Readiness, Status } from "../shared/answers";
import { Card } from "../shared/card";
import { Needs, may, type Access } from "./access";
import { Chart, type Line } from "./chart";
import { bytes, count, duration, localTime, milliseconds, perSecond } from "../shared/format";
import { ShownText } from "../shared/shown-text";
import { newest, type History, type Moment } from "./history";
import { DurabilityWord, Facts, ProblemNotice } from "../shared/outcome";
import type { Problem } from "../shared/request";

interface Props {
  access: Access;
  history: History;
  problem: Problem | null;
}

export function Charts({ access, history, problem }: Props) {
  const times = history.moments.map(({ atSeconds }) => atSeconds);
  const line = (label: string, name: keyof Moment, format: (value: number) => string): Line => {
    const value = newest(history, name);
    const values = history.moments.map((moment) => moment[name]);
    return { label, values, newest: value === null ? "–" : format(value) };
  };
  const one = (name: keyof Moment, format: (value: number) => string) => [line("", name, format)];
  return (
    <Card title="Last five minutes" aside={<Totals history={history} />}>
      <Needs access={access} scope="metrics:read" to="see the charts" />
      {problem && may(access, "metrics:read") && <ProblemNotice problem={problem} />}
      <div class="charts" hidden={!may(access, "metrics:read")}>
        <Chart title="Revocations per second" times={times} format={perSecond}
          lines={one("revocationsPerSecond", perSecond)} />
        <Chart title="Revoke to publish" times={times} format={milliseconds} lines={[
          line("p50", "publishP50Ms", milliseconds), line("p99", "publishP99Ms", milliseconds),
        ]} />
        <Chart title="Followers" times={times} format={count} isWhole lines={[
          line("streams", "streams", count), line("long polls", "longPolls", count),
        ]} />
        <Chart title="Snapshot size" times={times} format={bytes} isLevel
          lines={one("baseBytes", bytes)} />
        <Chart title="Snapshot age" times={times} format={duration} isWhole
          lines={one("baseAgeSeconds", duration)} />
        <Chart title="Records of the log" times={times} format={count} isWhole isLevel
          lines={one("records", count)} />
      </div>
    </Card>
  );
}

export function Health({ readiness, status }: { readiness: Readiness; status: Status | null }) {
  const { store_reachable: isReachable } = readiness;
  const durability = status?.durability ?? undefined;
  const findings = readiness.findings ?? [];
  const replicas = findings.filter(({ code }) => String(code).includes("replica"));
  return (
    <Card title="Store and process">
      <Facts facts={[
        ["Serving", readiness.ready ? <Word look="good" text="ready" />
          : <Word look="bad" text="not ready" />],
        ["Store", isReachable === false ? <Word look="bad" text="does not answer" />
          : <Word look="good" text="answers" />],
        ["Durability", durability === undefined ? <span class="quiet">reported in each response</span>
          : <DurabilityWord level={durability} />],
        ["Replicas", replicas.length > 0 ? <Word look="unknown" text="see the findings" />
          : <span class="quiet">nothing found</span>],
        ["Version", status === null ? <span class="quiet">unknown</span>
          : <ShownText text={status.version} />],
      ]} />
      <h3>Findings</h3>
      {findings.length === 0 && <p class="quiet tight">The check of the store found nothing.</p>}
      {findings.map(({ code, detail, fatal }, index) => (
        <div key={index} class={`notice ${fatal ? "bad" : "unknown"}`}>
          <p class="tight"><strong>{fatal ? "Must be changed" : "Note"}</strong>{" "}
            <code><ShownText text={code} /></code></p>
          <p class="tight"><ShownText text={detail} /></p>
        </div>
      ))}
    </Card>
  );
}

function Totals({ history }: { history: History }) {
  const { revocations, entries, sinceSeconds } = history;
  const totals = [
    revocations === null ? [] : [`${count(revocations)} revocations since the process started`],
    entries === null ? [] : [`${count(entries)} entries in force`],
    sinceSeconds === null ? [] : [`collected in this page since ${localTime(sinceSeconds)}`],
  ].flat();
  return totals.length === 0 ? null : <p class="quiet small tight">{totals.join(" · ")}</p>;
}

function Word({ look, text }: { look: string; text: string }) {
  return <strong class={look}>{text}</strong>;
}

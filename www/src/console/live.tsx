// What happens now: charts, and how the control plane and its store are.

import type { Readiness, Status } from "../shared/answers";
import { Needs, may, type Access } from "./access";
import { Chart, type Line } from "./chart";
import { bytes, count, duration, milliseconds, perSecond } from "../shared/format";
import { Foreign } from "../shared/foreign";
import { newest, type History, type Moment } from "./history";
import { DurabilityWord, Facts, ProblemNotice } from "../shared/outcome";
import type { Problem } from "../shared/request";

interface Shown {
  access: Access;
  history: History;
  problem: Problem | null;
}

export function Charts({ access, history, problem }: Shown) {
  const times = history.moments.map(({ at_seconds }) => at_seconds);
  const line = (label: string, name: keyof Moment, format: (value: number) => string): Line => {
    const value = newest(history, name);
    const values = history.moments.map((moment) => moment[name]);
    return { label, values, newest: value === null ? "–" : format(value) };
  };
  const one = (name: keyof Moment, format: (value: number) => string) => [line("", name, format)];
  return (
    <section class="card" aria-labelledby="charts-title">
      <div class="heading">
        <h2 id="charts-title">Last five minutes</h2>
        <Totals history={history} />
      </div>
      <Needs access={access} scope="metrics:read" to="see the charts" />
      {problem && may(access, "metrics:read") && <ProblemNotice problem={problem} />}
      <div class="charts" hidden={!may(access, "metrics:read")}>
        <Chart title="Revocations per second" times={times} format={perSecond}
          lines={one("revocationsPerSecond", perSecond)} />
        <Chart title="Revoke to publish" times={times} format={milliseconds} lines={[
          line("p50", "publishP50_ms", milliseconds), line("p99", "publishP99_ms", milliseconds),
        ]} />
        <Chart title="Subscribers" times={times} format={count} isWhole lines={[
          line("streams", "streams", count), line("long polls", "longPolls", count),
        ]} />
        <Chart title="Snapshot size" times={times} format={bytes} isLevel
          lines={one("base_bytes", bytes)} />
        <Chart title="Snapshot age" times={times} format={duration} isWhole
          lines={one("base_age_seconds", duration)} />
        <Chart title="Records of the log" times={times} format={count} isWhole isLevel
          lines={one("seq", count)} />
      </div>
    </section>
  );
}

export function Health({ readiness, status }: { readiness: Readiness; status: Status | null }) {
  const { store_reachable } = readiness;
  const durability = status?.durability ?? undefined;
  const findings = readiness.findings ?? [];
  const replicas = findings.filter(({ code }) => String(code).includes("replica"));
  return (
    <section class="card" aria-labelledby="health-title">
      <h2 id="health-title">Store and process</h2>
      <Facts facts={[
        ["Serving", readiness.ready ? <Word look="good" text="ready" />
          : <Word look="bad" text="not ready" />],
        ["Store", store_reachable === false ? <Word look="bad" text="does not answer" />
          : <Word look="good" text="answers" />],
        ["Durability", durability === undefined ? <span class="quiet">told with each answer</span>
          : <DurabilityWord level={durability} />],
        ["Replicas", replicas.length > 0 ? <Word look="unknown" text="see the findings" />
          : <span class="quiet">nothing found</span>],
        ["Version", status === null ? <span class="quiet">not told</span>
          : <Foreign text={status.version} />],
      ]} />
      <h3>Findings</h3>
      {findings.length === 0 && <p class="quiet tight">The store's own check found nothing.</p>}
      {findings.map(({ code, detail, fatal }, index) => (
        <div key={index} class={`notice ${fatal ? "bad" : "unknown"}`}>
          <p class="tight"><strong>{fatal ? "Must be changed" : "Worth knowing"}</strong>{" "}
            <code><Foreign text={code} /></code></p>
          <p class="tight"><Foreign text={detail} /></p>
        </div>
      ))}
    </section>
  );
}

function Totals({ history }: { history: History }) {
  const told: [number | null, string][] = [
    [history.revocations, "revocations since its start"],
    [history.entries, "entries in force"],
    [history.users, "users with a version"],
  ];
  const known = told.filter(([value]) => value !== null);
  if (known.length === 0) return null;
  return (
    <p class="quiet small tight">
      {known.map(([value, name]) => `${count(value ?? 0)} ${name}`).join(" · ")}
    </p>
  );
}

function Word({ look, text }: { look: string; text: string }) {
  return <strong class={look}>{text}</strong>;
}

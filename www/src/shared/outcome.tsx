// How answers are shown: what was recorded, or what went wrong.

import type { ComponentChildren } from "preact";
import type { Accepted } from "./answers";
import type { Answer, Problem } from "./request";
import { count, milliseconds } from "./format";
import { Moment } from "./moment";
import { ShownText } from "./shown-text";

/** A place for the newest answer; screen readers announce it. */
export function Outcome({ answer, done }: { answer: Answer<Accepted> | null; done: string }) {
  return (
    <div role="status">
      {answer?.ok && <Recorded accepted={answer.value} tookMs={answer.tookMs} done={done} />}
      {answer?.ok === false && <ProblemNotice problem={answer.problem} />}
    </div>
  );
}

function Recorded(
  { accepted, tookMs, done }: { accepted: Accepted; tookMs: number; done: string },
) {
  const { position, durability, repeated, sessions_ended: ended, until, selector } = accepted;
  return (
    <div class="notice good">
      <p class="tight">
        <strong>{repeated ? "Already recorded; nothing was recorded twice." : done}</strong>
      </p>
      <Facts facts={[
        ["Position", <code>{position}</code>],
        ["Durability", <DurabilityWord level={durability} />],
        ...(ended === undefined || ended === null ? []
          : [["Sessions ended", count(ended)] as [string, string]]),
        ...(until === undefined || until === null ? []
          : [["Stays until", <Moment at={until} />] as [string, ComponentChildren]]),
        ...(selector === undefined || selector === null ? []
          : [["Looked up by", <Selector paths={selector} />] as [string, ComponentChildren]]),
        ["Took", milliseconds(tookMs)],
      ]} />
    </div>
  );
}

interface ProblemProps {
  problem: Problem;
  /** What to say if the request may have been done, where it must not be repeated. */
  inDoubt?: string;
}

export function ProblemNotice({ problem, inDoubt }: ProblemProps) {
  const { status, code, detail } = problem;
  const words = inDoubt !== undefined && mayBeDone(problem) ? inDoubt : headline(problem);
  return (
    <div class="notice bad">
      <p class="tight"><strong>{words}</strong></p>
      <p class="tight"><ShownText text={detail} /></p>
      <p class="tight quiet small">
        <code><ShownText text={code} /></code>{status > 0 && <>, HTTP {status}</>}
      </p>
    </div>
  );
}

export function DurabilityWord({ level }: { level: string }) {
  const meaning = DURABILITIES[level];
  return <><strong><ShownText text={level} /></strong>{meaning && <>: {meaning}</>}</>;
}

/** The claims by which verifiers look something up, such as `azp + sub`. */
export function Selector({ paths }: { paths: readonly string[] }) {
  return <code><ShownText text={paths.join(" + ")} /></code>;
}

/** Names and values, side by side. */
export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}

function headline({ status, code }: Problem): string {
  if (status === 0) return "No answer. It is unknown whether this was done; you can repeat it safely.";
  if (status === 401) return "The API key was not accepted.";
  if (status === 403) return "The API key may not do this.";
  if (code === "starting") return "The control plane is starting. Nothing was done.";
  if (code === "store_full") return "The store is full. Nothing was recorded.";
  if (code === "store_unavailable") return "The store does not answer. Nothing was acknowledged.";
  if (status >= 500) return "The control plane cannot do this now.";
  return "The control plane refused this.";
}

/** True if it is unknown whether the control plane did what the request asked for. */
export function mayBeDone({ status, code }: Problem): boolean {
  if (code === "starting" || code === "store_full") return false;
  return status < 300 || status >= 500;
}

const DURABILITIES: Record<string, string> = {
  memory: "lost if the store's process ends",
  replicated: "replicas of the store have it, too",
  synced: "flushed to disk before the answer",
  written: "a power cut may lose the last second",
};

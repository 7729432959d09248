// What the console follows: readiness, metrics and the newest requests, in one round a second.

import { useEffect, useRef, useState } from "preact/hooks";
import type { LogPage, Readiness } from "../shared/answers";
import { may, type Access } from "./access";
import { EMPTY_HISTORY, extended, type History } from "./history";
import { withNewest, withOlder, type Log } from "./log-pages";
import { parseMetrics } from "./metrics";
import { usePolling, type Polling } from "./polling";
import { nowSeconds, type Problem, type Whereabouts } from "../shared/request";

export interface Live {
  where: Whereabouts<Readiness> | null;
  /** The last known readiness, even if the control plane does not answer now. */
  readiness: Readiness | null;
  history: History;
  metricsProblem: Problem | null;
  log: Log | null;
  logProblem: Problem | null;
  polling: Polling;
  older(next: number): Promise<Problem | null>;
}

export function useLive(access: Access, isShown: boolean): Live {
  const [seen, setSeen] = useState<Seen>(NOTHING_SEEN);
  const { plane } = access;
  // An answer to the key of an earlier sign-in must not be shown.
  const current = useRef(plane);
  current.current = plane;
  /** The position at which the log was fetched. */
  const logAt = useRef<string | null>(null);
  const put = (change: (before: Seen) => Partial<Seen>) => {
    if (plane === current.current) setSeen((before) => ({ ...before, ...change(before) }));
  };
  useEffect(() => {
    logAt.current = null;
    setSeen(({ where, readiness }) => ({ ...NOTHING_SEEN, where, readiness }));
  }, [plane]);
  const round = async () => {
    const where = await plane.readiness();
    const readiness = where.place === "control_plane" ? where.readiness : null;
    put((before) => ({ where, readiness: readiness ?? before.readiness }));
    // A starting process answers nothing else, but it answers: the pauses stay short.
    if (readiness === null) return where.place === "starting";
    if (access.isTrying) return true;
    await access.identify();
    if (may(access, "metrics:read")) {
      const answer = await plane.metrics();
      put(({ history }) => !answer.ok ? { metricsProblem: answer.problem }
        : { metricsProblem: null, history: scraped(history, answer.value) });
      if (!answer.ok && answer.problem.status === 0) return false;
    }
    if (may(access, "revocations:read") && readiness.position !== logAt.current) {
      const answer = await plane.log(null);
      if (plane !== current.current) return true;
      if (!answer.ok) put(() => ({ logProblem: answer.problem }));
      else put(({ log }) => ({ logProblem: null, log: withNewest(log, answer.value) }));
      if (answer.ok) logAt.current = newestOf(answer.value) ?? readiness.position;
      return answer.ok || answer.problem.status === 403;
    }
    return true;
  };
  const polling = usePolling(isShown, round);
  const older = async (next: number) => {
    const answer = await plane.log(next);
    if (!answer.ok) return answer.problem;
    put(({ log }) => ({ log: log === null ? null : withOlder(log, answer.value) }));
    return null;
  };
  return { ...seen, polling, older };
}

function scraped(history: History, text: string): History {
  return extended(history, parseMetrics(text), Date.now() / 1000, nowSeconds());
}

/** The log may be ahead of the readiness that was fetched before it. */
function newestOf({ requests }: LogPage): string | undefined {
  return requests[0]?.position;
}

type Seen = Omit<Live, "polling" | "older">;
const NOTHING_SEEN: Seen = {
  where: null,
  readiness: null,
  history: EMPTY_HISTORY,
  metricsProblem: null,
  log: null,
  logProblem: null,
};

// The last five minutes, as the charts show them.

import { quantile, rate, total, type Samples } from "./metrics";

/** One scrape, as far as it is drawn. What the control plane does not export is null. */
export interface Moment {
  at_seconds: number;
  revocationsPerSecond: number | null;
  base_bytes: number | null;
  base_age_seconds: number | null;
  seq: number | null;
  streams: number | null;
  longPolls: number | null;
  publishP50_ms: number | null;
  publishP99_ms: number | null;
}

export interface History {
  moments: readonly Moment[];
  /** What the next scrape is compared with. */
  last: { samples: Samples; at_seconds: number } | null;
  /** What is a single number now. */
  entries: number | null;
  users: number | null;
  revocations: number | null;
}

export const EMPTY_HISTORY: History = {
  moments: [], last: null, entries: null, users: null, revocations: null,
};

export function extended(
  history: History,
  samples: Samples,
  at_seconds: number,
  planeNow_seconds: number,
): History {
  const { last } = history;
  const moment = read(samples, last, at_seconds, planeNow_seconds);
  const moments = history.moments.filter((one) => one.at_seconds >= at_seconds - SHOWN_SECONDS);
  // A line through a time in which nobody looked would be made up.
  if (last !== null && at_seconds - last.at_seconds > GAP_SECONDS) {
    moments.push({ ...NOTHING, at_seconds: last.at_seconds + 1 });
  }
  return {
    moments: [...moments, moment],
    last: { samples, at_seconds },
    entries: total(samples, "offswitch_entries"),
    users: total(samples, "offswitch_users"),
    revocations: total(samples, REVOCATIONS),
  };
}

/** The newest value that is known. */
export function newest(history: History, name: keyof Moment): number | null {
  return history.moments.at(-1)?.[name] ?? null;
}

function read(
  samples: Samples,
  last: History["last"],
  at_seconds: number,
  planeNow_seconds: number,
): Moment {
  const before = last?.samples ?? null;
  const seconds = last === null ? 0 : at_seconds - last.at_seconds;
  // A counter that was never raised is not exported.
  const revocations = total(samples, REVOCATIONS) ?? 0;
  const earlier = before === null ? null : (total(before, REVOCATIONS) ?? 0);
  const issuedAt = total(samples, "offswitch_base_issued_at_seconds");
  const publish = (q: number) => {
    const value_seconds = quantile(samples, before, "offswitch_publish_seconds", q);
    return value_seconds === null ? null : value_seconds * 1000;
  };
  return {
    at_seconds,
    revocationsPerSecond: rate(earlier, revocations, seconds),
    base_bytes: total(samples, "offswitch_base_bytes"),
    base_age_seconds: issuedAt === null ? null : Math.max(0, planeNow_seconds - issuedAt),
    seq: total(samples, "offswitch_records_folded_total"),
    streams: total(samples, "offswitch_followers", { kind: "stream" }),
    longPolls: total(samples, "offswitch_followers", { kind: "long_poll" }),
    publishP50_ms: publish(0.5),
    publishP99_ms: publish(0.99),
  };
}

const NOTHING: Omit<Moment, "at_seconds"> = {
  revocationsPerSecond: null,
  base_bytes: null,
  base_age_seconds: null,
  seq: null,
  streams: null,
  longPolls: null,
  publishP50_ms: null,
  publishP99_ms: null,
};
export const SHOWN_SECONDS = 300;
const GAP_SECONDS = 5;
const REVOCATIONS = "offswitch_revocations_total";

// The last five minutes, for the charts. The page collects them itself while it is open.

import { quantile, rate, total, type Samples } from "./metrics";

/** One scrape, as far as the charts show it. What the control plane does not export is null. */
export interface Moment {
  atSeconds: number;
  revocationsPerSecond: number | null;
  baseBytes: number | null;
  baseAgeSeconds: number | null;
  records: number | null;
  streams: number | null;
  longPolls: number | null;
  publishP50Ms: number | null;
  publishP99Ms: number | null;
}

export interface History {
  moments: readonly Moment[];
  /** The first scrape, unix seconds. */
  sinceSeconds: number | null;
  /** The next scrape is compared with this one. */
  last: { samples: Samples; atSeconds: number } | null;
  /** The current totals. */
  entries: number | null;
  revocations: number | null;
}

export const EMPTY_HISTORY: History = {
  moments: [], sinceSeconds: null, last: null, entries: null, revocations: null,
};

export function extended(
  history: History,
  samples: Samples,
  atSeconds: number,
  planeNowSeconds: number,
): History {
  const { last } = history;
  const moment = read(samples, last, atSeconds, planeNowSeconds);
  const moments = history.moments.filter((one) => one.atSeconds >= atSeconds - SHOWN_SECONDS);
  // Without scrapes there is no line.
  if (last !== null && atSeconds - last.atSeconds > GAP_SECONDS) {
    moments.push({ ...NOTHING, atSeconds: last.atSeconds + 1 });
  }
  return {
    moments: [...moments, moment],
    sinceSeconds: history.sinceSeconds ?? atSeconds,
    last: { samples, atSeconds },
    entries: total(samples, "offswitch_entries"),
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
  atSeconds: number,
  planeNowSeconds: number,
): Moment {
  const before = last?.samples ?? null;
  const seconds = last === null ? 0 : atSeconds - last.atSeconds;
  // A counter that was never incremented is not exported.
  const revocations = total(samples, REVOCATIONS) ?? 0;
  const earlier = before === null ? null : (total(before, REVOCATIONS) ?? 0);
  const issuedAt = total(samples, "offswitch_base_issued_at_seconds");
  const publishMs = (q: number) => {
    const valueSeconds = quantile(samples, before, "offswitch_publish_seconds", q);
    return valueSeconds === null ? null : valueSeconds * 1000;
  };
  return {
    atSeconds,
    revocationsPerSecond: rate(earlier, revocations, seconds),
    baseBytes: total(samples, "offswitch_base_bytes"),
    baseAgeSeconds: issuedAt === null ? null : Math.max(0, planeNowSeconds - issuedAt),
    records: total(samples, "offswitch_records_folded_total"),
    streams: total(samples, "offswitch_followers", { kind: "stream" }),
    longPolls: total(samples, "offswitch_followers", { kind: "long_poll" }),
    publishP50Ms: publishMs(0.5),
    publishP99Ms: publishMs(0.99),
  };
}

const NOTHING: Omit<Moment, "atSeconds"> = {
  revocationsPerSecond: null,
  baseBytes: null,
  baseAgeSeconds: null,
  records: null,
  streams: null,
  longPolls: null,
  publishP50Ms: null,
  publishP99Ms: null,
};
export const SHOWN_SECONDS = 300;
const GAP_SECONDS = 5;
const REVOCATIONS = "offswitch_revocations_total";

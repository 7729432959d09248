// Times in claims. They are seconds since 1970; some issuers write milliseconds.

import { isTime } from "../shared/format";

/** Unix seconds of a time claim, and whether it was written in milliseconds. */
export function timeOf(value: number): { seconds: number; isMilliseconds: boolean } | undefined {
  const isMilliseconds = isInMilliseconds(value);
  const seconds = isMilliseconds ? value / 1000 : value;
  return isTime(seconds) ? { seconds, isMilliseconds } : undefined;
}

/** No token is issued after the year 5000, so a larger number has another unit. */
export function isInMilliseconds(value: number): boolean {
  return Number.isFinite(value) && Math.abs(value) > 100_000_000_000;
}

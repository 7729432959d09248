// Times as people read them. Claims have seconds since 1970; some issuers send milliseconds.

/** Unix seconds of a time claim, and whether it was written in milliseconds. */
export function timeOf(value: number): { seconds: number; isMilliseconds: boolean } | undefined {
  const isMilliseconds = isInMilliseconds(value);
  const seconds = isMilliseconds ? value / 1000 : value;
  const isTime = Number.isFinite(seconds) && Math.abs(seconds) <= MAX_SECONDS;
  return isTime ? { seconds, isMilliseconds } : undefined;
}

/** No token is issued after the year 5000, so what lies beyond was meant otherwise. */
export function isInMilliseconds(value: number): boolean {
  return Number.isFinite(value) && Math.abs(value) > 100_000_000_000;
}

export function localTime(seconds: number): string {
  return local.format(seconds * 1000);
}

export function utcTime(seconds: number): string {
  const text = new Date(Math.floor(seconds) * 1000).toISOString();
  return text.replace("T", " ").replace(".000Z", " UTC");
}

/** Such as "in 9 min 58 s" or "2 h 4 min ago". */
export function relativeTime(seconds: number, now: number): string {
  const apart = Math.round(seconds) - Math.floor(now);
  if (apart === 0) return "now";
  const span = duration(Math.abs(apart));
  return apart > 0 ? `in ${span}` : `${span} ago`;
}

/** The two largest units of a span. */
export function duration(seconds: number): string {
  let rest = Math.floor(seconds);
  const parts: string[] = [];
  for (const [name, size] of UNITS) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count} ${count === 1 ? name.replace(/(?<=.)s$/, "") : name}`);
    else if (parts.length > 0) break;
    rest %= size;
    if (parts.length === 2) break;
  }
  return parts.length > 0 ? parts.join(" ") : "0 s";
}

const local = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});
const UNITS: Array<[name: string, seconds: number]> =
  [["years", 31_557_600], ["days", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
const MAX_SECONDS = 8_640_000_000_000;

// Numbers, sizes and times as people read them. Both views use these functions.

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-GB");
}

export function perSecond(value: number): string {
  return value >= 100 ? count(value) : String(Number(value.toPrecision(2)));
}

/** Such as "4.2 KiB". */
export function bytes(sizeBytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function milliseconds(value: number): string {
  if (value >= 10_000) return `${Math.round(value / 1000)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 10) return `${Math.round(value)} ms`;
  if (value >= 0.1 || value === 0) return `${Number(value.toFixed(1))} ms`;
  return `${Math.round(value * 1000)} µs`;
}

/** The two largest units of a time span, such as "2 days 3 h". */
export function duration(seconds: number): string {
  let rest = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [name, size] of UNITS) {
    const amount = Math.floor(rest / size);
    if (amount > 0) parts.push(`${amount} ${amount === 1 ? name.replace(/(?<=.)s$/, "") : name}`);
    else if (parts.length > 0) break;
    rest %= size;
    if (parts.length === 2) break;
  }
  return parts.length > 0 ? parts.join(" ") : "0 s";
}

/** Such as "in 9 min 58 s" or "2 h 4 min ago". */
export function relativeTime(seconds: number, nowSeconds: number): string {
  const apart = Math.round(seconds) - Math.floor(nowSeconds);
  if (apart === 0) return "now";
  const span = duration(Math.abs(apart));
  return apart > 0 ? `in ${span}` : `${span} ago`;
}

/** Date and time in the reader's time zone. */
export function localTime(seconds: number): string {
  return LOCAL.format(seconds * 1000);
}

export function utcTime(seconds: number): string {
  const text = new Date(Math.floor(seconds) * 1000).toISOString();
  return text.replace("T", " ").replace(".000Z", " UTC");
}

/** True for unix seconds that a Date can hold. */
export function isTime(seconds: unknown): seconds is number {
  return typeof seconds === "number" && Math.abs(seconds) <= MAX_SECONDS;
}

/** The length of a text in UTF-8. */
export function sizeBytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

const LOCAL = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
  second: "2-digit",
});
const UNITS: Array<[name: string, seconds: number]> =
  [["years", 31_557_600], ["days", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
const MAX_SECONDS = 8_640_000_000_000;

// Numbers and times as people read them.

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-GB");
}

export function perSecond(value: number): string {
  return value >= 100 ? count(value) : String(Number(value.toPrecision(2)));
}

export function bytes(size_bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let value = size_bytes;
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

/** A stretch of time by its two largest units. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ] as const;
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first === -1) return "0 s";
  const shown = parts.slice(first, first + 2).filter(([amount]) => amount > 0);
  return shown.map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

/** A number of bytes in UTF-8. */
export function sizeBytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** A Date, unless the seconds are beyond what one can hold. */
export function dateOf(seconds: unknown): Date | null {
  const isDate = typeof seconds === "number" && Math.abs(seconds) <= 8_640_000_000_000;
  return isDate ? new Date(seconds * 1000) : null;
}

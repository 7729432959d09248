// Reads the text format of Prometheus (version 0.0.4), as far as the console needs it.

export type Labels = Record<string, string>;

/** Every sample of one scrape, by name. */
export type Samples = Map<string, { labels: Labels; value: number }[]>;

/** Lines that cannot be read are ignored. */
export function parseMetrics(text: string): Samples {
  const samples: Samples = new Map();
  for (const line of text.split("\n")) {
    const match = SAMPLE.exec(line.trim());
    if (match === null) continue;
    const [, name = "", labels = "", number = ""] = match;
    const value = numberOf(number);
    if (Number.isNaN(value)) continue;
    const list = samples.get(name);
    const sample = { labels: parseLabels(labels), value };
    if (list === undefined) samples.set(name, [sample]);
    else list.push(sample);
  }
  return samples;
}

/** The sum of the samples that have these labels; nothing if there is none. */
export function total(samples: Samples, name: string, labels: Labels = {}): number | null {
  const values = matching(samples, name, labels).map(({ value }) => value);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0);
}

/** How fast a counter grows. A counter that fell has started again from zero, like its process. */
export function rate(before: number | null, after: number | null, seconds: number): number | null {
  if (before === null || after === null || !(seconds > 0)) return null;
  return (after >= before ? after - before : after) / seconds;
}

/**
 * A quantile, from a summary or from a histogram's buckets. Of a histogram it is that of what came
 * since `before`. Nothing if nothing was observed.
 */
export function quantile(
  samples: Samples,
  before: Samples | null,
  name: string,
  q: number,
): number | null {
  const buckets = matching(samples, `${name}_bucket`, {});
  if (buckets.length > 0) return bucketQuantile(buckets, before?.get(`${name}_bucket`) ?? [], q);
  const summary = matching(samples, name, {}).find(({ labels }) => Number(labels["quantile"]) === q);
  // A summary drops old values, and is 0 when it has dropped all of them.
  return summary === undefined || summary.value === 0 ? null : summary.value;
}

function bucketQuantile(buckets: Sample[], before: Sample[], q: number): number | null {
  const earlier = sumByBound(before);
  const now = sumByBound(buckets);
  const isReset = [...now].some(([bound, value]) => value < (earlier.get(bound) ?? 0));
  const counts = [...now]
    .map(([bound, value]) => [bound, value - (isReset ? 0 : (earlier.get(bound) ?? 0))] as const)
    .sort(([one], [other]) => one - other);
  const all = counts.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  let [from, below] = [0, 0];
  for (const [bound, upTo] of counts) {
    if (upTo >= q * all) {
      if (bound === Infinity) return from;
      const share = upTo > below ? (q * all - below) / (upTo - below) : 1;
      return from + (bound - from) * share;
    }
    [from, below] = [bound, upTo];
  }
  return null;
}

function sumByBound(buckets: Sample[]): Map<number, number> {
  const sums = new Map<number, number>();
  for (const { labels, value } of buckets) {
    const bound = numberOf(labels["le"] ?? "");
    if (!Number.isNaN(bound)) sums.set(bound, (sums.get(bound) ?? 0) + value);
  }
  return sums;
}

function matching(samples: Samples, name: string, labels: Labels): Sample[] {
  const wanted = Object.entries(labels);
  const all = samples.get(name) ?? [];
  return all.filter((sample) => wanted.every(([key, value]) => sample.labels[key] === value));
}

function parseLabels(text: string): Labels {
  const labels: Labels = Object.create(null);
  for (const [, name = "", value = ""] of text.matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char));
  }
  return labels;
}

function numberOf(text: string): number {
  if (/^\+?inf$/i.test(text)) return Infinity;
  return text === "" ? Number.NaN : Number(text);
}

type Sample = { labels: Labels; value: number };
const SAMPLE = /^([A-Za-z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"/g;

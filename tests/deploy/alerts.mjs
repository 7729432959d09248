// The alert rules, and the metrics that a PromQL expression names.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ROOT } from "../support/fixture.mjs";

export const ALERTS_FILE = join(ROOT, "deploy/prometheus/alerts.yaml");

/** Every rule of the file. */
export const alerts = parse(readFileSync(ALERTS_FILE, "utf8")).groups.flatMap(({ rules }) => rules);

/**
 * The selectors of an expression, such as `offswitch_ready` or `up{job="offswitch"}`. A metric of a histogram has its
 * suffix.
 *
 * @param {string} expression @returns {string[]}
 */
export function selectorsIn(expression) {
  const found = expression.matchAll(/\b(?:offswitch_[a-z_]+|up)\b(?:\{(?:[^"}]|"[^"]*")*\})?/g);
  return [...new Set(Array.from(found, ([selector]) => selector))];
}

/** The names of its metrics, as docs/reference/metrics.md has them. @param {string} expression */
export function metricsIn(expression) {
  return selectorsIn(expression).map((selector) => selector.split("{")[0].replace(/_(?:bucket|sum|count)$/, ""));
}

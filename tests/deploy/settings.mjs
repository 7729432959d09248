// The variables of the control plane and of the guard, as the reference lists them.

import { readText } from "../documents/files.mjs";

const keysOf = (page) => Array.from(readText(page).matchAll(/^\| `([a-z_]+)` \|/gm), ([, key]) => key.toUpperCase());
const KNOWN = new Set([
  "OFFSWITCH_CONFIG",
  ...keysOf("docs/reference/configuration.md").map((key) => `OFFSWITCH_${key}`),
  ...keysOf("docs/reference/guard.md").map((key) => `OFFSWITCH_GUARD_${key}`),
]);

/** Those of `names` that no page of the reference has. @param {string[]} names */
export function unknownVariables(names) {
  return names.filter((name) => name.startsWith("OFFSWITCH_") && !KNOWN.has(name));
}

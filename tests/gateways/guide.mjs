// The configurations in docs/guides/gateways are what the tests run: only addresses and paths are replaced.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/fixture.mjs";

/**
 * The file `name` of a guide: the code block below the line that begins with "`name`".
 *
 * @param {string} guide such as `nginx` @param {string} name @param {Record<string, string>} replaced
 */
export function fileOf(guide, name, replaced) {
  const page = readFileSync(join(ROOT, `docs/guides/gateways/${guide}.md`), "utf8");
  const [, after] = page.split(`\n\`${name}\``);
  const block = after?.split("\n```")[1];
  if (block === undefined) throw new Error(`${guide}.md has no file ${name}`);
  let text = block.slice(block.indexOf("\n") + 1);
  for (const [documented, actual] of Object.entries(replaced)) {
    if (!text.includes(documented)) throw new Error(`${name} of ${guide}.md does not name ${documented}`);
    text = text.replaceAll(documented, actual);
  }
  return `${text}\n`;
}

// The findings of axe-core in a page, and whether the page fits a narrow screen.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

/** Fails on serious or critical findings in the current view, in the light and the dark theme. */
export async function assertAccessible(page, what) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await graveOf(page), [], `${what}, ${colorScheme}`);
  }
}

/** The serious or critical findings in the current view. */
export async function graveOf(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, impact, nodes }) => ({
      id, impact, places: nodes.map(({ html, failureSummary }) => `${html}: ${failureSummary}`),
    }));
  });
  return found.filter(({ impact }) => ["critical", "serious"].includes(impact));
}

/** Fails if a screen of 320 px must be scrolled sideways. */
export async function assertNarrow(page, what) {
  await page.setViewportSize({ width: 320, height: 640 });
  const { wide, beyond } = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const sticksOut = (one) => one.getBoundingClientRect().right > clientWidth + 1;
    const all = [...document.querySelectorAll("main *")].filter(sticksOut);
    const beyond = all.slice(0, 5).map((one) => one.outerHTML.slice(0, 200));
    return { wide: scrollWidth - clientWidth, beyond };
  });
  assert.ok(wide <= 0, `${what} sticks out by ${wide} px: ${beyond.join("\n")}`);
  await page.setViewportSize({ width: 1280, height: 800 });
}

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

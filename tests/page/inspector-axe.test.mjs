// The findings of axe-core in the inspector, and its view on a narrow screen.

import assert from "node:assert/strict";
import { graveOf } from "./axe.mjs";
import { says, servePage } from "./open.mjs";
import { inspectorOf, plainClaims, unsigned } from "./inspector.mjs";

const { pageTest } = await servePage();

/** The states of the page that are checked. */
const STATES = {
  empty: async () => {},
  "with a verified token": async (page) => {
    await inspectorOf(page).button("Try an example").click();
    await says(inspectorOf(page).state, /Signed/);
  },
  "with every problem": async (page) => {
    const inspector = inspectorOf(page);
    const token = unsigned(plainClaims({ exp: 1, email: "a@b.test", long: "x".repeat(500), rtl: "\u202ea" }));
    await page.getByText("Compare with another token").click();
    await inspector.field("The other token").fill(`${unsigned({ sub: "b" }).slice(0, -3)}*`);
    await page.getByRole("checkbox", { name: /^Follow a feed/ }).check();
    await inspector.verify({ token: `${token}*`, keys: "a secret" });
    await inspector.button("Link with this token").click();
    await says(inspector.state, /not verified/);
  },
};
for (const colorScheme of ["light", "dark"]) {
  for (const width of [320, 1280]) {
    // WCAG 1.4.10 requires that nothing is lost to the side at a width of 320 pixels.
    pageTest(`${colorScheme}, ${width} pixels wide: nothing serious, nothing to scroll sideways`, async (page) => {
      for (const [state, bring] of Object.entries(STATES)) {
        await bring(page);
        assert.deepEqual(await graveOf(page), [], state);
        const { wide, narrow } = await page.evaluate(() => ({
          wide: document.documentElement.scrollWidth, narrow: document.documentElement.clientWidth,
        }));
        assert.ok(wide <= narrow, `${state}: ${wide} in ${narrow} pixels`);
      }
    }, { context: { colorScheme, viewport: { width, height: 800 } } });
  }
}

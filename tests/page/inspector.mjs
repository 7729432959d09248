// Shared by the tests of the inspector: its parts by role and name, and tokens.

import { now } from "../support/fixture.mjs";

/** The parts of the inspector, by the roles and names that users and screen readers see. */
export function inspectorOf(page) {
  const button = (name) => page.getByRole("button", { name, exact: true });
  const field = (name) => page.getByLabel(name, { exact: true });
  const part = (name) => page.getByRole("region", { name });
  return {
    button,
    field,
    part,
    token: page.getByRole("textbox", { name: "Token", exact: true }),
    keys: page.getByRole("textbox", { name: "Keys", exact: true }),
    state: part("State of the token"),
    tokenCard: part("The token"),
    header: part(/^Header/),
    claims: part(/^Claims/),
    warnings: part(/^Warnings/),
    verifying: page.getByRole("form", { name: "Verify" }),
    /** The row of a claim or header member. */
    row: (name) => page.getByRole("row").filter({
      has: page.getByRole("rowheader", { name, exact: true }),
    }),
    /** Each check as `[name, result, code]`. */
    steps: async () => {
      const shown = await part("Why, step by step").getByRole("listitem").allInnerTexts();
      return shown.map((text) => {
        const pattern = /^(?:\S\s+)?(.+?) (passed|refused|undecided|not reached)(?: (\w+))?$/m;
        return pattern.exec(text)?.slice(1) ?? [text];
      });
    },
    verify: async ({ token, keys }) => {
      await page.getByRole("textbox", { name: "Token", exact: true }).fill(token);
      const text = typeof keys === "string" ? keys : JSON.stringify(keys);
      await page.getByRole("textbox", { name: "Keys", exact: true }).fill(text);
      await button("Verify").click();
    },
  };
}

/** A segment of a token with `value`: text and bytes unchanged, everything else as JSON. */
export function segment(value) {
  const isRaw = typeof value === "string" || Buffer.isBuffer(value);
  return Buffer.from(isRaw ? value : JSON.stringify(value)).toString("base64url");
}

/** A token without a valid signature. */
export function unsigned(claims, header = { alg: "EdDSA", kid: "k", typ: "at+jwt" }) {
  return `${segment(header)}.${segment(claims)}.${segment("no signature")}`;
}

/** Claims without anything unusual. */
export const plainClaims = (more = {}) => ({
  iss: "https://issuer.test", sub: "alice", aud: "api", jti: "one", iat: now() - 10,
  exp: now() + 600, ...more,
});

// Shared by the tests of the console: its parts by role and name, and a verifier.

import assert from "node:assert/strict";
import { after } from "node:test";
import { createVerifier } from "offswitch";
import { becomes, says } from "./open.mjs";

/** Declares tests that begin in the console of `plane`, signed in with its admin key. */
export function consoleTests(pageTest, plane) {
  return (name, run, { apiKey = plane.apiKey, expects = [], ...more } = {}) =>
    pageTest(name, async (page) => {
      const it = consoleOf(page);
      await it.use(apiKey);
      await run(it, page);
    }, { at: `${plane.url}/#console`, expects, ...more });
}

/** The parts of the console, by the roles and names that users and screen readers see. */
export function consoleOf(page) {
  const button = (name) => page.getByRole("button", { name, exact: true });
  const part = (name) => page.getByRole("region", { name, exact: true });
  return {
    button,
    part,
    /** A field of a part; its name may have a suffix in parentheses. */
    field: (region, name) => part(region).getByRole("textbox", { name, exact: true }),
    row: (text) => page.getByRole("row").filter({ hasText: text }),
    state: part("Control plane and API key"),
    keyField: page.getByLabel("API key", { exact: true }),
    scopes: page.getByRole("list", { name: "Scopes", exact: true }),
    /** Opens a part. */
    go: (name) => page.getByRole("navigation", { name: "Parts of the console" })
      .getByRole("link", { name, exact: true }).click(),
    /** Signs in with a key, and waits for the result. */
    async use(apiKey) {
      await page.getByLabel("API key", { exact: true }).fill(apiKey);
      await button("Sign in").click();
      await page.getByText("Signing in…").waitFor({ state: "hidden" });
    },
    /** Presses a button that asks for confirmation, and confirms. */
    async confirm(name, yes, region) {
      const scope = region === undefined ? page : part(region);
      await scope.getByRole("button", { name, exact: true }).click();
      await button(yes).click();
    },
    /** Lists the devices of a user. */
    async list(sub) {
      await part("Users and their devices").getByRole("textbox").fill(sub);
      await button("List devices").click();
    },
    /** The displayed answer: it was recorded, its position, and its durability. */
    async recorded(region, words) {
      const text = await says(part(region), words);
      const [, position, durability] = RECORDED.exec(text) ?? assert.fail(text);
      return { position, durability };
    },
  };
}

/** A verifier of the package that follows the feed of `plane`; ends with the file's tests. */
export async function follow(plane, more = {}) {
  const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
  const verifier = await createVerifier({
    issuer: plane.url,
    audience: "api",
    keys: `${plane.url}/.well-known/jwks.json`,
    feed: { url: `${plane.url}/v1/feed`, id: plane.url, publicKeys, apiKey: plane.apiKey },
    ...more,
  });
  after(() => verifier.close());
  assert.ok(verifier.isReady, JSON.stringify(verifier.status()));
  /** Waits until the verifier gives this verdict on a token. */
  const judges = (token, code) => becomes(async () => (await verifier.verify(token)).code, code);
  return { verifier, judges };
}

/** A login, and its tokens. */
export const logIn = (plane, sub, more = {}) =>
  plane.call("POST", "/v1/sessions", { sub, ...more });

/** Registers an issuer, so that its tokens and claims can be revoked. */
export const register = (plane, name, issuer, more = {}) =>
  plane.call("PUT", `/v1/issuers/${name}`, { issuer, ...more });

/** The newest request in the log. */
export async function newestOf(plane) {
  const { requests: [newest] } = await plane.call("GET", "/v1/revocations?limit=1");
  return newest;
}

/** The format of an answer to a revocation. */
const RECORDED = /Position\s+(\d+\.\d+)\s+Durability\s+(\w+)[\s\S]*Took\s+\S+ (?:ms|s|µs)/;

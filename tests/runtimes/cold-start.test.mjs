// Each runtime starts while no server answers for keys and feed.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { AUDIENCE, ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";
import { RUNTIMES, serveIn } from "../support/runtimes.mjs";
import { asked, startStub } from "../support/stub.mjs";
import { startWorkerd } from "../support/workerd.mjs";

const program = fileURLToPath(new URL("cold-start-program.mjs", import.meta.url));
const servers = Object.keys(RUNTIMES).map((runtime) =>
  [runtime, (given) => serveIn(runtime, program, given)]);
const starts = {
  ...Object.fromEntries(servers),
  workerd: (given) =>
    startWorkerd("tests/runtimes/cold-start-entry.mjs", { GIVEN: JSON.stringify(given) }),
};

/** The time at which the verifiers start, in unix seconds; their clocks continue from there. */
const NOW = 1_800_000_000;
/** A jump after which no feed is fresh. */
const LATER = 5000;
const LIMIT = { timeout: 300_000 };
const key = await signingKey("ES256");
const { publicKey, snapshots: [first, second] } = sign([
  { issued_at: NOW, valid_until: NOW + 100_000, to: 1, tokens: ["gone"] },
  { issued_at: NOW + LATER, valid_until: NOW + 100_000, to: 2, tokens: ["gone", "later"] },
]);
const tokens = {};
for (const jti of ["good", "gone", "later"]) {
  tokens[jti] = await mint(key, { jti, iat: NOW - 10, exp: NOW + 80_000 });
}

for (const [runtime, start] of Object.entries(starts)) {
  // E01, E02
  test(`${runtime} starts without a control plane and recovers alone`, LIMIT, async () => {
    const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: first });
    after(stub.close);
    stub.isUp = false;
    const server = await start({ now: NOW, verifiers: optionsOf(stub) });
    after(server.close);
    let ahead = 0;
    const ask = async (verifier, jti) => {
      const query = new URLSearchParams({ verifier, token: tokens[jti], ahead: String(ahead) });
      const { verdict, isReady } = await (await fetch(`${server.url}/?${query}`)).json();
      return [verifier, `${isReady ? "ready" : "not ready"}: ${verdict}`];
    };
    const all = async (jti) =>
      Object.fromEntries(await Promise.all(NAMES.map((verifier) => ask(verifier, jti))));

    // Without a snapshot nothing can be decided, with any policy for old ones.
    const unready = "not ready: undecided";
    const unknown = {
      ...each(`${unready} no_keys`),
      "deny with keys": `${unready} no_snapshot`, "allow with keys": `${unready} no_snapshot`,
    };
    for (const jti of ["good", "gone", "good"]) assert.deepEqual(await all(jti), unknown);
    assert.ok(asked(stub, "/feed") >= 4 && asked(stub, "/jwks") >= 2, "they have sent requests");

    stub.isUp = true;
    await reaches(() => all("good"), each("ready: valid valid"));
    assert.deepEqual(await all("gone"), each("ready: refused revoked_token"));
    assert.deepEqual(await all("later"), each("ready: valid valid"));

    stub.isUp = false;
    ahead = LATER;
    const stale = each("ready: undecided stale_snapshot", "ready: valid valid");
    assert.deepEqual(await all("good"), stale);
    assert.deepEqual(await all("gone"), each("ready: refused revoked_token"));

    stub.snapshot = second;
    stub.isUp = true;
    await reaches(() => all("good"), each("ready: valid valid"));
    await reaches(() => all("later"), each("ready: refused revoked_token"));
    assert.deepEqual(await all("gone"), each("ready: refused revoked_token"));
  });
}

/** Both policies, with keys that are fetched and with keys in the options. */
function optionsOf(stub) {
  const feed = {
    url: `${stub.url}/feed`, id: "feed", publicKeys: [publicKey], maxStaleness: 2000,
    follow: "poll", pollSeconds: 0.1,
  };
  const options = (onStale, keys) =>
    ({ issuer: ISSUER, audience: AUDIENCE, keys, feed: { ...feed, onStale } });
  const [fetched, atHand] = [`${stub.url}/jwks`, { keys: [key.jwk] }];
  return {
    "deny": options("deny", fetched), "allow": options("allow", fetched),
    "deny with keys": options("deny", atHand), "allow with keys": options("allow", atHand),
  };
}

const NAMES = ["deny", "allow", "deny with keys", "allow with keys"];
const each = (deny, allow = deny) =>
  ({ "deny": deny, "allow": allow, "deny with keys": deny, "allow with keys": allow });

/** Waits until `found` returns the expected value. */
async function reaches(found, expected) {
  let last;
  for (const end = Date.now() + 90_000; Date.now() < end; ) {
    last = await found();
    if (JSON.stringify(last) === JSON.stringify(expected)) return;
    await new Promise((resume) => setTimeout(resume, 100));
  }
  assert.deepEqual(last, expected);
}

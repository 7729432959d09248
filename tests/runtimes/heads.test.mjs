// Heads and several feeds in each runtime for servers.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { optionsOf } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { filesOf, serveFiles } from "../support/head.mjs";
import { RUNTIMES, runIn } from "../support/runtimes.mjs";

const OTHER = "https://other.test";
const [key, otherKey] = [await signingKey("EdDSA", "one"), await signingKey("ES256", "two")];
const of = { feed: OTHER, issuer: OTHER, seed: 9 };
const { publicKey, snapshots: [base, beat] } = sign([{ to: 1 }, { from: 1, to: 1 }]);
const { publicKey: otherPublicKey, snapshots: [otherBase, otherDelta, otherBeat] } = sign([
  { ...of, to: 1 }, { ...of, from: 1, to: 2, tokens: ["token"] }, { ...of, from: 2, to: 2 },
]);
const site = await serveFiles(filesOf({ base: ["1.1", base], heartbeat: beat, position: "1.1" }));
after(site.close);
const { feed: { url, ...trust }, ...rest } = optionsOf({ key, publicKey });
const files = filesOf({
  base: ["1.1", otherBase], deltas: [["1.1", "1.2", otherDelta]], heartbeat: otherBeat, position: "1.2",
}, { feed: OTHER });
const input = {
  options: { ...rest, feed: { ...trust, head: site.url } },
  other: { issuer: OTHER, audience: "api", keys: { keys: [otherKey.jwk] }, feed: { publicKeys: [otherPublicKey] } },
  files: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")])),
  tokens: [
    await mint(key, { exp: now() + 3600 }), await mint(otherKey, { iss: OTHER }), await mint(otherKey, { iss: OTHER, jti: "other" }),
  ],
};

for (const runtime of Object.keys(RUNTIMES)) {
  // P06, P07: by a head, and by a binding, each for its own issuer.
  test(`${runtime} follows two feeds by their heads`, async () => {
    const program = fileURLToPath(new URL("heads-program.mjs", import.meta.url));
    assert.deepEqual(await runIn(runtime, program, input), {
      codes: ["valid", "valid", "revoked_token", "revoked_token", "valid", "valid"], following: "poll", ready: true,
    });
  });
}

// The edge worker's answers while the feed is missing, old, broken or another one. Real workerd.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { era: 2, to: 3, tokens: ["gone"] },
  { era: 2, to: 3, tokens: ["gone"], issued_at: now() - 120, valid_until: now() - 60 },
  { era: 1, to: 9 },
]);
const [good, old, otherEra] = snapshots;
const corrupt = Buffer.from(good);
corrupt[corrupt.length - 1] ^= 1;
const stub = await startStub({ jwks: { keys: [key.jwk] } });
after(stub.close);

const open = await mint(key);
const gone = await mint(key, { jti: "gone" });
const serve = (bytes) => {
  stub.feed = undefined;
  stub.snapshot = bytes;
};
const refuseAll = () => {
  stub.feed = (_, response) => void response.writeHead(500).end();
};

/** For each state: the feed's first and later answers, and the codes of a good and a revoked token. */
const STATES = {
  "no snapshot": { first: refuseAll, deny: ["no_snapshot", "no_snapshot"], allow: ["no_snapshot", "no_snapshot"] },
  stale: { first: () => serve(old), deny: ["stale_snapshot", "revoked_token"], allow: ["valid", "revoked_token"] },
  "corrupt after good": {
    first: () => serve(good), then: () => serve(corrupt),
    deny: ["valid", "revoked_token"], allow: ["valid", "revoked_token"],
  },
  "wrong era after good": {
    first: () => serve(good), then: () => serve(otherEra),
    deny: ["valid", "revoked_token"], allow: ["valid", "revoked_token"],
  },
  "corrupt from the start": {
    first: () => serve(corrupt), deny: ["no_snapshot", "no_snapshot"], allow: ["no_snapshot", "no_snapshot"],
  },
};
const STATUS = { valid: 200, revoked_token: 401, no_snapshot: 503, stale_snapshot: 503 };

for (const mode of ["deny", "allow"]) {
  for (const [state, { first, then, ...codes }] of Object.entries(STATES)) {
    // E01, S10, E10: an undecided token gets 503 with Retry-After; the last good snapshot stays in force.
    test(`with the policy ${mode} and a feed that is ${state} each token gets its answer`, async () => {
      first();
      const edge = await startEdge(stub, publicKey, { OFFSWITCH_ON_STALE: mode, OFFSWITCH_POLL_SECONDS: "0.01" });
      const ask = (token) => fetch(edge.url, { headers: { authorization: `Bearer ${token}` } });
      await (await ask(open)).text();
      if (then) {
        then();
        for (let round = 0; round < 3; round += 1) {
          await new Promise((resume) => setTimeout(resume, 30));
          await (await ask(open)).text();
        }
      }
      for (const [index, token] of [open, gone].entries()) {
        const response = await ask(token);
        const code = codes[mode][index];
        assert.equal(response.headers.get("offswitch-verdict"), code);
        assert.equal(response.status, STATUS[code]);
        assert.equal(response.headers.get("retry-after"), response.status === 503 ? "1" : null);
        await response.text();
      }
      await edge.close();
    });
  }
}

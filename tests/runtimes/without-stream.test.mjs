import assert from "node:assert/strict";
import { test } from "node:test";
import { createVerifier } from "offswitch";
import { AUDIENCE, ISSUER, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";

// E02, S14, S15: a blocked stream does not stop the feed from being polled.
test("where streams are blocked, the feed is polled as often as configured", async () => {
  const { jwk } = await signingKey("ES256");
  const { publicKey, snapshots: [snapshot] } = sign([{ to: 1 }]);
  const stub = await startStub({ snapshot });
  const verifier = await createVerifier({
    issuer: ISSUER, audience: AUDIENCE, keys: { keys: [jwk] },
    feed: {
      url: `${stub.url}/feed`, id: "feed", publicKeys: [publicKey],
      follow: "stream", pollSeconds: 0.25,
    },
  });
  await new Promise((resume) => setTimeout(resume, 8_000));
  const [polls, streams] = [asked(stub, "/feed"), asked(stub, "/feed/stream")];
  verifier.close();
  await stub.close();
  // Thirty-two are due; a slow machine may do fewer.
  assert.ok(polls >= 8, `${polls} polls in 8 s`);
  assert.ok(streams >= 1 && streams <= 32, `${streams} tries of the stream`);
});

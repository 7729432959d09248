// Loads a base of a million entries and verifies tokens against it: time and memory, as JSON.

import { Verifier } from "offswitch";
import { AUDIENCE, ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";

const entries = Number(process.argv[2] ?? 1_000_000);
const { publicKey, snapshots: [bytes] } = sign([{ to: 1, extra: entries }]);
const key = await signingKey("EdDSA");
const token = await mint(key);
const rounds = [];
for (let round = 0; round < 7; round += 1) {
  const verifier = new Verifier({
    issuer: ISSUER, audience: AUDIENCE, keys: { keys: [key.jwk] },
    feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey] },
  });
  const before = verifier.status().instance.memoryBytes;
  const began = performance.now();
  const result = verifier.apply(bytes);
  const loaded = performance.now();
  const verdict = verifier.verifySync(token);
  const verified = performance.now();
  if (result.applied !== "replaced" || verdict.code !== "valid") throw new Error(verdict.code);
  rounds.push({ load: loaded - began, first: verified - loaded, grown: verifier.status().instance.memoryBytes - before });
  verifier.close();
}
const middle = (name) => rounds.map((one) => one[name]).sort((a, b) => a - b)[rounds.length >> 1];
console.log(JSON.stringify({
  entries,
  snapshot_bytes: bytes.length,
  bits_per_entry: Number(((bytes.length * 8) / entries).toFixed(2)),
  load_milliseconds_median: Number(middle("load").toFixed(2)),
  load_milliseconds_first: Number(rounds[0].load.toFixed(2)),
  first_verify_milliseconds_median: Number(middle("first").toFixed(3)),
  memory_growth_bytes: rounds[0].grown,
  memory_growth_ratio: Number((rounds[0].grown / bytes.length).toFixed(3)),
}, null, 2));

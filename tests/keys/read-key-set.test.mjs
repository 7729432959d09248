// The report on a key set agrees with the verifier's use of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Verifier, readKeySet } from "offswitch";
import { ISSUER, mint, signingKey } from "../support/fixture.mjs";

const one = await signingKey("EdDSA", "one");
const two = await signingKey("ES256", "two");
const secret = await signingKey("HS256", "secret");
const { alg: _, ...nameless } = two.jwk;
const namesake = await signingKey("EdDSA", "namesake");
const { alg: __, ...unlisted } = (await signingKey("RS256", "rsa")).jwk;
const algorithms = ["EdDSA", "ES256"];

// D112: when the page judged keys by its own rules, it accepted keys that the verifier refuses.
const SETS = {
  "two good keys": [[one.jwk, two.jwk], [0, 1], []],
  "two keys of one kid": [[one.jwk, { ...namesake.jwk, kid: "one" }], [], [/keys\[0\].*same kid/, /keys\[1\]/]],
  "two keys of one kid and different algorithms": [[one.jwk, { ...two.jwk, kid: "one" }], [0, 1], []],
  "a key that names no alg": [[one.jwk, nameless], [0, 1], []],
  "a key that names no alg, of another type": [[one.jwk, unlisted], [0], [/keys\[1\] \(kid "?rsa"?\): .*no alg, and none/]],
  "a secret next to a public key": [[secret.jwk, one.jwk], [1], [/keys\[0\].*secret/]],
  "a private key": [[{ ...one.jwk, d: one.jwk.x }, two.jwk], [1], [/keys\[0\].*private part/]],
};
for (const [what, [jwks, used, reasons]] of Object.entries(SETS)) {
  test(`${what}: the report names each key that is left out, and a verifier uses the others`, async () => {
    const report = readKeySet(JSON.stringify({ keys: jwks }), false, algorithms);
    assert.deepEqual(report.keys, used);
    assert.equal(report.dropped.length, reasons.length, report.dropped.join("\n"));
    for (const [at, reason] of reasons.entries()) assert.match(report.dropped[at], reason);
    assert.equal(report.problem !== undefined, used.length === 0);
    const make = () => new Verifier({
      issuer: ISSUER, audience: "unchecked", keys: { keys: jwks }, algorithms,
      feed: { url: "https://feed.invalid/", publicKeys: ["6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"] },
    });
    if (used.length === 0) return void assert.throws(make, /no usable key/);
    const verifier = make();
    for (const key of [one, two]) {
      const isUsed = used.some((at) => jwks[at].kid === key.kid && jwks[at].kty === key.jwk.kty);
      const code = verifier.verifySync(await mint(key)).code;
      assert.equal(code, isUsed ? "no_snapshot" : "unknown_key", key.kid);
    }
    verifier.close();
  });
}

// Every client that can fetch a secret could sign with it.
test("a configured secret is used, and a fetched one is not", () => {
  const set = JSON.stringify({ keys: [secret.jwk] });
  assert.deepEqual(readKeySet(set, false), { keys: [0], dropped: [] });
  const fetched = readKeySet(set, true);
  assert.deepEqual(fetched.keys, []);
  assert.match(fetched.dropped.join(), /never taken from a key set that was fetched/);
});

test("text that is not a key set is reported as such", () => {
  for (const text of ["", "<html>", '{"a":1}', '{"keys":[],"keys":[]}', '{"keys":{}}']) {
    assert.match(readKeySet(text, true).problem, /not a JWK set/, text);
  }
  assert.match(readKeySet('{"keys":[]}', true).problem, /no usable key/);
});

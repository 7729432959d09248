// Claims exactly as they were signed. D105: JavaScript's numbers alter integers beyond 2^53.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Verifier } from "offswitch";
import { guard } from "offswitch/guard";
import { parseExactly } from "../../verifier-wasm/js/engine/exact-json.js";
import { now, sign, signingKey } from "../support/fixture.mjs";

const key = await signingKey("ES256");
const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);
const verifier = new Verifier({
  issuer: "https://issuer.test", audience: "api", keys: { keys: [key.jwk] },
  feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey], maxStaleness: 600 },
});
verifier.apply(base);
const encode = (bytes) => Buffer.from(bytes).toString("base64url");

/** Signs exactly this payload. */
async function signText(text) {
  const signed = `${encode(JSON.stringify({ alg: "ES256", kid: key.kid, typ: "at+jwt" }))}.${encode(text)}`;
  const how = { name: "ECDSA", hash: "SHA-256" };
  return `${signed}.${encode(await crypto.subtle.sign(how, key.key, Buffer.from(signed)))}`;
}

const payload = (more) => `{"iss":"https://issuer.test","sub":"user","aud":"api","jti":"t","sid":"s","ver":1,`
  + `"iat":${now() - 5},"exp":${now() + 600},${more}}`;

// D105
test("a verdict has integers beyond 2^53 as they were signed, and the payload's text", async () => {
  const text = payload(`"account": 12345678901234567890,"list":[9007199254740993,-9007199254740993,1],"f":1.50`);
  const token = await signText(text);
  for (const verdict of [await verifier.verify(token), await verifier.verify(token), verifier.verifySync(token)]) {
    assert.equal(verdict.claimsJson, text);
    assert.equal(verdict.claims.account, 12345678901234567890n);
    assert.deepEqual(verdict.claims.list, [9007199254740993n, -9007199254740993n, 1]);
    assert.equal(verdict.claims.f, 1.5);
  }
  const handle = guard(verifier, (_, { claims, claimsJson }) => new Response(`${claims.account} ${claimsJson}`));
  const headers = { authorization: `Bearer ${token}` };
  assert.equal(await (await handle(new Request("http://api.test/", { headers }))).text(), `12345678901234567890 ${text}`);
});

const CASES = {
  '{"a":9007199254740991}': { a: 9007199254740991 },
  '{"a":9007199254740992}': { a: 9007199254740992n },
  '{"a":-9007199254740992}': { a: -9007199254740992n },
  '{"a":"12345678901234567890"}': { a: "12345678901234567890" },
  '{"a":"\\"12345678901234567890,1"}': { a: '"12345678901234567890,1' },
  '{"a":"\\\\","b":12345678901234567890}': { a: "\\", b: 12345678901234567890n },
  '{"12345678901234567890":12345678901234567890}': { "12345678901234567890": 12345678901234567890n },
  '{"a":1.2345678901234567890}': { a: 1.2345678901234567 },
  '{"a":12345678901234567890e1}': { a: 123456789012345678900 },
  '[12345678901234567890,{"b":[0.5,12345678901234567890]}]': [12345678901234567890n, { b: [0.5, 12345678901234567890n] }],
};

// D105
test("only integers that a number would alter are bigint, wherever they are", () => {
  for (const [text, value] of Object.entries(CASES)) assert.deepEqual(parseExactly(text), value, text);
  const long = `{"a":"${"\\\\x1234567890123456".repeat(5_000)}","b":12345678901234567890}`;
  assert.equal(parseExactly(long).b, 12345678901234567890n);
});

// DPoP without a middleware: the arguments of a verifier, and oauth4webapi as another client and another checker.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import * as oauth from "oauth4webapi";
import { Verifier } from "offswitch";
import { offswitch } from "offswitch/express";
import { guard } from "offswitch/guard";
import { AUDIENCE, ISSUER, mint, now, sign, signingKey } from "../support/fixture.mjs";

const URL_OF_API = "https://api.test/orders";
const issuer = await signingKey("ES256");
const { publicKey, snapshots: [base, next] } = sign([{ to: 2 }, { to: 3, tokens: ["going"] }]);
const make = (more = {}) => {
  const verifier = new Verifier({
    issuer: ISSUER, audience: AUDIENCE, keys: { keys: [issuer.jwk] }, ...more,
    feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey], maxStaleness: 600 },
  });
  verifier.apply(base);
  return verifier;
};
const pair = await generateKeyPair("ES256", { extractable: true });
const jwk = await exportJWK(pair.publicKey);
const jkt = await calculateJwkThumbprint(jwk);
const token = (claims = {}) => mint(issuer, { client_id: "client", cnf: { jkt }, ...claims });
const bound = await token();
const ath = async (text) => Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(text))).toString("base64url");

/** A proof in which a claim or a header member can be replaced or left out. */
async function proof({ claims = {}, header = {}, key = pair.privateKey, of = bound } = {}) {
  const all = { jti: crypto.randomUUID(), htm: "GET", htu: URL_OF_API, iat: now(), ath: await ath(of), ...claims };
  return new SignJWT(all).setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk, ...header }).sign(key);
}

const request = (one, url = URL_OF_API, method = "GET") => ({ dpop: { proof: one, method, url } });

// I14
test("verify and verifySync accept a proof once, whether the token is remembered or not", async () => {
  for (const rememberedTokens of [0, 10]) {
    const verifier = make({ rememberedTokens });
    for (const ask of [(...given) => verifier.verify(...given), (...given) => verifier.verifySync(...given)]) {
      const one = await proof();
      assert.deepEqual(verifier.explain(bound, request(one)).find(({ check }) => check === "binding").result, "passed");
      assert.equal((await ask(bound, request(one))).code, "valid");
      assert.equal((await ask(bound, request(one))).code, "invalid_dpop_proof");
      const step = verifier.explain(bound, request(one)).find(({ check }) => check === "binding");
      assert.deepEqual([step.result, step.code], ["refused", "invalid_dpop_proof"]);
      assert.equal((await ask(bound, request(await proof(), `${URL_OF_API}?page=2#top`))).code, "valid");
      assert.equal((await ask(bound)).code, "sender_constrained");
      assert.equal((await ask(bound, { dpop: undefined })).code, "sender_constrained");
      assert.equal((await ask(bound, { dpop: "proved" })).code, "valid");
    }
    verifier.close();
  }
});

// I14: wrong input of a client gets a verdict, wrong arguments of the application throw.
test("nothing that a client sends as a proof throws", async () => {
  const verifier = make();
  for (const one of [undefined, null, "", 5, {}, [], "a.b.c", "\ud800", "x".repeat(100_000)]) {
    assert.equal((await verifier.verify(bound, request(one))).code, "invalid_dpop_proof", String(one).slice(0, 20));
  }
  for (const url of [undefined, null, "", "/orders", "nonsense", "ftp://api.test/orders"]) {
    assert.equal((await verifier.verify(bound, request(await proof(), url ?? ""))).code, "invalid_dpop_proof");
  }
  for (const dpop of [null, true, "bearer", 5]) {
    await assert.rejects(verifier.verify(bound, { dpop }), { code: "invalid_options" });
  }
  verifier.close();
});

// I14
test("how old a proof may be is configured", async () => {
  const old = () => proof({ claims: { iat: now() - 100 } });
  assert.equal((await make().verify(bound, request(await old()))).code, "invalid_dpop_proof");
  assert.equal((await make({ dpop: { maxAgeSeconds: 200 } }).verify(bound, request(await old()))).code, "valid");
  const wrong = [{ maxAgeSeconds: 0 }, { maxAgeSeconds: 301 }, { maxAgeSeconds: "60" }, { more: 1 }, null, "on",
    { publicUrl: "api.test" }, { publicUrl: "https://api.test/?a" }, { publicUrl: "https://u:p@api.test" }, { publicUrl: 5 }];
  for (const dpop of wrong) {
    assert.throws(() => make({ dpop }), { code: "invalid_options", message: /dpop/ }, JSON.stringify(dpop));
  }
});

// I14: a connection that was opened with a proof stays open while its token is valid.
test("a token that is watched needs no further proof", async () => {
  const verifier = make();
  const going = await token({ jti: "going" });
  const seen = new Promise((resume) => verifier.onRevoked(going, resume));
  verifier.apply(next);
  assert.equal((await seen).code, "revoked_token");
  assert.equal((await verifier.verify(going, request(await proof({ of: going })))).code, "revoked_token");
  verifier.close();
});

// I14: the client chooses Host, which must not become part of the path.
test("a Host with a path is not trusted in Node", async () => {
  const ask = async (verifier, host, url, htu) => {
    const headers = { host, authorization: `DPoP ${bound}`, dpop: await proof({ claims: { htu } }) };
    let answer = "passed";
    const response = { writeHead: (status) => ((answer = status), response), end: () => {} };
    await offswitch(verifier)({ headers, method: "GET", url }, response, () => {});
    return answer;
  };
  const behind = make({ dpop: { publicUrl: "https://api.test" } });
  assert.equal(await ask(behind, "internal:80", "/orders?a", URL_OF_API), "passed");
  for (const [host, url] of [["api.test/orders#", "/admin"], ["api.test", "//evil/orders"], ["api.test", "*"],
    ["api.test", "http://api.test/orders"], ["api.test", "@evil/orders"]]) {
    assert.equal(await ask(behind, host, url, URL_OF_API), 401, `${host} ${url}`);
  }
  // A router gets these paths as they are sent: a proof for the resolved path is not valid for the path as sent.
  for (const path of ["/admin/../orders", "/admin/%2E./orders", "/admin\\..\\orders", "/./orders", "/orders/x/..", "/orders/.?a"]) {
    const { pathname } = new URL(path, "https://api.test");
    assert.equal(await ask(behind, "api.test", path, `https://api.test${pathname}`), 401, path);
  }
  assert.equal(await ask(behind, "api.test", "/.well-known/..x/a..b", "https://api.test/.well-known/..x/a..b"), "passed");
  const direct = make();
  assert.equal(await ask(direct, "api.test", "/orders", "http://api.test/orders"), "passed");
  for (const host of ["api.test/orders#", "api.test/orders?", "user@api.test", "", undefined]) {
    assert.equal(await ask(direct, host, "/orders", "http://api.test/orders"), 401, host);
  }
});

// I14: a client chooses its key by the algorithms in the challenge (RFC 9449 section 7.1).
test("the challenge names every algorithm that proofs may use", async () => {
  const refused = await guard(make(), () => new Response())(new Request(URL_OF_API, { headers: { authorization: `DPoP ${bound}` } }));
  const named = /algs="(.*)"/.exec(refused.headers.get("www-authenticate"))[1].split(" ");
  const accepted = [];
  for (const alg of ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]) {
    const own = await generateKeyPair(alg, { extractable: true });
    const of = await token({ cnf: { jkt: await calculateJwkThumbprint(await exportJWK(own.publicKey)) } });
    const one = await proof({ header: { alg, jwk: await exportJWK(own.publicKey) }, key: own.privateKey, of });
    if ((await make().verify(of, request(one))).outcome === "valid") accepted.push(alg);
  }
  assert.deepEqual(named, accepted);
});

// I14: oauth4webapi as the client.
test("a request of oauth4webapi is accepted", async () => {
  const handle = guard(make(), (_, { claims }) => Response.json(claims.cnf));
  for (const alg of ["ES256", "Ed25519", "RS256", "PS256"]) {
    const keys = await oauth.generateKeyPair(alg);
    const own = await token({ cnf: { jkt: await calculateJwkThumbprint(await crypto.subtle.exportKey("jwk", keys.publicKey)) } });
    const options = { DPoP: oauth.DPoP({}, keys), [oauth.customFetch]: (url, init) => handle(new Request(url, init)) };
    for (const method of ["GET", "POST"]) {
      const response = await oauth.protectedResourceRequest(own, method, new URL(`${URL_OF_API}?a=b`), undefined, undefined, options);
      assert.equal(response.status, 200, alg);
    }
  }
});

// I14: oauth4webapi as the checker. It remembers no proofs and accepts every proof younger than 300 s.
test("oauth4webapi judges proofs in the same way, except for listed reasons", async () => {
  const other = await generateKeyPair("ES256", { extractable: true });
  const otherJwk = await exportJWK(other.publicKey);
  const cases = {
    "good": {},
    "no jti": { claims: { jti: undefined } },
    "a jti that is no text": { claims: { jti: 5 } },
    "no htm": { claims: { htm: undefined } },
    "another htm": { claims: { htm: "POST" } },
    "htm in lower case": { claims: { htm: "get" } },
    "no htu": { claims: { htu: undefined } },
    "another htu": { claims: { htu: "https://api.test/" } },
    "htu with a query": { claims: { htu: `${URL_OF_API}?a=b` } },
    "htu in capitals": { claims: { htu: "HTTPS://API.TEST/orders" } },
    "htu with the port": { claims: { htu: "https://api.test:443/orders" } },
    "no iat": { claims: { iat: undefined } },
    "iat as text": { claims: { iat: "now" } },
    "an old iat": { claims: { iat: now() - 400 } },
    "an iat to come": { claims: { iat: now() + 400 } },
    "no ath": { claims: { ath: undefined } },
    "another ath": { claims: { ath: await ath("other") } },
    "another type": { header: { typ: "JWT" } },
    "the long type": { header: { typ: "application/dpop+jwt" } },
    "no jwk": { header: { jwk: undefined } },
    "a private jwk": { header: { jwk: await exportJWK(pair.privateKey) } },
    "a jwk of another key": { header: { jwk: otherJwk } },
    "another key": { header: { jwk: otherJwk }, key: other.privateKey },
    "another key's signature": { key: other.privateKey },
    "an unknown claim": { claims: { more: 1 } },
  };
  const as = { issuer: ISSUER, jwks_uri: "https://issuer.test/jwks" };
  const options = { [oauth.customFetch]: async () => Response.json({ keys: [issuer.jwk] }), requireDPoP: true };
  const differ = [];
  let good = 0;
  for (const [name, changes] of Object.entries(cases)) {
    const headers = { authorization: `DPoP ${bound}`, dpop: await proof(changes) };
    const judged = oauth.validateJwtAccessToken(as, new Request(URL_OF_API, { headers }), AUDIENCE, options);
    const theirs = await judged.then(() => "valid", () => "refused");
    const ours = await make().verify(bound, request(headers.dpop));
    if (ours.outcome === "valid") good += 1;
    if (theirs !== ours.outcome) differ.push(`${name}: ${theirs}, here ${ours.code}`);
  }
  assert.deepEqual(differ, []);
  assert.ok(good >= 5, `${good} good ones`);
});

// Verifying in the inspector: with every form of keys, by an issuer's address, check by check; nothing looks
// verified that is not.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { after } from "node:test";
import { SignJWT, exportPKCS8, exportSPKI, generateKeyPair } from "jose";
import { says, becomes, servePage } from "./open.mjs";
import { inspectorOf } from "./inspector.mjs";
import { ISSUER, mint, now, signingKey } from "../support/fixture.mjs";

const { plane, pageTest } = await servePage();
const keys = {};
for (const alg of ["EdDSA", "ES256", "RS256", "PS512", "HS256"]) keys[alg] = await signingKey(alg);
const UNKNOWN = /Signed, revocation unknown\s+The signature and the claims are good; without a feed it is unknown/;
const SIGNED = /Valid|Signed|are good/;

const servers = [];
after(() => servers.forEach((server) => server.close().closeAllConnections()));

/** An issuer on its own port, which answers these paths. */
async function startIssuer(answers, headers = {}) {
  const server = createServer((request, response) => {
    server.asked.push(request);
    const answer = answers[new URL(request.url, "http://issuer").pathname];
    response.writeHead(answer === undefined ? 404 : 200, headers);
    response.end(typeof answer === "string" ? answer : JSON.stringify(answer ?? {}));
  });
  server.asked = [];
  servers.push(server);
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  server.url = `http://127.0.0.1:${server.address().port}`;
  return server;
}

const CORS = { "access-control-allow-origin": "*" };
const jwks = { keys: [keys.EdDSA.jwk] };
const answers = {};
const open = await startIssuer(answers, CORS);
Object.assign(answers, {
  "/oidc/.well-known/openid-configuration": { jwks_uri: `${open.url}/somewhere/keys` },
  "/somewhere/keys": jwks,
  "/.well-known/oauth-authorization-server/rfc8414": { jwks_uri: `${open.url}/somewhere/keys` },
  "/bare/.well-known/jwks.json": jwks,
  "/page/.well-known/jwks.json": "<html>",
  "/empty/.well-known/jwks.json": { keys: [] },
  "/secret": { keys: [keys.HS256.jwk] },
});

/** The steps' results by their names. */
const resultsOf = async (inspector) =>
  Object.fromEntries((await inspector.steps()).map(([name, result, code]) => [name, code ? `${result} ${code}` : result]));

for (const [alg, key] of Object.entries(keys).filter(([alg]) => alg !== "HS256")) {
  pageTest(`a token of ${alg} is verified with a pasted JWK and with a JWK set`, async (page) => {
    const inspector = inspectorOf(page);
    const token = await mint(key);
    await inspector.verify({ token, keys: key.jwk });
    await says(inspector.state, UNKNOWN);
    const stranger = await signingKey(alg, "stranger");
    await inspector.verify({ token, keys: { keys: [stranger.jwk, key.jwk] } });
    await says(inspector.state, UNKNOWN);
    await inspector.verify({ token, keys: { ...stranger.jwk, kid: key.kid } });
    await says(inspector.state, /Refused\s+Signature: .*\(bad_signature\)/);
  });
}

pageTest("a token is verified with a PEM key, with any algorithm of that key", async (page) => {
  const inspector = inspectorOf(page);
  for (const alg of ["EdDSA", "ES256", "RS256"]) {
    const pair = await generateKeyPair(alg, { extractable: true });
    const token = await mint({ alg, kid: "pem", key: pair.privateKey });
    await inspector.verify({ token, keys: await exportSPKI(pair.publicKey) });
    await says(inspector.state, UNKNOWN);
    await says(inspector.verifying, /A PEM key names no alg and no kid; the token's are taken/);
  }
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const token = await mint({ alg: "RS256", kid: "pkcs1", key: privateKey });
  await inspector.verify({ token, keys: publicKey.export({ type: "pkcs1", format: "pem" }) });
  await says(inspector.state, UNKNOWN);
});

pageTest("a shared secret is read as text or as base64url, as chosen", async (page) => {
  const inspector = inspectorOf(page);
  const text = "a secret of at least thirty-two bytes, in text";
  const byText = await mint({ alg: "HS256", kid: "s", key: new TextEncoder().encode(text) });
  await inspector.verify({ token: byText, keys: text });
  await says(inspector.state, UNKNOWN);
  const { jwk } = keys.HS256;
  await inspector.verify({ token: await mint(keys.HS256), keys: jwk.k });
  await says(inspector.state, /Refused[^]*bad_signature/);
  await page.getByRole("radio", { name: "base64url" }).check();
  await says(inspector.state, /Decoded, not verified/);
  await inspector.button("Verify").click();
  await says(inspector.state, UNKNOWN);
});

// A private key that was pasted into a page must be replaced: it is not even used once.
pageTest("a private key is refused with a warning, in every form", async (page) => {
  const inspector = inspectorOf(page);
  const pair = await generateKeyPair("ES256", { extractable: true });
  const token = await mint({ alg: "ES256", kid: "k", key: pair.privateKey });
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const { privateKey: ed } = generateKeyPairSync("ed25519");
  for (const pasted of [
    await exportPKCS8(pair.privateKey),
    privateKey.export({ type: "pkcs1", format: "pem" }),
    JSON.stringify(ed.export({ format: "jwk" })),
    JSON.stringify({ keys: [{ ...ed.export({ format: "jwk" }), kid: "k" }] }),
  ]) {
    await inspector.keys.fill("");
    await says(page.getByRole("alert"), /^\s*$/);
    await inspector.verify({ token, keys: pasted });
    await says(page.getByRole("alert"), /This is a private key[^]*It was not used/);
    await says(inspector.state, /Decoded, not verified\s+(A private key is not used|Keys: the set has no usable key)/);
  }
});

for (const [what, pasted, reason] of [
  ["half a PEM", "-----BEGIN PUBLIC KEY-----\nMCow", /The PEM is cut off/],
  ["a PEM of nothing", "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----", /cut off|does not contain/],
  ["broken JSON", '{"kty":', /the text is not a JWK set/],
  ["JSON that is no key", '{"a":1}', /the text is not a JWK set/],
  ["an empty set", '{"keys":[]}', /the set has no usable key/],
  ["a set that names a member twice", '{"keys":[],"keys":[]}', /no member name twice/],
  ["an SSH key", "ssh-ed25519 AAAA", /This is an SSH key/],
]) {
  pageTest(`${what} instead of keys is reported as such`, async (page) => {
    const inspector = inspectorOf(page);
    await inspector.verify({ token: await mint(keys.EdDSA), keys: pasted });
    await says(inspector.state, reason);
  });
}

// D112: a set or key that the package refuses verifies nothing here either.
const { alg: _, ...nameless } = keys.ES256.jwk;
const other = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" });
for (const [what, set, reason] of [
  ["two keys of one kid", [keys.EdDSA.jwk, { ...keys.EdDSA.jwk, x: other.x }], /keys\[0\].*same kid/],
  ["only a key that names no alg", [nameless], /keys\[0\] \(kid .*key-ES256.*\): the key names no alg/],
  ["a short secret", [{ ...keys.HS256.jwk, k: "c2hvcnQ" }], /keys\[0\].*the key is weak/],
  ["a private key", [{ ...keys.EdDSA.jwk, d: keys.EdDSA.jwk.x }], /keys\[0\].*private part/],
]) {
  pageTest(`${what} in a set is refused with the package's reason, by key`, async (page) => {
    const inspector = inspectorOf(page);
    await inspector.verify({ token: await mint(keys.EdDSA), keys: { keys: set } });
    const shown = await says(inspector.state, reason);
    assert.doesNotMatch(shown, SIGNED);
    assert.deepEqual(await inspector.steps(), []);
  });
}

// I01: as at the edge, where the issuer's options name the algorithm.
pageTest("a key that names no alg verifies a token of an algorithm that fits it", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.verify({ token: await mint(keys.ES256), keys: { keys: [nameless] } });
  await says(inspector.state, SIGNED);
  await says(inspector.verifying, /A key names no alg; the token's is taken: ES256/);
});

pageTest("a key that is left out is named with the reason, and the others verify", async (page) => {
  const inspector = inspectorOf(page);
  const set = { keys: [nameless, keys.HS256.jwk, keys.EdDSA.jwk] };
  await inspector.verify({ token: await mint(keys.EdDSA), keys: set });
  await says(inspector.state, UNKNOWN);
  await says(inspector.verifying, /Not used: keys\[0\].*no alg[^]*Not used: keys\[1\].*secret/);
});

// Every client that can fetch a published secret could sign with it.
pageTest("a pasted secret is used, and a fetched one is not", async (page) => {
  const inspector = inspectorOf(page);
  const token = await mint(keys.HS256);
  await inspector.verify({ token, keys: { keys: [keys.HS256.jwk] } });
  await says(inspector.state, UNKNOWN);
  await inspector.verify({ token, keys: `${open.url}/secret` });
  await says(inspector.verifying, /never taken from a key set that was fetched/);
  assert.doesNotMatch(await inspector.state.innerText(), SIGNED);
}, { origins: [open.url] });

// D60: before there is any key, the banner states what is certain.
pageTest("without keys the banner shows that a token has expired, is not valid yet, or is unsigned", async (page) => {
  const inspector = inspectorOf(page);
  const old = { exp: now() - 3700, iat: now() - 7300, nbf: now() - 7300 };
  await inspector.token.fill(await mint(keys.EdDSA, old));
  await says(inspector.state, /Expired 1 h 1 min ago, not verified/);
  await inspector.token.fill(await mint(keys.EdDSA, { nbf: now() + 500 }));
  await says(inspector.state, /Not yet valid: in 8 min/);
  const [, claims] = (await mint(keys.EdDSA)).split(".");
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  await inspector.token.fill(`${none}.${claims}.`);
  await says(inspector.state, /Unsigned\s+Its alg is “none”/);
  assert.doesNotMatch(await inspector.state.innerText(), SIGNED);
});

// D61: one form with one issuer and one primary action.
pageTest("there is one issuer field and one primary button, and claims are on the first screen", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.token.fill(await mint(keys.EdDSA));
  assert.equal(await page.getByRole("textbox", { name: "Issuer" }).count(), 1);
  assert.deepEqual(await page.locator("button.primary:visible").allInnerTexts(), ["Verify"]);
  await page.setViewportSize({ width: 1280, height: 800 });
  const { y, height } = await inspector.row("sub").boundingBox();
  assert.ok(y + height <= 800, `the claim sub ends at ${y + height}`);
});

// "Decoded" and "verified" differ; the verdict is always for the current fields.
pageTest("editing any field clears the verdict", async (page) => {
  const inspector = inspectorOf(page);
  const token = await mint(keys.EdDSA);
  await inspector.token.fill(token);
  await says(inspector.state, /Decoded, not verified/);
  await says(inspector.claims, /^Claims\s*Decoded, not verified/);
  const edits = {
    Token: (text) => `${text.slice(0, -4)}AAAA`,
    keys: (text) => `${text} `,
    Issuer: () => "https://other.test",
    Audience: (text) => `${text}x`,
    Type: () => "JWT",
    "Leeway, seconds": () => "31",
  };
  for (const [name, edit] of Object.entries(edits)) {
    await inspector.verify({ token, keys: keys.EdDSA.jwk });
    await says(inspector.state, UNKNOWN);
    await says(inspector.claims, /^Claims\s*Signed, revocation unknown/);
    assert.equal((await inspector.steps()).length, 19);
    const field = name === "keys" ? inspector.keys : page.getByRole("textbox", { name, exact: true });
    const before = await field.inputValue();
    await field.fill(edit(before));
    // Immediately: the same turn that shows the edit clears the verdict.
    assert.match(await inspector.state.innerText(), /Decoded, not verified/, name);
    assert.match(await inspector.claims.innerText(), /^Claims\s*Decoded, not verified/, name);
    assert.doesNotMatch(await inspector.state.innerText(), SIGNED);
    assert.deepEqual(await inspector.steps(), []);
    await field.fill(before);
  }
});

// Without a feed a good signature does not mean that the token is valid.
pageTest("a token that is only signed is never shown as valid", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.verify({ token: await mint(keys.EdDSA), keys: keys.EdDSA.jwk });
  const shown = await says(inspector.state, UNKNOWN);
  assert.doesNotMatch(shown, /Valid|✓/);
  const results = await resultsOf(inspector);
  assert.equal(results["This token"].split(" ")[0], "undecided", JSON.stringify(results));
  assert.equal(results.Signature, "passed");
});

pageTest("the steps show a wrong signature, and the checks that were skipped after it", async (page) => {
  const inspector = inspectorOf(page);
  const token = await mint(keys.EdDSA);
  const [header, , signature] = token.split(".");
  const forged = (await mint(await signingKey("EdDSA"), { sub: "mallory" })).split(".")[1];
  await inspector.verify({ token: `${header}.${forged}.${signature}`, keys: keys.EdDSA.jwk });
  await says(inspector.state, /Refused\s+Signature: .*\(bad_signature\)/);
  const results = await resultsOf(inspector);
  assert.equal(results.Signature, "refused bad_signature");
  for (const name of ["Format", "Algorithm", "Key"]) assert.equal(results[name], "passed", name);
  for (const name of ["Expiry", "This token", "Freshness"]) {
    assert.equal(results[name], "not reached", name);
  }
});

// The edge reports only the first reason; here both are visible.
pageTest("the steps show both a wrong audience and an expired token", async (page) => {
  const inspector = inspectorOf(page);
  const token = await mint(keys.EdDSA, { exp: now() - 100, iat: now() - 200, nbf: now() - 200 });
  await inspector.token.fill(token);
  await inspector.field("Audience").fill("another-api");
  await inspector.keys.fill(JSON.stringify(keys.EdDSA.jwk));
  await inspector.button("Verify").click();
  await says(inspector.state, /Refused\s+(Audience|Expiry): /);
  const results = await resultsOf(inspector);
  assert.equal(results.Audience, "refused wrong_audience", JSON.stringify(results));
  assert.equal(results.Expiry, "refused expired", JSON.stringify(results));
  assert.equal(results.Signature, "passed");
  assert.equal(results.Issuer, "passed");
});

pageTest("the steps name an unknown key, and which kids are known", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.verify({
    token: await mint({ ...keys.EdDSA, kid: "gone" }), keys: { keys: [keys.EdDSA.jwk] },
  });
  await says(inspector.state, /Refused\s+Key: .*gone.*\(unknown_key\)/);
  assert.equal((await resultsOf(inspector)).Key, "refused unknown_key");
});

pageTest("the API's expectations are prefilled from the token and can be changed", async (page) => {
  const inspector = inspectorOf(page);
  const expectations = {
    Issuer: ["https://other.test", /wrong_issuer/],
    Audience: ["other", /wrong_audience/],
    Type: ["JWT", /wrong_type/],
  };
  const token = await mint(keys.EdDSA, { aud: ["api", "second"] });
  await inspector.verify({ token, keys: keys.EdDSA.jwk });
  await says(inspector.state, UNKNOWN);
  const field = (name) => page.getByRole("textbox", { name, exact: true });
  const values = await Promise.all(Object.keys(expectations).map((name) => field(name).inputValue()));
  assert.deepEqual(values, [ISSUER, "api\nsecond", "at+jwt"]);
  for (const [name, [value, code]] of Object.entries(expectations)) {
    await field(name).fill(value);
    await inspector.button("Verify").click();
    await says(inspector.state, code);
    await inspector.button("As the token says").click();
  }
  await field("Audience").fill("");
  await inspector.button("Verify").click();
  await says(inspector.state, UNKNOWN);
});

// A token expires while the page is open.
pageTest("a verdict changes automatically when the token expires", async (page) => {
  const inspector = inspectorOf(page);
  await page.getByRole("textbox", { name: "Leeway, seconds" }).fill("0");
  const token = await mint(keys.EdDSA, { exp: now() + 10 });
  await inspector.verify({ token, keys: keys.EdDSA.jwk });
  await says(inspector.state, UNKNOWN);
  await says(inspector.state, /Refused\s+Expiry: .*\(expired\)/);
});

// The control plane's own address, which the token names as its issuer. It has no OpenID metadata, which
// Chromium reports as an error.
pageTest("keys are found by the issuer's address at the same origin", async (page) => {
  const inspector = inspectorOf(page);
  const { access_token: token } = await plane.call("POST", "/v1/sessions", { sub: "alice" });
  await inspector.token.fill(token);
  await inspector.button("Verify").click();
  await says(inspector.state, UNKNOWN);
  await says(inspector.verifying, new RegExp(`Keys fetched from ${plane.url}/\\.well-known/jwks\\.json`));
}, { expects: [/404.*openid-configuration/] });

const closed = await startIssuer({ "/.well-known/jwks.json": jwks });
const elsewhere = { origins: [open.url, closed.url], expects: [/404 \(Not Found\)/] };

for (const [how, path] of [
  ["OpenID's metadata", "/oidc"], ["RFC 8414's metadata", "/rfc8414"], ["where most publish them", "/bare"],
]) {
  // The token is sent nowhere: not in an address, a header or a body.
  pageTest(`keys of an issuer at another origin are found by ${how}`, async (page) => {
    const inspector = inspectorOf(page);
    const token = await mint(keys.EdDSA, { iss: `${open.url}${path}` });
    open.asked.length = 0;
    await inspector.token.fill(token);
    await inspector.button("Verify").click();
    await says(inspector.state, UNKNOWN);
    assert.ok(open.asked.length > 0);
    for (const { url, headers, method } of open.asked) {
      assert.equal(method, "GET");
      const sent = url + JSON.stringify(headers);
      for (const part of token.split(".")) assert.ok(!sent.includes(part));
      assert.deepEqual([headers.authorization, headers.cookie, headers.referer], [undefined, undefined, undefined]);
    }
  }, elsewhere);
}

pageTest("an issuer without usable keys is reported with the reason", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.token.fill(await mint(keys.EdDSA));
  const issuer = page.getByRole("textbox", { name: "Issuer", exact: true });
  const reasons = {
    [`${open.url}/nothing`]: /nothing\/\.well-known\/jwks\.json: answered with status 404/,
    [`${open.url}/page`]: /page\/\.well-known\/jwks\.json: the text is not a JWK set/,
    [`${open.url}/empty`]: /empty\/\.well-known\/jwks\.json: the set has no usable key/,
    [closed.url]: /does not let web pages read it \(CORS\)/,
    "http://127.0.0.1:1": /no response, or the server does not let/,
    "auth.example": /The issuer is not an http\(s\) URL/,
    "https://user:secret@auth.example": /contains credentials; nothing was requested/,
  };
  for (const [address, reason] of Object.entries(reasons)) {
    await issuer.fill(address);
    await inspector.button("Verify").click();
    await says(inspector.verifying, reason);
    await says(inspector.state, /Decoded, not verified/);
  }
}, {
  origins: [...elsewhere.origins, "http://127.0.0.1:1"],
  expects: [...elsewhere.expects, /CORS policy/, /net::ERR_/],
});

// A new user sees a token that is really signed, with a new key.
pageTest("the example is real, new each time, and verified", async (page) => {
  const inspector = inspectorOf(page);
  const seen = [];
  for (let round = 0; round < 2; round += 1) {
    await inspector.button("Try an example").click();
    await becomes(async () => seen.includes(await inspector.token.inputValue()), false);
    await says(inspector.state, UNKNOWN);
    seen.push(await inspector.token.inputValue());
  }
  assert.notEqual(seen[0], seen[1]);
  const { alg } = JSON.parse(Buffer.from(seen[1].split(".")[0], "base64url"));
  assert.equal(alg, "ES256");
  await says(inspector.warnings, /Nothing is odd/);
});

// alg confusion: the public key as the secret of an HMAC. The key decides the algorithm, never the token.
pageTest("a token that is signed with the public key as a secret is refused", async (page) => {
  const inspector = inspectorOf(page);
  const pair = await generateKeyPair("RS256", { extractable: true });
  const pem = await exportSPKI(pair.publicKey);
  const token = await new SignJWT({ iss: ISSUER, sub: "mallory", exp: now() + 60 })
    .setProtectedHeader({ alg: "HS256", kid: "k", typ: "at+jwt" })
    .sign(new TextEncoder().encode(pem));
  await inspector.verify({ token, keys: pem });
  const shown = await says(inspector.state, /not verified\s+Keys: .*the key's type does not fit its alg/);
  assert.doesNotMatch(shown, SIGNED);
});

// Verifying in the inspector: with every form of keys, by an issuer's address, check by check, and
// that nothing looks verified that is not.

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
const UNKNOWN = /Signed, revocation unknown\s+Signature and claims hold; whether it was revoked is unknown without a feed\./;
const SIGNED = /alive|Signed|hold/;

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

pageTest("a token is verified with a PEM key, whatever algorithm that names", async (page) => {
  const inspector = inspectorOf(page);
  for (const alg of ["EdDSA", "ES256", "RS256"]) {
    const pair = await generateKeyPair(alg, { extractable: true });
    const token = await mint({ alg, kid: "pem", key: pair.privateKey });
    await inspector.verify({ token, keys: await exportSPKI(pair.publicKey) });
    await says(inspector.state, UNKNOWN);
    await says(inspector.verifying, /names no kid; the token's is taken for it/);
  }
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const token = await mint({ alg: "RS256", kid: "pkcs1", key: privateKey });
  await inspector.verify({ token, keys: publicKey.export({ type: "pkcs1", format: "pem" }) });
  await says(inspector.state, UNKNOWN);
});

pageTest("a shared secret is taken as text or as base64url, as it is said", async (page) => {
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

// A private key on a page is a key to be replaced: it is not even used once.
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
    await says(inspector.state, /Decoded, not verified\s+This is a private key/);
  }
});

for (const [what, pasted, reason] of [
  ["nothing", "", /There are no keys yet/],
  ["half a PEM", "-----BEGIN PUBLIC KEY-----\nMCow", /The PEM is cut off/],
  ["a PEM of nothing", "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----", /cut off|does not hold/],
  ["broken JSON", '{"kty":', /The keys are not JSON/],
  ["JSON that is no key", '{"a":1}', /no “kty” in it/],
  ["an empty set", '{"keys":[]}', /The JWK set has no keys/],
  ["an SSH key", "ssh-ed25519 AAAA", /This is an SSH key/],
]) {
  pageTest(`${what} in place of keys is told as such`, async (page) => {
    const inspector = inspectorOf(page);
    await inspector.verify({ token: await mint(keys.EdDSA), keys: pasted });
    await says(inspector.state, reason);
  });
}

// "Decoded" and "verified" are two things; what was verified is exactly what is in the fields.
pageTest("any edit takes the verdict back", async (page) => {
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
    assert.equal((await inspector.steps()).length, 17);
    const field = name === "keys" ? inspector.keys
      : page.getByRole("textbox", { name, exact: true }).last();
    const before = await field.inputValue();
    await field.fill(edit(before));
    // At once: the same turn that shows the edit shows the doubt.
    assert.match(await inspector.state.innerText(), /Decoded, not verified/, name);
    assert.match(await inspector.claims.innerText(), /^Claims\s*Decoded, not verified/, name);
    assert.doesNotMatch(await inspector.state.innerText(), SIGNED);
    assert.deepEqual(await inspector.steps(), []);
    await field.fill(before);
  }
});

// Without a feed a good signature is no life.
pageTest("what is only signed is never shown as alive", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.verify({ token: await mint(keys.EdDSA), keys: keys.EdDSA.jwk });
  const shown = await says(inspector.state, UNKNOWN);
  assert.doesNotMatch(shown, /alive|✓/);
  const results = await resultsOf(inspector);
  assert.equal(results["This token"].split(" ")[0], "undecided", JSON.stringify(results));
  assert.equal(results.Signature, "passed");
});

pageTest("the steps tell a wrong signature, and what was not asked after it", async (page) => {
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

// The edge says the first reason only; here both are seen.
pageTest("the steps tell a wrong audience and an end that is past, both", async (page) => {
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

pageTest("the steps tell an unknown key, and the notes which keys there are", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.verify({
    token: await mint({ ...keys.EdDSA, kid: "gone" }), keys: { keys: [keys.EdDSA.jwk] },
  });
  await says(inspector.state, /Refused\s+Key: .*\(unknown_key\)/);
  assert.equal((await resultsOf(inspector)).Key, "refused unknown_key");
  await says(inspector.verifying, /The token's kid is “gone”; the keys here are “key-EdDSA”/);
});

pageTest("what the API expects is prefilled from the token and can be changed", async (page) => {
  const inspector = inspectorOf(page);
  const expectations = {
    Issuer: ["https://other.test", /wrong_issuer/],
    Audience: ["other", /wrong_audience/],
    Type: ["JWT", /wrong_type/],
  };
  const token = await mint(keys.EdDSA, { aud: ["api", "second"] });
  await inspector.verify({ token, keys: keys.EdDSA.jwk });
  await says(inspector.state, UNKNOWN);
  const field = (name) => page.getByRole("textbox", { name, exact: true }).last();
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

// The end of a token comes while somebody looks at it.
pageTest("a verdict turns by itself when the token expires", async (page) => {
  const inspector = inspectorOf(page);
  await page.getByRole("textbox", { name: "Leeway, seconds" }).fill("0");
  const token = await mint(keys.EdDSA, { exp: now() + 10 });
  await inspector.verify({ token, keys: keys.EdDSA.jwk });
  await says(inspector.state, UNKNOWN);
  await says(inspector.state, /Refused\s+Expiry: .*\(expired\)/);
});

// The control plane's own address, which the token names as its issuer. It has no OpenID metadata,
// which Chromium reports as an error of its own.
pageTest("keys are found by the issuer's address at the same origin", async (page) => {
  const inspector = inspectorOf(page);
  const { access_token: token } = await plane.call("POST", "/v1/sessions", { sub: "alice" });
  await inspector.token.fill(token);
  await inspector.button("Fetch keys and verify").click();
  await says(inspector.state, UNKNOWN);
  await says(inspector.verifying, new RegExp(`Keys taken from ${plane.url}/\\.well-known/jwks\\.json`));
}, { expects: [/404.*openid-configuration/] });

const servers = [];
after(() => servers.forEach((server) => server.close().closeAllConnections()));

/** An issuer at a port of its own, which answers these paths. */
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
});
const closed = await startIssuer({ "/.well-known/jwks.json": jwks });
const elsewhere = { origins: [open.url, closed.url], expects: [/404 \(Not Found\)/] };

for (const [how, path] of [
  ["OpenID's metadata", "/oidc"], ["RFC 8414's metadata", "/rfc8414"], ["where most publish them", "/bare"],
]) {
  // The token itself goes nowhere: neither in an address, nor a header, nor a body.
  pageTest(`keys of an issuer at another origin are found by ${how}`, async (page) => {
    const inspector = inspectorOf(page);
    const token = await mint(keys.EdDSA, { iss: `${open.url}${path}` });
    open.asked.length = 0;
    await inspector.token.fill(token);
    await inspector.button("Fetch keys and verify").click();
    await says(inspector.state, UNKNOWN);
    assert.ok(open.asked.length > 0);
    for (const { url, headers, method } of open.asked) {
      assert.equal(method, "GET");
      const told = url + JSON.stringify(headers);
      for (const part of token.split(".")) assert.ok(!told.includes(part));
      assert.deepEqual([headers.authorization, headers.cookie, headers.referer], [undefined, undefined, undefined]);
    }
  }, elsewhere);
}

pageTest("an issuer that gives no keys is told with the reason", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.token.fill(await mint(keys.EdDSA));
  const issuer = page.getByRole("textbox", { name: "Issuer", exact: true }).first();
  const reasons = {
    [`${open.url}/nothing`]: /nothing\/\.well-known\/jwks\.json: answered with status 404/,
    [`${open.url}/page`]: /the answer is not JSON/,
    [`${open.url}/empty`]: /The JWK set has no keys/,
    [closed.url]: /does not let web pages read it \(CORS\)/,
    "http://127.0.0.1:1": /nobody answers there/,
    "auth.example": /The issuer is not an http\(s\) URL/,
    "https://user:secret@auth.example": /holds credentials; it is not asked/,
  };
  for (const [address, reason] of Object.entries(reasons)) {
    await issuer.fill(address);
    await inspector.button("Fetch keys and verify").click();
    await says(inspector.verifying, reason);
    await says(inspector.state, /Decoded, not verified/);
  }
}, {
  origins: [...elsewhere.origins, "http://127.0.0.1:1"],
  expects: [...elsewhere.expects, /CORS policy/, /net::ERR_/],
});

// A newcomer sees a token that is really signed, with a key that was made just now.
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
  await says(inspector.warnings, /Nothing stands out/);
});

// alg confusion: the public key as the secret of an HMAC. The key decides, never the token.
pageTest("a token that is signed with the public key as a secret is refused", async (page) => {
  const inspector = inspectorOf(page);
  const pair = await generateKeyPair("RS256", { extractable: true });
  const pem = await exportSPKI(pair.publicKey);
  const token = await new SignJWT({ iss: ISSUER, sub: "mallory", exp: now() + 60 })
    .setProtectedHeader({ alg: "HS256", kid: "k", typ: "at+jwt" })
    .sign(new TextEncoder().encode(pem));
  await inspector.verify({ token, keys: pem });
  const shown = await says(inspector.state, /Refused|Decoded, not verified\s+No key can be used/);
  assert.doesNotMatch(shown, SIGNED);
});

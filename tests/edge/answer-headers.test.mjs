// The exact headers of every kind of answer that the worker makes itself. A06, V18. Real workerd.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { after, test } from "node:test";
import { ROOT, mint, sign, signingKey } from "../support/fixture.mjs";
import { codeOf, handleOf, handoverSettings, playHandover } from "../support/handover.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 4, tokens: ["gone"] }]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
playHandover(stub, key);
const edge = await startEdge(stub, publicKey, handoverSettings(stub));
const bare = await startEdge(stub, publicKey);
const wrong = await startEdge(stub, publicKey, { UPSTREAM: "" });
const dead = await startEdge(stub, publicKey, { UPSTREAM: "http://127.0.0.1:1" });
const unready = await startEdge(stub, publicKey, { OFFSWITCH_FEED_URL: `${stub.url}/nothing` });
const workers = [edge, bare, wrong, dead, unready];
after(async () => {
  for (const one of workers) await one.close();
  await stub.close();
});
const good = await mint(key);
const gone = await mint(key, { jti: "gone" });
const bearer = (token) => ({ authorization: `Bearer ${token}` });
const own = (origin) => ({ origin, "sec-fetch-site": "same-origin", "offswitch-csrf": "1" });
const json = { "content-type": "application/json" };
const cookie = (sid) => ({ cookie: `__Host-offswitch=${handleOf(sid)}` });

/** On each answer of the worker itself. */
const SECURITY = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};
const PROBLEM = { ...SECURITY, "content-type": "application/problem+json" };
const evidence = (code) => ({ "offswitch-position": "1.4", "offswitch-verdict": code });
const invalid = (code) => ({ "www-authenticate": `Bearer error="invalid_token", error_description="${code}"` });
const again = { "retry-after": "1" };
const CLEARED = "__Host-offswitch=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";

/** By name: the worker, path and request; the status, the code and all headers of the answer. */
const ANSWERS = {
  "no token": [bare, "/x", {}, 401, "missing_token", { ...PROBLEM, "www-authenticate": "Bearer" }],
  "no token, no cookie": [edge, "/x", {}, 401, "missing_token", { ...PROBLEM, "www-authenticate": "Bearer" }],
  "a revoked token": [bare, "/x", { headers: bearer(gone) }, 401, "revoked_token",
    { ...PROBLEM, ...evidence("revoked_token"), ...invalid("revoked_token") }],
  "a malformed token": [bare, "/x", { headers: bearer("x") }, 401, "malformed",
    { ...PROBLEM, ...evidence("malformed"), ...invalid("malformed") }],
  "no snapshot": [unready, "/x", { headers: bearer(good) }, 503, "no_snapshot",
    { ...PROBLEM, ...again, "offswitch-verdict": "no_snapshot" }],
  "wrong settings": [wrong, "/x", { headers: bearer(good) }, 503, "misconfigured", { ...PROBLEM, ...again }],
  "an upstream that cannot be reached": [dead, "/x", { headers: bearer(good) }, 502, "upstream_unreachable",
    { ...PROBLEM, ...evidence("valid") }],
  "two cookies": [edge, "/x", { headers: { cookie: `${cookie("a").cookie}; ${cookie("b").cookie}` } }, 401,
    "ambiguous_cookie", { ...PROBLEM, ...invalid("ambiguous_cookie") }],
  "a broken cookie": [edge, "/x", { headers: { cookie: "__Host-offswitch=x" } }, 401, "invalid_cookie",
    { ...PROBLEM, ...invalid("invalid_cookie") }],
  "a forged request": [edge, "/x", { method: "POST", headers: cookie("a") }, 403, "cross_site_request", PROBLEM],
  "an unknown route": [edge, "/auth/x", { method: "POST", headers: own(edge.url) }, 404, "not_found", PROBLEM],
  "a wrong method": [edge, "/auth/login", {}, 405, "method_not_allowed", { ...PROBLEM, allow: "POST" }],
  "a login of another type": [edge, "/auth/login", { method: "POST", headers: own(edge.url), body: "x" }, 415,
    "unsupported_media_type", PROBLEM],
  "a login with a wrong code": [edge, "/auth/login",
    { method: "POST", headers: { ...own(edge.url), ...json }, body: '{"code":"x"}' }, 400, "invalid_code", PROBLEM],
  "the state of the login": [edge, "/auth/session", { method: "POST", headers: { ...own(edge.url), ...cookie("who") } }, 200,
    undefined, { ...SECURITY, ...evidence("valid"), "content-type": "application/json" }],
  "a logout": [edge, "/auth/logout", { method: "POST", headers: { ...own(edge.url), ...cookie("out") } }, 204,
    undefined, { ...SECURITY, "set-cookie": CLEARED }],
  "a logout without a session": [edge, "/auth/logout", { method: "POST", headers: own(edge.url) }, 400, "no_session",
    { ...PROBLEM, "set-cookie": CLEARED }],
};
/** Headers that the server adds. */
const OTHERS = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];

function send(url, path, { method = "GET", headers = {}, body }) {
  const { hostname: host, port } = new URL(url);
  return new Promise((resolve, reject) => {
    httpRequest({ agent: false, host, port, path, method, headers }, async (response) => {
      const text = String(Buffer.concat(await response.toArray()));
      const answered = { ...response.headers };
      for (const name of OTHERS) delete answered[name];
      if (answered["set-cookie"]) [answered["set-cookie"]] = answered["set-cookie"];
      resolve({ status: response.statusCode, headers: answered, text });
    }).on("error", reject).end(body);
  });
}

for (const [name, [{ url }, path, init, status, code, headers]] of Object.entries(ANSWERS)) {
  // A06, V18: no header is added by accident, and none is missing.
  test(`the answer to ${name} has exactly these headers`, async () => {
    const answer = await send(url, path, init);
    assert.equal(answer.status, status, answer.text);
    assert.deepEqual(answer.headers, headers);
    if (code === undefined) return;
    const { detail, ...document } = JSON.parse(answer.text);
    assert.deepEqual([document.code, document.status, document.type], [code, status, `urn:offswitch:problem:${code}`]);
    assert.ok(detail.length > 10 && !detail.includes("eyJ") && !detail.includes("osh_"), detail);
  });
}

// A06: the login's answer also has the cookie, and its expiry depends on the clock.
test("the answer to a login has exactly these headers", async () => {
  const init = { method: "POST", headers: { ...own(edge.url), ...json }, body: JSON.stringify({ code: codeOf("in") }) };
  const { status, headers: { "set-cookie": set, ...headers } } = await send(edge.url, "/auth/login", init);
  assert.deepEqual([status, headers], [204, SECURITY]);
  assert.match(set, /^__Host-offswitch=osh_in_+; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=8\d{4}$/);
});

// A06: HSTS has a meaning only over TLS (RFC 6797 section 7.2), and workerd knows from the URL whether it is TLS.
test("over TLS the worker's own answers and the page carry HSTS", async () => {
  const { ownAnswer, pageAnswer } = await import("../../verifier-wasm/js/worker/headers.js");
  for (const make of [ownAnswer, pageAnswer]) {
    const hsts = (url) => make(new Request(url), new Response("x")).headers.get("strict-transport-security");
    assert.equal(hsts("https://api.test/x"), "max-age=31536000");
    assert.equal(hsts("http://api.test/x"), null);
  }
});

// A06: the headers are those in the documents, which the page shows, and the policy for framing.
test("the page's files carry the policy of their document", async () => {
  const { pageAnswer } = await import("../../verifier-wasm/js/worker/headers.js");
  const policyOf = (path) =>
    pageAnswer(new Request(`https://api.test${path}`), new Response("x")).headers.get("content-security-policy");
  const metaOf = (file) => /Content-Security-Policy"\s+content="([^"]+)"/.exec(readFileSync(`${ROOT}www/${file}`, "utf8"))[1];
  assert.equal(policyOf("/offswitch/"), `${metaOf("index.html")}; frame-ancestors 'none'`);
  assert.equal(policyOf("/offswitch/assets/worker.js"), policyOf("/offswitch/"));
  assert.equal(policyOf("/offswitch/outside.html"), `${metaOf("outside.html")}; frame-ancestors 'self'`);
  for (const path of ["/", "/outside.html"]) assert.doesNotMatch(policyOf(path), /unsafe-(inline|eval)(?<!wasm-unsafe-eval)/);
});

// The upstream's answers belong to the application: the worker only adds the headers that its decision depends on.
test("the upstream's own headers stay as they are", async () => {
  stub.upstream = (_, response) => {
    response.setHeader("content-security-policy", "default-src 'self'");
    response.setHeader("content-type", "text/html");
    response.setHeader("offswitch-verdict", "forged").setHeader("offswitch-position", "9.9");
    response.end("x");
  };
  const { headers } = await send(bare.url, "/x", { headers: bearer(good) });
  stub.upstream = undefined;
  const expected = { "content-security-policy": "default-src 'self'", "content-type": "text/html", ...evidence("valid") };
  assert.deepEqual(headers, expected);
});

// Requests that other sites can make a browser send, with its cookie: none of them has any effect.
// A02. Real workerd.

import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, test } from "node:test";
import { sign, signingKey } from "../support/fixture.mjs";
import { codeOf, handleOf, handoverSettings, playHandover } from "../support/handover.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 4 }]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
playHandover(stub, key);
const edge = await startEdge(stub, publicKey, handoverSettings(stub));
after(async () => {
  await edge.close();
  await stub.close();
});

const cookie = `__Host-offswitch=${handleOf("victim")}`;
const own = { origin: edge.url, "sec-fetch-site": "same-origin", "offswitch-csrf": "1" };
const json = { "content-type": "application/json" };
const body = JSON.stringify({ code: codeOf("attacker") });
const { port } = new URL(edge.url);

/** Plain HTTP, so that exactly these headers are sent. */
function send(path, { method = "POST", headers = {}, body: sent }) {
  const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
  return new Promise((resolve, reject) => {
    // workerd closes a connection if it has not read the whole request: no connection is used twice.
    const options = { agent: false, host: "127.0.0.1", port, path, method, headers: { cookie, ...given } };
    httpRequest(options, async (response) => {
      const text = String(Buffer.concat(await response.toArray()));
      const code = text.startsWith("{") ? JSON.parse(text).code : undefined;
      resolve({ status: response.statusCode, headers: response.headers, code });
    }).on("error", reject).end(sent);
  });
}

/** The requests to any server behind the worker while `work` ran, except those for keys and feed. */
async function effects(work) {
  const before = stub.requests.length;
  const answer = await work();
  const paths = stub.requests.slice(before).map((one) => one.path);
  return { answer, reached: paths.filter((path) => path !== "/feed" && path !== "/jwks") };
}

function assertNoEffect({ answer, reached }, status, code) {
  assert.deepEqual([answer.status, answer.code, reached], [status, code, []]);
  assert.equal(answer.headers["set-cookie"], undefined);
  assert.deepEqual(Object.keys(answer.headers).filter((name) => name.startsWith("access-control")), []);
  assert.equal(answer.headers["cache-control"], "no-store");
}

/** Requests of a page of another origin, of a form, or without a recognizable sender. */
const FORGED = {
  "without a body": { headers: { origin: "https://evil.example" } },
  "without any header": { headers: {} },
  "of a form": {
    headers: { origin: "https://evil.example", "content-type": "application/x-www-form-urlencoded" },
    body: "code=x",
  },
  "of a multipart form": {
    headers: { origin: "null", "content-type": "multipart/form-data; boundary=x" }, body: "--x--",
  },
  "of text/plain": { headers: { origin: "https://evil.example", "content-type": "text/plain" }, body },
  "without an Origin": { headers: { ...own, ...json, origin: undefined }, body },
  "with a null Origin": { headers: { ...own, ...json, origin: "null", "sec-fetch-site": undefined }, body },
  "with a null Origin of another site":
    { headers: { ...own, ...json, origin: "null", "sec-fetch-site": "cross-site" }, body },
  "with an empty Origin": { headers: { ...own, ...json, origin: "" }, body },
  "of a sister domain": { headers: { ...own, ...json, origin: `http://a.127.0.0.1:${port}` }, body },
  "of another port": { headers: { ...own, ...json, origin: "http://127.0.0.1:1" }, body },
  "of the other scheme": { headers: { ...own, ...json, origin: `https://127.0.0.1:${port}` }, body },
  "of an origin that begins like ours": { headers: { ...own, ...json, origin: `${edge.url}.evil.example` }, body },
  "marked cross-site": { headers: { ...own, ...json, "sec-fetch-site": "cross-site" }, body },
  "marked same-site": { headers: { ...own, ...json, "sec-fetch-site": "same-site" }, body },
  "marked as a request of no site": { headers: { ...own, ...json, "sec-fetch-site": "none" }, body },
};

const NO_HEADER = {
  "without the custom header": { headers: { ...own, ...json, "offswitch-csrf": undefined }, body },
  "with another custom header": { headers: { ...own, ...json, "offswitch-csrf": "0" }, body },
};

for (const [name, sent] of Object.entries({ ...FORGED, ...NO_HEADER })) {
  // A02: neither does it log in as another user or log out, nor does it reveal who is logged in.
  test(`a POST ${name} has no effect on the cookie's routes`, async () => {
    for (const path of ["/auth/login", "/auth/logout", "/auth/session"]) {
      assertNoEffect(await effects(() => send(path, sent)), 403, "cross_site_request");
    }
  });
}

for (const [name, { headers, body: sent }] of Object.entries(FORGED)) {
  // A02: a request that changes something at the upstream must come from the application's own pages.
  test(`a request ${name} does not reach the upstream with the cookie`, async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      const done = await effects(() => send("/transfer", { method, headers, body: sent }));
      assertNoEffect(done, 403, "cross_site_request");
    }
  });
}

// A02: a link, an image or a preflight never reaches the routes.
test("the cookie's routes accept only POST, and there are no others", async () => {
  for (const path of ["/auth/login", "/auth/logout", "/auth/session"]) {
    for (const method of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]) {
      const done = await effects(() => send(path, { method, headers: own }));
      assertNoEffect(done, 405, method === "HEAD" ? undefined : "method_not_allowed");
      assert.equal(done.answer.headers.allow, "POST");
    }
  }
  for (const path of ["/auth/", "/auth/token", "/auth/login/", "/auth/%6cogin", "/x/../auth/nothing"]) {
    assertNoEffect(await effects(() => send(path, { headers: own })), 404, "not_found");
  }
});

// A02: other sites cannot read either; the cookie is ignored for them.
test("a GET from another site is handled without the cookie, one from no site with it", async () => {
  for (const site of ["cross-site", "same-site", "unheard-of"]) {
    for (const method of ["GET", "HEAD"]) {
      const headers = { "sec-fetch-site": site };
      const done = await effects(() => send("/read", { method, headers }));
      assertNoEffect(done, 401, method === "HEAD" ? undefined : "missing_token");
    }
  }
  for (const site of [undefined, "none", "same-origin"]) {
    const answer = await send("/read", { method: "GET", headers: { "sec-fetch-site": site } });
    assert.equal(answer.status, 200, site);
  }
});

// A02: a WebSocket is a GET that no CORS rule restricts.
test("a WebSocket of another origin is not opened with the cookie", async () => {
  const socket = {
    connection: "Upgrade", upgrade: "WebSocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13",
  };
  for (const more of [{}, { origin: "https://evil.example" }, { origin: edge.url, "sec-fetch-site": "same-site" }]) {
    const headers = { ...socket, ...more };
    const done = await effects(() => send("/socket", { method: "GET", headers }));
    assertNoEffect(done, 403, "cross_site_request");
  }
});

// D113: a link on another site leads to the page it names. Requests that are no navigation of a
// tab, or that change something, are handled without the cookie.
test("a link from another site is followed with the cookie, a frame or an image is not", async () => {
  const landing = { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  for (const site of ["cross-site", "same-site"]) {
    const headers = { ...landing, "sec-fetch-site": site };
    assert.equal((await send("/read", { method: "GET", headers })).status, 200, site);
    const others = [
      ["HEAD", headers], ["GET", { ...headers, "sec-fetch-dest": "iframe" }],
      ["GET", { ...headers, "sec-fetch-dest": "object" }], ["GET", { ...headers, "sec-fetch-dest": "embed" }],
      ["GET", { ...headers, "sec-fetch-dest": "image", "sec-fetch-mode": "no-cors" }],
      ["GET", { ...headers, "sec-fetch-mode": "no-cors" }], ["GET", { ...headers, "sec-fetch-dest": undefined }],
    ];
    for (const [method, sent] of others) {
      const done = await effects(() => send("/read", { method, headers: sent }));
      assertNoEffect(done, 401, method === "HEAD" ? undefined : "missing_token");
    }
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const done = await effects(() => send("/transfer", { method, headers }));
      assertNoEffect(done, 403, "cross_site_request");
    }
  }
});

// D111: under Referrer-Policy: no-referrer a page's own form sends a null Origin.
test("a null Origin counts as our own if the browser says that the request is same-origin", async () => {
  const headers = { ...own, ...json, origin: "null" };
  const login = await effects(() =>
    send("/auth/login", { headers, body: JSON.stringify({ code: codeOf("no-referrer") }) }));
  assert.deepEqual([login.answer.status, login.reached], [204, ["/handover/login"]]);
  const form = { origin: "null", "sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded" };
  assert.equal((await send("/transfer", { headers: form, body: "a=1" })).status, 200);
});

// The counter-test: the same requests with the right headers do have their effect.
test("the page's own requests have their effect", async () => {
  const login = await effects(() => send("/auth/login", { headers: { ...own, ...json }, body }));
  assert.deepEqual([login.answer.status, login.reached], [204, ["/handover/login"]]);
  const { answer } = await effects(() => send("/transfer", { headers: { origin: edge.url } }));
  assert.equal(answer.status, 200);
});

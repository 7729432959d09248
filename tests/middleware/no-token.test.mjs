// Values that requests bring instead of a token. D34: they are refused and never cause an error.

import assert from "node:assert/strict";
import { createServer, request as httpRequest } from "node:http";
import { after, test } from "node:test";
import { Verifier } from "offswitch";
import { mint, sign, signingKey } from "../support/fixture.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);
const verifier = new Verifier({
  issuer: "https://issuer.test", audience: "api", keys: { keys: [key.jwk] },
  feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey], maxStaleness: 600 },
});
verifier.apply(base);
const good = await mint(key);

const THINGS = {
  "nothing": [undefined, "missing_token"],
  "null": [null, "missing_token"],
  "a number": [5, "malformed"],
  "a bigint": [5n, "malformed"],
  "true": [true, "malformed"],
  "an object": [{ token: good }, "malformed"],
  "an object that acts as a string": [new String(good), "malformed"],
  "an array of the token": [[good], "malformed"],
  "a function": [() => good, "malformed"],
  "a symbol": [Symbol(good), "malformed"],
  "bytes": [Buffer.from(good), "malformed"],
  "the empty string": ["", "malformed"],
};

for (const [name, [thing, code]] of Object.entries(THINGS)) {
  // D34, V18
  test(`${name} instead of a token is refused with a code`, async () => {
    for (const verdict of [verifier.verifySync(thing), await verifier.verify(thing)]) {
      assert.deepEqual([verdict.outcome, verdict.code], ["refused", code]);
      assert.ok(verdict.detail.length > 0 && verdict.evidence.position === "1.2");
    }
    assert.equal(verifier.explain(thing).find(({ result }) => result === "refused").code, "malformed");
    verifier.onRevoked(thing, () => {})();
  });
}

// D34: no framework handles an upgrade and would catch an error there.
test("a WebSocket upgrade without a token ends its connection, not the server", async (context) => {
  const server = createServer((_, response) => response.end("still here"));
  server.on("upgrade", async (request, socket) => {
    const verdict = await verifier.verify(request.headers["x-token"]);
    socket.end(`HTTP/1.1 ${verdict.outcome === "valid" ? "101 Switching Protocols" : "401 Unauthorized"}\r\n\r\n`);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  context.after(() => server.close());
  const { port } = server.address();
  const upgrade = { connection: "Upgrade", upgrade: "websocket" };
  const ask = (headers) => new Promise((resolve, reject) => {
    const sent = httpRequest({ agent: false, host: "127.0.0.1", port, headers: { ...upgrade, ...headers } });
    sent.on("upgrade", (response, socket) => { socket.destroy(); resolve(response.statusCode); });
    sent.on("response", (response) => { response.resume(); resolve(response.statusCode); });
    sent.on("error", reject).end();
  });
  assert.equal(await ask({}), 401);
  assert.equal(await ask({ "x-token": "" }), 401);
  assert.equal(await ask({ "x-token": good }), 101);
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "still here");
});

after(() => verifier.close());

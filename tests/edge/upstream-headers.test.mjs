// The headers about the token that the upstream gets, which only the worker may set. Real workerd.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 4 }]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
const edge = await startEdge(stub, publicKey);
after(async () => {
  await edge.close();
  await stub.close();
});
const good = await mint(key);

/** Plain HTTP, so that exactly these headers are sent. */
function send(url, headers, path = "/") {
  const { hostname: host, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const options = { agent: false, host, port, path, headers: { authorization: `Bearer ${good}`, ...headers } };
    httpRequest(options, async (response) => {
      resolve(String(Buffer.concat(await response.toArray())));
    }).on("error", reject).end();
  });
}

/** Every character that a header name may have in addition to letters and digits (RFC 9110 section 5.6.2). */
const OTHERS = [..."!#$%&'*+-.^_`|~"];
const SPELLINGS = [
  ...OTHERS.map((one) => `offswitch${one}claims`), ...OTHERS.map((one) => `OFFSWITCH${one}Claims`),
  ...OTHERS.map((one) => `offswitch-claims${one}`), "Offswitch.verdict", "offswitch~position", "offswitch--claims",
];

// D03: servers that turn header names into variables map all of these to the same one.
test("no spelling of our header names from a client reaches the upstream", async () => {
  const forged = Object.fromEntries(SPELLINGS.map((name) => [name, "Zm9yZ2Vk"]));
  const { headers } = JSON.parse(await send(edge.url, forged));
  const ours = Object.keys(headers).filter((name) => /^offswitch/i.test(name));
  assert.deepEqual(ours, ["offswitch-claims"]);
  assert.equal(headers["offswitch-claims"], good.split(".")[1]);
});

// D03: the next proxy removes a header that `Connection` names (RFC 9110 section 7.6.1).
test("a client cannot make a proxy remove the claims", async () => {
  const { headers } = JSON.parse(await send(edge.url, { connection: "close, offswitch-claims, Offswitch-Claims" }));
  assert.equal(headers["offswitch-claims"], good.split(".")[1]);
  assert.doesNotMatch(headers.connection ?? "", /offswitch/i);
});

test("a name that only begins like ours is passed on", async () => {
  const { headers } = JSON.parse(await send(edge.url, { offswitches: "kept", "x-offswitch-claims": "kept" }));
  assert.deepEqual([headers.offswitches, headers["x-offswitch-claims"]], ["kept", "kept"]);
});

// D03: the server that the report names. It maps all the spellings to one variable, and the last one wins.
const hasLighttpd = existsSync("/usr/sbin/lighttpd");
test("a CGI program behind lighttpd sees the claims that were signed", { skip: !hasLighttpd }, async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "offswitch-cgi-"));
  const { port } = await freePort();
  writeFileSync(join(folder, "claims.cgi"), '#!/bin/sh\nprintf "content-type: text/plain\\n\\n"\nprintf %s "$HTTP_OFFSWITCH_CLAIMS"\n');
  chmodSync(join(folder, "claims.cgi"), 0o755);
  writeFileSync(join(folder, "lighttpd.conf"), [
    'server.modules = ("mod_cgi")', `server.document-root = "${folder}"`, `server.port = ${port}`,
    'server.bind = "127.0.0.1"', 'cgi.assign = (".cgi" => "")',
  ].join("\n"));
  const server = spawn("/usr/sbin/lighttpd", ["-D", "-f", join(folder, "lighttpd.conf")], { stdio: "ignore" });
  const worker = await startEdge(stub, publicKey, { UPSTREAM: `http://127.0.0.1:${port}` });
  context.after(async () => {
    server.kill();
    await worker.close();
    rmSync(folder, { recursive: true });
  });
  const direct = `http://127.0.0.1:${port}/claims.cgi`;
  while (!(await fetch(direct).catch(() => undefined))?.ok) await new Promise((resume) => setTimeout(resume, 100));
  assert.equal(await send(direct, { "offswitch.claims": "Zm9yZ2Vk" }, "/claims.cgi"), "Zm9yZ2Vk");
  for (const name of SPELLINGS) {
    assert.equal(await send(worker.url, { [name]: "Zm9yZ2Vk" }, "/claims.cgi"), good.split(".")[1], name);
  }
});

// D105: no bit of a claim changes on the way, beyond the range of JavaScript's numbers too.
test("the claims reach the upstream as the bytes that were signed", async () => {
  const text = `{"iss":"https://issuer.test","sub":"user","aud":"api","jti":"token","sid":"session","ver":1,`
    + `"iat":${Math.floor(Date.now() / 1000) - 5},"exp":${Math.floor(Date.now() / 1000) + 600},`
    + `"account":12345678901234567890123, "n" : 9007199254740993,"f":1.10,"é":"\\u00e9"}`;
  const token = await signText(text);
  const { headers } = JSON.parse(await send(edge.url, { authorization: `Bearer ${token}` }));
  assert.equal(String(Buffer.from(headers["offswitch-claims"], "base64url")), text);
});

async function signText(text) {
  const encode = (bytes) => Buffer.from(bytes).toString("base64url");
  const header = encode(JSON.stringify({ alg: key.alg, kid: key.kid, typ: "at+jwt" }));
  const signed = `${header}.${encode(text)}`;
  const signature = await crypto.subtle.sign("Ed25519", key.key, Buffer.from(signed));
  return `${signed}.${encode(signature)}`;
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve({ port }));
    });
  });
}

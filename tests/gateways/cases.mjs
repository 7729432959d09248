// What every gateway must do with the guard. The cases know of a gateway only what `traits` say.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { until } from "../support/feed.mjs";
import { ask, ask2, bearer, chunked } from "./client.mjs";
import { expectFailsClosed } from "./failures.mjs";
import { expectOpenConnections } from "./open.mjs";
import { expectNoSpoofing } from "./spoofing.mjs";
import { startSystem } from "./system.mjs";
import { valuesLike } from "./upstream.mjs";

/**
 * The tests of one gateway.
 *
 * @param {object} gateway see `startSystem`
 * @param {string} gateway.name
 * @param {boolean} [gateway.refusesTrailers] true if a request with trailers is refused; others drop them
 */
export function expectGateway(gateway) {
  let system;
  const name = gateway.name;
  before(async () => { system = await startSystem(gateway); }, { timeout: 600_000 });
  after(() => system?.close());
  const given = () => system;

  // G01: the service learns who asks, and the client's token goes on to it.
  test(`${name}: a valid token gets through, with its claims`, async () => {
    const token = await system.token("alice");
    for (const [version, answer] of [
      ["HTTP/1.1", await ask(system.port, { path: "/orders/1?a=b", headers: [bearer(token)] })],
      ["HTTP/2", await ask2(system.port, { headers: { ":path": "/orders/1?a=b", authorization: `Bearer ${token}` } })],
    ]) {
      assert.equal(answer.status, 200, `${version}: ${answer.text}${answer.failure ?? ""}`);
      const seen = JSON.parse(answer.text);
      assert.deepEqual([seen.method, seen.url], ["GET", "/orders/1?a=b"], version);
      assert.deepEqual(valuesLike(seen, "x-user"), ["alice"], version);
      assert.deepEqual(valuesLike(seen, "x-tenant").filter((value) => value !== ""), [], version);
      assert.deepEqual(valuesLike(seen, "authorization"), [`Bearer ${token}`], version);
    }
  });

  test(`${name}: without a token, with a wrong one or one that does not go far enough, nothing gets through`, async () => {
    const token = await system.token();
    system.upstream.seen.length = 0;
    for (const [path, headers, status] of [
      ["/orders/1", [], 401],
      ["/orders/1", [["Authorization", "Bearer not.a.token"]], 401],
      ["/orders/1", [["Authorization", "Basic YTpi"]], 401],
      ["/orders/1", [bearer(token.slice(0, -4))], 401],
      ["/admin/1", [bearer(token)], 403],
    ]) {
      const over1 = await ask(system.port, { path, headers });
      const over2 = await ask2(system.port, { headers: { ":path": path, ...Object.fromEntries(headers) } });
      for (const answer of [over1, over2]) {
        assert.equal(answer.status, status, `${path} ${headers}: ${answer.text}`);
        if (status === 401) assert.match(answer.headers["www-authenticate"], /^(Bearer|DPoP)/);
      }
    }
    assert.deepEqual(system.upstream.seen, []);
  });

  // The best of a few, since other programs use this machine too.
  test(`${name}: a token is refused within a second of its revocation`, async (context) => {
    const times = [];
    for (let round = 0; round < 5; round += 1) {
      const token = await system.token();
      assert.equal(await system.status(token), 200);
      await system.revoke({ token });
      const began = performance.now();
      assert.ok(await until(async () => (await system.status(token)) === 401, 10), "it is never refused");
      times.push(Math.round(performance.now() - began));
      assert.equal(await system.status(token), 401, "and stays so");
    }
    context.diagnostic(`refused ${times.join(", ")} ms after the answer to the revocation`);
    assert.ok(Math.min(...times) < 1000, `${times} ms`);
  });

  test(`${name}: odd requests get through or are refused as plain ones`, async () => {
    const [token, other] = [await system.token(), await system.token("bob")];
    const good = bearer(token);
    const long = bearer(`eyJ.${"a".repeat(16_300)}.b`);
    const endless = bearer(`eyJ.${"a".repeat(100_000)}.b`);
    for (const [what, asked, isExpected, most = 1] of [
      ["two tokens", { headers: [good, bearer(other)] }, isRefusal],
      ["the same token twice", { headers: [good, good] }, isRefusal],
      ["a hundred tokens", { headers: Array.from({ length: 90 }, () => good) }, isRefusal],
      ["a token with another in one line", { headers: [["Authorization", `${good[1]}, ${bearer(other)[1]}`]] }, isRefusal],
      ["a token of 16 KB", { headers: [long] }, is(401)],
      ["a token of 100 KB", { headers: [endless] }, isRefusal],
      ["HEAD", { method: "HEAD", headers: [good] }, is(200)],
      ["HEAD without a token", { method: "HEAD" }, is(401)],
      ["OPTIONS", { method: "OPTIONS", headers: [good] }, is(200)],
      ["OPTIONS without a token", { method: "OPTIONS" }, is(401)],
      ["CONNECT", { method: "CONNECT", path: "api.example:443", headers: [good] }, isRefusal],
      ["TRACE without a token", { method: "TRACE" }, isRefusal],
      ["a method in lower case without a token", { method: "get" }, isRefusal],
      ["a method that no one knows, without a token", { method: "FROB" }, isRefusal],
      ["the whole URL", { path: "https://api.example/orders/1", headers: [good] }, isAnswer],
      ["the whole URL without a token", { path: "https://api.example/public/1", headers: [["Host", "other.example"]] }, isAnswer],
      // Go's server answers that itself.
      ["an asterisk without a token", { method: "OPTIONS", path: "*" }, isAnswer, 0],
      ["chunks", { method: "POST", headers: [good, CHUNKED], body: chunked("hello") }, is(200)],
      ["chunks without a token", { method: "POST", headers: [CHUNKED], body: chunked("hello") }, is(401)],
      ["100-continue", { method: "POST", headers: [good, ["Expect", "100-continue"], ["Content-Length", "5"]], body: "hello" }, is(200)],
      ["two lengths", { method: "POST", headers: [good, ["Content-Length", "5"], ["Content-Length", "6"]], body: "hello!" }, isRefusal],
    ]) {
      system.upstream.seen.length = 0;
      const answer = await ask(system.port, { path: "/orders/1", ...asked });
      assert.ok(isExpected(answer.status), `${what}: ${answer.status} ${answer.failure ?? ""}`);
      const expected = answer.status === 200 ? most : 0;
      assert.equal(system.upstream.seen.length, expected, `${what}: ${answer.status}`);
    }
    const { sha256, bytes } = JSON.parse((await ask(system.port, {
      method: "POST", path: "/orders/1", headers: [good, CHUNKED], body: chunked("hello"),
    })).text);
    assert.deepEqual([bytes, sha256.slice(0, 8)], [5, "2cf24dba"], "the body arrives");
  });

  // A length and chunks: the service must not find a second request in the body.
  test(`${name}: a body is not read as a request of its own`, async () => {
    const token = await system.token();
    const inner = "GET /admin/1 HTTP/1.1\r\nHost: api.example\r\nX-User: root\r\n\r\n";
    const end = `0\r\n\r\n${inner}`;
    for (const headers of [
      [["Content-Length", String(end.length)], CHUNKED],
      [CHUNKED, ["Content-Length", "5"]],
      [["Transfer-Encoding", "xchunked"], ["Content-Length", String(end.length)]],
      [["Transfer-Encoding", "chunked, identity"]],
      [["Transfer-Encoding ", "chunked"], ["Content-Length", String(end.length)]],
    ]) {
      system.upstream.seen.length = 0;
      await ask(system.port, { method: "POST", path: "/orders/1", headers: [bearer(token), ...headers], body: end });
      await new Promise((resume) => setTimeout(resume, 50));
      const wrong = system.upstream.seen.filter((seen) => seen.url !== "/orders/1");
      assert.deepEqual(wrong, [], JSON.stringify(headers));
    }
  });

  // Only what is below /public is open: no spelling of another path gets there without a token.
  test(`${name}: no spelling of a path opens another`, async () => {
    for (const path of [
      "/public/../orders/1", "/public/%2e%2e/orders/1", "/public/.%2e/orders/1", "/public/..%2forders/1",
      "/public/%2e%2e%2forders/1", "/public/..\\orders/1", "/public/..%5corders/1", "/public/x/../../orders/1",
      "//orders/1", "/./orders/1", "/%6frders/1", "/orders;/1", "/public/..;/orders/1", "/public%2f..%2forders/1",
      "/public/%252e%252e/orders/1", "/public/%00/../../orders/1", "/orders/1?/public/", "/orders/1#/public/",
      "/Public/1", "/public", "orders/1",
    ]) {
      system.upstream.seen.length = 0;
      const over1 = await ask(system.port, { path });
      const over2 = await ask2(system.port, { headers: { ":path": path } });
      for (const { url, headers } of system.upstream.seen) {
        const isOpen = /^\/public(\/[\w]+)*$/.test(url);
        assert.ok(isOpen, `${path} arrives as ${url} ${JSON.stringify(headers)} (${over1.status}, ${over2.status})`);
      }
    }
  });

  expectNoSpoofing(gateway, given);
  expectOpenConnections(gateway, given);
  expectFailsClosed(gateway, given);
}

const is = (status) => (found) => found === status;
/** 0: the connection was closed without an answer. */
const isRefusal = (status) => status === 0 || status >= 400;
const isAnswer = (status) => status === 200 || status >= 400;
const CHUNKED = ["Transfer-Encoding", "chunked"];

// Clients that send headers with claims themselves, or say that they ask for something else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, ask2, bearer, chunked } from "./client.mjs";
import { valuesLike } from "./upstream.mjs";

export function expectNoSpoofing({ name, refusesTrailers = false }, system) {
  /** What arrives at the service has the claims of the token, if any, and nothing of the client's. */
  const isHonest = (what, expected) => {
    for (const seen of system().upstream.seen) {
      const [users, tenants] = ["x-user", "x-tenant"].map((one) => valuesLike(seen, one));
      assert.deepEqual([...new Set(users)].filter(Boolean), expected, `${what}: ${JSON.stringify(seen)}`);
      assert.ok(users.length <= 1, `${what}: ${JSON.stringify(seen)}`);
      assert.deepEqual(tenants.filter(Boolean), [], `${what}: ${JSON.stringify(seen)}`);
    }
  };

  // G02: in any spelling, with a token, with none where none is needed, and where none is looked at.
  test(`${name}: a client's own headers with claims never arrive`, async () => {
    const token = await system().token("alice");
    for (const [path, shown, expected] of [
      ["/orders/1", [bearer(token)], ["alice"]],
      ["/optional/1", [bearer(token)], ["alice"]],
      ["/optional/1", [], []],
      ["/public/1", [bearer(token)], []],
      ["/public/1", [], []],
    ]) {
      for (const spoofed of SPOOFED) {
        system().upstream.seen.length = 0;
        const answer = await ask(system().port, { path, headers: [...shown, ...spoofed] });
        const what = `${path} with ${JSON.stringify(spoofed)}: ${answer.status}`;
        assert.ok(answer.status === 200 || (answer.status >= 400 && answer.status < 500), what);
        isHonest(what, expected);
        const ofHttp2 = spoofed.map(([header, value]) => [header.toLowerCase(), value]);
        if (ofHttp2.some(([header]) => header === "connection")) continue;
        const joined = {};
        for (const [header, value] of [...shown, ...ofHttp2]) (joined[header.toLowerCase()] ??= []).push(value);
        system().upstream.seen.length = 0;
        await ask2(system().port, { headers: { ":path": path, ...joined } });
        isHonest(`${what} over HTTP/2`, expected);
      }
    }
  });

  // G02: short bodies and long ones, which no gateway holds as a whole before it passes them on.
  test(`${name}: trailers of a client do not arrive`, async () => {
    const token = await system().token("alice");
    const trailers = [["X-User", "root"], ["x_user", "root"], ["X-Tenant", "root"]];
    const over2 = { "x-user": "root", "x-tenant": "root" };
    const asked = { ":method": "POST", authorization: `Bearer ${token}` };
    const grpc = { ":path": "/example.Echo/Say", "content-type": "application/grpc", te: "trailers" };
    let arrived = 0;
    for (const body of ["a", "b".repeat(300_000)]) {
      for (const announced of [[], [["Trailer", "X-User, x_user, X-Tenant"]]]) {
        const headers = [bearer(token), ["Transfer-Encoding", "chunked"], ...announced];
        arrived += await expectNone("HTTP/1.1", () =>
          ask(system().port, { method: "POST", path: "/orders/1", headers, body: chunked(body, trailers) }));
      }
      arrived += await expectNone("HTTP/2", () =>
        ask2(system().port, { headers: { ...asked, ":path": "/orders/1" }, body, trailers: over2 }));
      arrived += await expectNone("gRPC", () => ask2(system().port, { headers: { ...asked, ...grpc }, body, trailers: over2 }));
    }
    assert.ok(arrived > 0 || refusesTrailers, "something arrives");
  });

  /** The service gets the request without trailers, or the gateway refuses it. */
  const expectNone = async (what, send) => {
    system().upstream.seen.length = 0;
    const { status } = await send();
    if (refusesTrailers) assert.equal(status, 400, what);
    isHonest(what, ["alice"]);
    assert.deepEqual(system().upstream.seen.flatMap((seen) => seen.trailers), [], what);
    return system().upstream.seen.length;
  };

  // What tells the guard which request is meant comes from the gateway alone.
  test(`${name}: a client cannot say that it asks for something else`, async () => {
    const token = await system().token("alice");
    const claims = [
      ["X-Original-URI", "/public/1"], ["X-Original-URL", "https://api.example/public/1"], ["X-Original-Method", "GET"],
      ["X-Original-Host", "other.example"], ["X-Original-Proto", "http"], ["X-Forwarded-Uri", "/public/1"],
      ["X-Forwarded-Method", "GET"], ["X-Forwarded-Host", "other.example"], ["X-Forwarded-Proto", "http"],
      ["X_Original_URI", "/public/1"], ["X_Forwarded_Uri", "/public/1"], ["X-Rewrite-Url", "/public/1"],
      ["X-Envoy-Original-Path", "/public/1"], ["X-Envoy-Auth-Headers-To-Remove", "x-user"],
      ["Offswitch-Verdict", "valid"], ["Connection", "close, X-Forwarded-Uri, X-Original-URI, X-Original-Method"],
      ["Connection", "close, Authorization"],
    ];
    for (const headers of [...claims.map((one) => [one]), claims.slice(0, 9), claims.slice(0, 9).concat(claims.slice(0, 9))]) {
      system().upstream.seen.length = 0;
      const without = await ask(system().port, { path: "/orders/1", headers });
      const tooFar = await ask(system().port, { path: "/admin/1", headers: [bearer(token), ...headers] });
      assert.deepEqual(system().upstream.seen, [], `${JSON.stringify(headers)}: ${without.status}, ${tooFar.status}`);
    }
  });
}

const SPOOFED = [
  [["X-User", "root"]],
  [["x-user", "root"]],
  [["X-USER", "root"]],
  [["X_User", "root"]],
  [["x.user", "root"]],
  [["X-Tenant", "root"]],
  [["x_tenant", "root"]],
  [["X-User", "root"], ["X-User", "root"]],
  [["X-User", "root"], ["x_user", "root"], ["X-Tenant", "root"]],
  [["X-User", ""], ["X-User", "root"]],
  // Proxies remove the headers that Connection names: after the claims were set, they would be gone.
  [["Connection", "close, X-User"]],
  [["Connection", "close, x-user, x-tenant"], ["X-Tenant", "root"]],
];

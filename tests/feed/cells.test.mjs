// Two control planes, each with its own log and feed, and one verifier over both.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import { combine } from "offswitch/feeds";
import { guard } from "offswitch/guard";
import { startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";

const planes = { eu: await startControlPlane(), us: await startControlPlane() };
const open = Object.values(planes);
after(async () => {
  for (const one of open.reverse()) await one.close();
});

async function follow(plane, feed) {
  const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
  return createVerifier({
    issuer: plane.url, audience: "api", keys: `${plane.url}/.well-known/jwks.json`, onEvent() {},
    feed: { url: `${plane.url}/v1/feed`, publicKeys, apiKey: plane.apiKey, maxStaleness: 3, pollSeconds: 0.2, ...feed },
  });
}

const logIn = async (plane, sub = "alice") => (await plane.call("POST", "/v1/sessions", { sub })).access_token;
const revoke = (plane, body) => plane.call("POST", "/v1/revocations", body);

for (const how of ["stream", "poll"]) {
  // P07: what happens in one cell is seen in that cell, and in no other.
  test(`two cells that are followed by ${how} are revoked, stopped and restarted one by one`, async () => {
    const { eu, us } = planes;
    const both = combine([await follow(eu, { follow: how }), await follow(us, { follow: how })]);
    open.push(both);
    const handler = guard(both, () => new Response("in"));
    const statusOf = async (token) => {
      const request = new Request("http://app.test/", { headers: { authorization: `Bearer ${token}` } });
      return (await handler(request)).status;
    };
    const isSoon = (token, status) => until(async () => (await statusOf(token)) === status, 20);
    const [ofEu, ofUs, other] = [await logIn(eu), await logIn(us), await logIn(us, "bob")];
    assert.deepEqual([await statusOf(ofEu), await statusOf(ofUs)], [200, 200]);

    await revoke(eu, { sub: "alice" });
    assert.ok(await isSoon(ofEu, 401));
    assert.equal(await statusOf(ofUs), 200, "the user of the same name in the other cell");

    // It hangs: it accepts connections and answers nothing.
    const held = await logIn(eu, "carol");
    assert.ok(await isSoon(held, 200));
    eu.signal("SIGSTOP");
    try {
      assert.ok(await isSoon(held, 503));
      assert.equal((await both.verify(held)).code, "stale_snapshot");
      assert.deepEqual([await statusOf(ofUs), await statusOf(other)], [200, 200]);
      await revoke(us, { token: other });
      assert.ok(await isSoon(other, 401), "the other cell still revokes");
      assert.equal(await statusOf(ofUs), 200);
      assert.equal(await statusOf(ofEu), 401, "what was revoked stays revoked");
    } finally {
      eu.signal("SIGCONT");
    }
    assert.ok(await isSoon(held, 200));

    // It is gone, and comes back.
    await eu.kill();
    assert.ok(await isSoon(held, 503));
    assert.equal(await statusOf(ofUs), 200);
    await eu.start();
    assert.ok(await isSoon(held, 200));
    await revoke(us, { sub: "alice" });
    assert.ok(await isSoon(ofUs, 401));
    assert.equal(await statusOf(held), 200);
    assert.ok(both.status().feeds.every(({ ready }) => ready));
  });
}

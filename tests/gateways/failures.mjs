// The guard or its control plane is gone, slow or starts again; the gateway starts again. G03, G04

import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../support/feed.mjs";
import { sign } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { ask, bearer } from "./client.mjs";

export function expectFailsClosed({ name }, system) {
  // G04: two clients with a good token and two with a revoked one ask all the time.
  test(`${name}: fails closed while the guard is dead, slow or starts again, and recovers`, LIMIT, async (context) => {
    const load = await Load.start(system());
    const { gateway, guard } = system();
    await load.recovers("before");
    await guard.end();
    await load.refuses("killed");
    await guard.start();
    await load.recovers("after a restart");
    guard.signal("SIGSTOP");
    await load.refuses("stopped");
    guard.signal("SIGCONT");
    await load.recovers("after it went on");
    await guard.restart("SIGTERM");
    await load.recovers("after an orderly restart");
    await gateway.restart("SIGKILL");
    await load.recovers("after a restart of the gateway");
    await load.stop();
    context.diagnostic(load.summary);
    assert.deepEqual(load.wrong, []);
  });

  // G03: the newest statement of the feed is older than the route takes.
  test(`${name}: a feed that is too old is answered 503 with Retry-After`, LIMIT, async () => {
    const token = await system().token();
    assert.ok(await until(async () => (await system().status(token, "/fresh/1")) === 200));
    await system().plane.kill();
    await answersUndecided(() => ask(system().port, { path: "/fresh/1", headers: [bearer(token)] }));
    // Cold: a guard that has no feed yet.
    await system().guard.restart("SIGKILL");
    await answersUndecided(() => ask(system().port, { path: "/orders/1", headers: [bearer(token)] }));
    const isRefused = async () => (await ask(system().port, { path: "/orders/1" })).status === 401;
    assert.ok(await until(isRefused), "without a token nothing is undecided");
    await system().plane.start();
    await system().guardIsReady();
    assert.ok(await until(async () => (await system().status(token, "/fresh/1")) === 200, 60), "it recovers");
  });

  // G03: two contents under one position, both signed by the key of the feed.
  test(`${name}: a feed that has forked is answered 503 with Retry-After`, LIMIT, async () => {
    const { publicKey, snapshots } = sign([{ to: 3 }, { to: 3, history: "fork" }]);
    const stub = await startStub({ snapshot: snapshots[0] });
    const { guard } = system();
    const env = guard.env;
    guard.env = {
      ...env, OFFSWITCH_GUARD_FEED_ID: "feed", OFFSWITCH_GUARD_FEED_PUBLIC_KEYS: publicKey,
      OFFSWITCH_GUARD_MAX_STALENESS_SECONDS: "600",
      OFFSWITCH_GUARD_FEED_URLS: `${stub.url}/feed`, OFFSWITCH_GUARD_FEED_FOLLOW: "poll",
    };
    try {
      const token = await system().token();
      await guard.restart("SIGKILL");
      assert.ok(await until(async () => (await system().status(token)) === 200, 60), "one content is a good feed");
      stub.snapshot = snapshots[1];
      await answersUndecided(() => ask(system().port, { path: "/orders/1", headers: [bearer(token)] }));
      // The first content alone does not make it good again.
      stub.snapshot = snapshots[0];
      await new Promise((resume) => setTimeout(resume, 2000));
      await answersUndecided(() => ask(system().port, { path: "/orders/1", headers: [bearer(token)] }));
    } finally {
      guard.env = env;
      await guard.restart("SIGKILL");
      await system().guardIsReady();
      await stub.close();
    }
    assert.ok(await until(async () => (await system().status(await system().token())) === 200, 60), "it recovers");
  });
}

/** Soon each answer is 503 with a time to come back. */
async function answersUndecided(send) {
  let answer;
  const isUndecided = async () => (answer = await send()).status === 503;
  assert.ok(await until(isUndecided, 60), `${answer?.status} ${answer?.text}`);
  for (let round = 0; round < 5; round += 1) {
    const { status, headers } = await send();
    assert.equal(status, 503);
    assert.match(headers["retry-after"] ?? "none", /^[1-9]\d*$/);
  }
}

class Load {
  counts = new Map();
  wrong = [];
  #isOver = false;
  #latest = { good: [], revoked: [] };
  #clients = [];

  static async start(system) {
    const load = new Load();
    const [good, revoked] = [await system.token("good"), await system.token("bad")];
    await system.revoke({ token: revoked });
    assert.ok(await until(async () => (await system.status(revoked)) === 401));
    system.upstream.isLoaded = true;
    load.system = system;
    load.#clients = [["good", good], ["revoked", revoked], ["good", good], ["revoked", revoked]]
      .map(([which, token]) => load.#send(which, token));
    return load;
  }

  async #send(which, token) {
    while (!this.#isOver) {
      const began = performance.now();
      const { status } = await ask(this.system.port, { path: "/orders/1", headers: [bearer(token)] });
      const key = `${which} ${status}`;
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
      const isWrong = which === "good" ? status === 401 || status === 403 : status === 200;
      if (isWrong) this.wrong.push(key);
      this.#latest[which].push({ began, status });
      await new Promise((resume) => setTimeout(resume, 10));
    }
  }

  /** Waits until both tokens are answered as they should be, several times after now. */
  async recovers(when) {
    const from = performance.now();
    const count = (which, status) => this.#latest[which].filter((one) => one.began > from && one.status === status).length;
    const isSo = () => count("good", 200) >= 5 && count("revoked", 401) >= 5;
    assert.ok(await until(isSo, 90), `${when}: ${this.summary} ${JSON.stringify(this.#latest.good.slice(-3))}`);
  }

  /** Requests that are sent while the guard does not answer are refused, as the gateway's own failure. */
  async refuses(when) {
    const from = performance.now();
    const sent = (which) => this.#latest[which].filter((one) => one.began > from);
    const isEnough = () => sent("good").length >= 2 && sent("revoked").length >= 2;
    assert.ok(await until(isEnough, 150), `${when}: ${this.summary}`);
    for (const { status } of [...sent("good"), ...sent("revoked")]) {
      assert.ok(status === 0 || status >= 500, `${when}: ${status}`);
    }
  }

  async stop() {
    this.#isOver = true;
    await Promise.all(this.#clients);
    this.system.upstream.isLoaded = false;
  }

  get summary() {
    return Array.from(this.counts, ([key, count]) => `${key}: ${count}`).sort().join(", ");
  }
}

const LIMIT = { timeout: 600_000 };

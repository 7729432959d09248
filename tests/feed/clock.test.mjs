// Wrong clocks, and feeds that repeat old content.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, test } from "node:test";
import { fakedClock, withoutFaketime } from "../support/faketime.mjs";
import {
  STREAM_TYPE, eventOf, followStream, optionsOf, send, verifierOf,
} from "../support/feed.mjs";
import { ROOT, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const begin = now();
const DAY = 86_400;
const at = (seconds) => ({ issued_at: begin + seconds, valid_until: begin + seconds + 600 });
const { publicKey, snapshots } = sign([
  { to: 2, tokens: ["gone"], ...at(0) },
  { from: 2, to: 2, ...at(0) },
  { to: 2, tokens: ["gone"], ...at(-DAY) },
  { from: 2, to: 3, tokens: ["newly gone"], ...at(0) },
  { from: 2, to: 3, tokens: ["token"], ...at(900) },
]);
const [base, heartbeat, yesterday, delta, later] = snapshots;
const iat = begin - DAY - 600;
/** Tokens from yesterday: one that has expired since, one that has not, one that was revoked. */
const [over, running, gone] = await Promise.all([
  mint(key, { iat, exp: begin - 3600 }), mint(key, { iat, exp: begin + DAY }),
  mint(key, { iat, exp: begin + DAY, jti: "gone" }),
]);
const fresh = await mint(key, { iat: begin, exp: begin + DAY });
const tokens = [over, running, gone, fresh];
const stub = await startStub({ snapshot: base });
after(stub.close);
const url = `${stub.url}/feed`;
const parts = { key, publicKey, url };

const faked = { skip: withoutFaketime, timeout: 60_000 };

/** Runs slow-clock-entry.mjs in a process whose clock is off by this much. */
async function askProcess(offset, feed, kept) {
  const options = optionsOf(parts, {}, feed);
  const child = spawn(process.execPath, [`${ROOT}tests/feed/slow-clock-entry.mjs`], {
    cwd: ROOT, env: { ...process.env, ...fakedClock(offset) }, stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(JSON.stringify({ options, kept: kept?.toString("base64"), tokens }));
  let output = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) output += chunk;
  return JSON.parse(output);
}

// E06: a process that starts with a clock a day behind cannot know which tokens are valid now, and says so.
test("a process whose clock is a day behind accepts no token", faked, async () => {
  stub.feed = send(base);
  const { now, result, codes } = await askProcess("-1d", {});
  assert.ok(Math.abs(now - (begin - DAY)) < 600, "the clock is faked");
  assert.equal(result.error, "snapshot_from_the_future");
  assert.ok(!codes.includes("valid"), codes.join());
  assert.equal(codes[1], "no_snapshot");
});

// E06: yesterday's snapshot looks fresh to it, until the feed shows that its clock is wrong.
test("a process a day behind does not accept yesterday's snapshot as today's", faked, async () => {
  stub.feed = send(delta);
  const { codes, result } = await askProcess("-1d", {}, yesterday);
  assert.equal(result.error, "snapshot_from_the_future");
  assert.deepEqual(codes, ["clock_skew", "stale_snapshot", "revoked_token", "clock_skew"]);
  const allowing = await askProcess("-1d", { onStale: "allow" }, yesterday);
  assert.deepEqual(allowing.codes, ["clock_skew", "valid", "revoked_token", "clock_skew"]);
});

// E06: with a clock that is ahead everything looks old: tokens are undecided, or refused as expired.
test("a process whose clock is two days ahead accepts no token", faked, async () => {
  stub.feed = send(base);
  const { codes } = await askProcess("+2d", {});
  assert.deepEqual(codes, ["expired", "expired", "expired", "expired"]);
  const { codes: hours } = await askProcess("+2h", {});
  assert.deepEqual(hours, ["expired", "stale_snapshot", "revoked_token", "stale_snapshot"]);
});

// E06, S09: the same with the clock option, until the clock is right again.
test("a verifier recovers without a restart when its clock is corrected", async () => {
  const { time, verifier } = verifierOf(parts);
  stub.feed = send(yesterday);
  time.ahead = -DAY;
  await verifier.refresh();
  assert.equal(verifier.verifySync(running).code, "valid", "no snapshot has shown that the clock is wrong");
  stub.feed = send(delta);
  assert.equal((await verifier.refresh()).error, "snapshot_from_the_future");
  assert.equal(verifier.verifySync(running).code, "stale_snapshot");
  assert.ok(verifier.status().ageSeconds >= DAY - 60);
  assert.equal(verifier.status().position, "1.2");
  time.ahead = 0;
  assert.equal(verifier.verifySync(running).code, "stale_snapshot", "it is still yesterday's");
  // A pause that was to end yesterday evening must not last until this evening.
  time.ahead = 31;
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
  assert.equal(verifier.verifySync(running).code, "valid");
});

// E06, S10: a control plane whose clock was wrong once does not block its followers for ever.
test("a snapshot from the future makes the held one look older until the next one", async () => {
  const { time, verifier } = verifierOf(parts);
  stub.feed = send(base);
  await verifier.refresh();
  stub.feed = send(later);
  assert.equal((await verifier.refresh()).error, "snapshot_from_the_future");
  assert.equal(verifier.verifySync(running).code, "stale_snapshot");
  assert.equal(verifier.verifySync(gone).code, "revoked_token");
  time.ahead = 31;
  stub.feed = send(delta);
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
  assert.equal(verifier.verifySync(running).code, "stale_snapshot", "as old as the snapshot that it holds");
  const { snapshots: [beat] } = sign([{ from: 3, to: 3, issued_at: now() + 5 }]);
  stub.feed = send(beat);
  await verifier.refresh();
  assert.equal(verifier.verifySync(running).code, "valid");
});

const FROZEN = {
  "the base": () => (stub.feed = send(base)),
  "a heartbeat": () => (stub.feed = (request, response) =>
    send(request.url.includes("since") ? heartbeat : base)(request, response)),
  "an entity tag": () => (stub.feed = (request, response) =>
    request.headers["if-none-match"] ? response.writeHead(304).end()
      : send(request.url.includes("since") ? heartbeat : base, { etag: '"1"' })(request, response)),
  "the events of a stream": () => {
    stub.feed = send(base);
    stub.stream = send(eventOf(heartbeat).repeat(5), { "content-type": STREAM_TYPE });
  },
};
for (const [what, freeze] of Object.entries(FROZEN)) {
  for (const [limit, feed, last] of [
    ["its validity and the skew", { maxStaleness: DAY }, 610],
    ["maxStaleness", { maxStaleness: 100 }, 100],
  ]) {
    // S07: a server that only repeats signed snapshots cannot keep the feed fresh beyond their dates.
    test(`a feed that repeats ${what} is stale after ${limit}`, async () => {
      freeze();
      const time = { ahead: 0 };
      const { verifier } = verifierOf(parts, { clock: () => begin + time.ahead }, feed);
      for (; time.ahead <= last; time.ahead += 10) {
        await verifier.refresh();
        if (what.includes("stream")) await followStream(verifier);
        assert.equal(verifier.verifySync(running).code, "valid", `${time.ahead} s`);
      }
      time.ahead = last + 1;
      await verifier.refresh();
      const { outcome, code } = verifier.verifySync(running);
      assert.deepEqual([outcome, code], ["undecided", "stale_snapshot"]);
      assert.equal(verifier.verifySync(gone).code, "revoked_token");
    });
  }
}

// Clocks that are wrong, and feeds that stand still.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { after, test } from "node:test";
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
/** Tokens of yesterday: one that is over by now, one that is not, one that was revoked. */
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

/** Whether `faketime` is there; Linux distributions and Homebrew have it. */
const hasFaketime = spawnSync("faketime", ["-f", "+0d", "true"]).status === 0;
const faked = { skip: hasFaketime ? false : "faketime is not installed", timeout: 60_000 };

/** Runs slow-clock-entry.mjs in a process whose clock is off by so much. */
async function askProcess(offset, feed, kept) {
  const options = optionsOf(parts, {}, feed);
  const program = [process.execPath, `${ROOT}tests/feed/slow-clock-entry.mjs`];
  const child = spawn("faketime", ["-f", offset, ...program], {
    cwd: ROOT, stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(JSON.stringify({ options, kept: kept?.toString("base64"), tokens }));
  let output = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) output += chunk;
  return JSON.parse(output);
}

// E06: a process that starts a day behind cannot tell what is good now, and does not say it can.
test("a process whose clock is a day behind calls nothing good", faked, async () => {
  stub.feed = send(base);
  const { now, result, codes } = await askProcess("-1d", {});
  assert.ok(Math.abs(now - (begin - DAY)) < 600, "the clock is faked");
  assert.equal(result.error, "snapshot_from_the_future");
  assert.ok(!codes.includes("valid"), codes.join());
  assert.equal(codes[1], "no_snapshot");
});

// E06: what was true yesterday looks fresh to it, until the feed shows that its clock is wrong.
test("a process a day behind does not take yesterday's snapshot for today's", faked, async () => {
  stub.feed = send(delta);
  const { codes, result } = await askProcess("-1d", {}, yesterday);
  assert.equal(result.error, "snapshot_from_the_future");
  assert.deepEqual(codes, ["clock_skew", "stale_snapshot", "revoked_token", "clock_skew"]);
  const allowing = await askProcess("-1d", { onStale: "allow" }, yesterday);
  assert.deepEqual(allowing.codes, ["clock_skew", "valid", "revoked_token", "clock_skew"]);
});

// E06: the other way round everything looks old: undecided, and refused where the token says so.
test("a process whose clock is two days ahead calls nothing good", faked, async () => {
  stub.feed = send(base);
  const { codes } = await askProcess("+2d", {});
  assert.deepEqual(codes, ["expired", "expired", "expired", "expired"]);
  const { codes: hours } = await askProcess("+2h", {});
  assert.deepEqual(hours, ["expired", "stale_snapshot", "revoked_token", "stale_snapshot"]);
});

// E06, S09: the same with the clock option, and how it ends once the clock is right.
test("a clock that is put right is recovered from without a restart", async () => {
  const { time, verifier } = verifierOf(parts);
  stub.feed = send(yesterday);
  time.ahead = -DAY;
  await verifier.refresh();
  assert.equal(verifier.verifySync(running).code, "valid", "nobody has shown that it is wrong");
  stub.feed = send(delta);
  assert.equal((await verifier.refresh()).error, "snapshot_from_the_future");
  assert.equal(verifier.verifySync(running).code, "stale_snapshot");
  assert.ok(verifier.status().ageSeconds >= DAY - 60);
  assert.equal(verifier.status().position, "1.2");
  time.ahead = 0;
  assert.equal(verifier.verifySync(running).code, "stale_snapshot", "it is yesterday's still");
  // What is being spared until yesterday's evening must not be spared until this evening.
  time.ahead = 31;
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
  assert.equal(verifier.verifySync(running).code, "valid");
});

// E06, S10: a control plane whose clock is wrong once does not stop those who follow it for good.
test("a snapshot from the future makes what is held look older until the next one", async () => {
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
  assert.equal(verifier.verifySync(running).code, "stale_snapshot", "as old as what is held");
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
    // S07: whoever only repeats what was signed before cannot keep it fresh beyond what was signed.
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

// How long a verifier can decide, with every way of following and any proxy in between: in virtual time, with a
// feed whose statements have realistic dates.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { DatedFeed, token } from "../support/dated-feed.mjs";

let feed;
const open = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
  feed.stop();
});

/** Verifiers that follow, `count` of them. */
async function start(options, count = 1, more = {}) {
  feed = new DatedFeed();
  const verifiers = [];
  for (let one = 0; one < count; one += 1) {
    const making = feed.verifier(options, more).then((made) => void verifiers.push(made));
    await feed.time.pass(0.05);
    await making;
  }
  open.push(...verifiers);
  return verifiers;
}

const code = (verifier) => verifier.verifySync(token).code;
const undecided = (verifiers) => verifiers.filter((one) => code(one) === "stale_snapshot").length;

/** The most verifiers that were undecided in any tenth of this many seconds. */
async function mostUndecided(verifiers, seconds) {
  let most = 0;
  for (let tenth = 0; tenth < seconds * 10; tenth += 1) {
    await feed.time.pass(0.1);
    most = Math.max(most, undecided(verifiers));
  }
  return most;
}

const gateway = (status) => () => new Response(null, { status });
/** A proxy that ends requests that take longer. */
const cutting = (seconds, end) => (wait, answer) =>
  (wait <= seconds ? answer()
    : new Promise((resolve, reject) => setTimeout(() => {
      try { resolve(end()); } catch (error) { reject(error); }
    }, seconds * 1000)));

for (const [what, end] of Object.entries({
  "answers 504": gateway(504),
  "answers 408": gateway(408),
  "resets the connection": () => { throw new TypeError("connection reset"); },
})) {
  // D101, S15: Envoy's default route time-out is 15 s; the default long poll takes 20.
  test(`a long poll behind a proxy that ${what} after 15 s never goes stale`, async () => {
    const verifiers = await start({ follow: "long-poll" });
    feed.proxy = cutting(15, end);
    assert.equal(await mostUndecided(verifiers, 200), 0);
    assert.ok(feed.polls < 200 / 3, `${feed.polls} requests in 200 s`);
    feed.revokedAt = feed.seconds + 1;
    await feed.time.pass(2);
    assert.equal(code(verifiers[0]), "revoked_token", "revocations are as prompt as before");
  });
}

// D101: also if a long poll never gets any answer.
test("a long poll that is never answered does not make the feed stale", async () => {
  const verifiers = await start({ follow: "long-poll", timeoutSeconds: 30 });
  feed.proxy = () => new Promise(() => {});
  assert.equal(await mostUndecided(verifiers, 200), 0);
});

// D101: a shorter maxStaleness shortens the waits.
for (const maxStaleness of [3, 6, 10, 20]) {
  test(`a long poll waits no longer than a maxStaleness of ${maxStaleness} s allows`, async () => {
    const verifiers = await start({ follow: "long-poll", maxStaleness });
    assert.equal(await mostUndecided(verifiers, 60), 0);
    assert.ok(feed.polls <= 62 * Math.max(1, 4 / maxStaleness), `${feed.polls} requests in a minute`);
  });
}

for (const follow of ["long-poll", "poll", "stream"]) {
  // D92, S14: 30 s are half of the time that a snapshot stays fresh.
  test(`an outage of 30 s leaves no verifier undecided that follows by ${follow}`, async () => {
    const verifiers = await start({ follow }, 50);
    await feed.time.pass(50);
    feed.goDown();
    const during = await mostUndecided(verifiers, 30);
    feed.isUp = true;
    assert.ok(during <= 0, `${during} undecided during the outage`);
    await feed.time.pass(1.2);
    assert.equal(await mostUndecided(verifiers, 20), 0);
  });

  // D92: an undecided verifier recovers with the feed, not ten seconds later.
  test(`after an outage of 90 s no verifier that follows by ${follow} is undecided for much longer`, async () => {
    const verifiers = await start({ follow }, 50);
    await feed.time.pass(20);
    feed.goDown();
    await feed.time.pass(90);
    assert.equal(undecided(verifiers), 50);
    feed.isUp = true;
    await feed.time.pass(1.6);
    assert.equal(undecided(verifiers), 0);
  });
}

// D103: nginx forwards its buffer when 4 KB are full: with heartbeats every 2 s that is every 20 s.
test("a revocation is not late behind a proxy that buffers the stream", async () => {
  const events = [];
  const [verifier] = await start({ follow: "stream" }, 1, { onEvent: (event) => events.push(event) });
  let [held, text] = [4096, ""];
  feed.buffer = (more, send) => {
    text += more;
    for (; text.length >= held; text = text.slice(held)) send(text.slice(0, held));
  };
  feed.goDown();
  feed.isUp = true;
  await feed.time.pass(60);
  assert.equal(verifier.status().following, "poll");
  feed.revokedAt = feed.seconds + 1;
  await feed.time.pass(2.5);
  assert.equal(code(verifier), "revoked_token");
  await feed.time.pass(60);
  assert.equal(verifier.status().following, "poll", "it does not alternate");
  const late = events.filter(({ error }) => error === "stream_late");
  assert.equal(late.length, 1, "said once");
  assert.match(late[0].detail, /\d+ s late/);
});

// D103: a delay that is equal for all events is visible in the events' own dates.
test("a stream whose events all come 20 s late is not used alone until they come in time", async () => {
  const [verifier] = await start({ follow: "stream" });
  let delay = 20_000;
  feed.buffer = (text, send) => void setTimeout(() => {
    try { send(text); } catch { /* that stream is over */ }
  }, delay);
  feed.goDown();
  feed.isUp = true;
  await feed.time.pass(60);
  const { following, feed: { streamLatenessSeconds: lateness } } = verifier.status();
  assert.equal(following, "poll");
  assert.ok(lateness >= 18 && lateness <= 23, `${lateness} s`);
  feed.revokedAt = feed.seconds + 1;
  await feed.time.pass(2.5);
  assert.equal(code(verifier), "revoked_token");
  delay = 0;
  feed.goDown();
  feed.isUp = true;
  await feed.time.pass(45);
  assert.equal(verifier.status().following, "stream");
  assert.ok(verifier.status().feed.streamLatenessSeconds <= 2);
});

// S15: a timely stream needs no polls.
test("a verifier with a timely stream does not poll", async () => {
  const [verifier] = await start({ follow: "stream" });
  await feed.time.pass(5);
  const before = feed.polls;
  await feed.time.pass(100);
  assert.equal(feed.polls, before);
  assert.equal(feed.streams, 1);
  assert.equal(verifier.status().following, "stream");
});

// D114: the control plane's heartbeat_seconds may be up to 60.
for (const heartbeat of [29, 45, 60]) {
  test(`a stream with a heartbeat of ${heartbeat} s is not silent, and never stale`, async () => {
    feed = new DatedFeed();
    feed.heartbeatSeconds = heartbeat;
    const verifier = await feed.verifier({ follow: "stream" });
    open.push(verifier);
    assert.equal(await mostUndecided([verifier], 200), 0);
    assert.equal(feed.streams, 1, "one stream all along");
    assert.equal(verifier.status().feed.failures, 0);
    assert.ok(feed.polls < 20, `${feed.polls} polls in 200 s`);
  });
}

// D87: a control plane whose clock was 200 s ahead does not extend maxStaleness.
test("a feed that is dated in the future goes stale as soon as any other", async () => {
  const [verifier] = await start({ follow: "poll" });
  feed.ahead = 200;
  await feed.time.pass(4);
  assert.equal(verifier.status().ageSeconds, 0);
  feed.goDown();
  await feed.time.pass(58);
  assert.equal(code(verifier), "valid");
  await feed.time.pass(5);
  assert.equal(code(verifier), "stale_snapshot");
  assert.ok(verifier.status().ageSeconds >= 61);
});

// D87: nor does a control plane whose clock was set back and that still dates its feed in the future.
test("a feed whose date does not advance goes stale although it is polled", async () => {
  const [verifier] = await start({ follow: "poll" });
  feed.ahead = 250;
  await feed.time.pass(75);
  assert.equal(code(verifier), "stale_snapshot");
});

// D87: nor does the verifier's own clock.
test("a clock that is set back makes no old snapshot look fresh", async () => {
  const [verifier] = await start({ follow: "poll" });
  await feed.time.pass(5);
  feed.goDown();
  feed.time.wallOffset = -200_000;
  await feed.time.pass(55);
  assert.equal(code(verifier), "valid");
  await feed.time.pass(8);
  assert.equal(code(verifier), "stale_snapshot");
});

// A thousand verifiers and the feed they follow, in virtual time: they run the package's own loop.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Fleet, ahead } from "../support/fleet.mjs";
import { settled } from "../support/virtual-time.mjs";

/** The longest pause of a client after a failure, seconds. */
const LONGEST_PAUSE = 10;
let fleet;
afterEach(() => fleet.stop());

/** Verifiers that have followed for ten seconds. */
async function start(edges, feed) {
  fleet = new Fleet(edges, feed);
  await fleet.time.pass(10);
  assert.equal(fleet.verifiers.length, edges);
  assert.ok(fleet.verifiers.every((verifier) => verifier.isReady));
  return fleet;
}

const TROUBLES = {
  "goes down for 20 s": async (fleet) => {
    fleet.breakOff();
    await fleet.time.pass(20);
    fleet.isUp = true;
  },
  "is restarted within half a second": async (fleet) => {
    fleet.breakOff();
    await fleet.time.pass(0.5);
    fleet.isUp = true;
  },
  "answers 503 with a pause of 5 s, for a while": async (fleet) => {
    fleet.breakOff();
    fleet.isUp = true;
    const away = () => new Response(null, { status: 503, headers: { "retry-after": "5" } });
    fleet.polls = fleet.streams = away;
    await fleet.time.pass(15);
    fleet.polls = fleet.streams = undefined;
  },
};

for (const follow of ["poll", "long-poll", "stream"]) {
  for (const [what, trouble] of Object.entries(TROUBLES)) {
    const edges = what.startsWith("goes down") ? 1000 : 200;
    // S14: the steady load is that of polling once a second; a server with this capacity never gets more than
    // twice as many requests, and never all of them at the same moment.
    test(`a feed that ${what} is not overrun by ${edges} followers by ${follow}`, async () => {
      const fleet = await start(edges, { follow });
      const before = fleet.peak(1000, 2, 10);
      if (follow !== "poll") assert.ok(before < edges / 5, "long-lived requests must be rare");
      else assert.ok(before > edges * 0.9 && before < edges * 1.1, `${before} polls a second`);
      await trouble(fleet);
      await fleet.time.pass(LONGEST_PAUSE + 2);
      if (follow === "poll") {
        const since = fleet.time.unix - LONGEST_PAUSE - 2;
        assert.ok(fleet.verifiers.every((verifier) => verifier.status().feed.lastRoundAt > since));
      } else assert.ok(fleet.held > edges * 0.97, `${fleet.held} are waiting for news`);
      const peak = fleet.peak(1000, 9.5);
      assert.ok(peak <= 2 * edges, `${peak} requests in a second`);
      const burst = fleet.peak(100, 9.5);
      assert.ok(burst <= edges / 2.5, `${burst} requests in a tenth of a second`);
    });
  }
}

// S14, S15, E01: where streams are blocked, an occasional attempt to open one is added to the polls, and the
// polls continue: with the default maxStaleness of 60 s, a longer gap would be an outage of everything behind
// the verifier.
test("where streams are blocked the feed is polled as if there were none", async () => {
  const edges = 20;
  const fleet = await start(edges, { follow: "stream" });
  fleet.streams = () => new Response(null, { status: 404 });
  fleet.breakOff();
  fleet.isUp = true;
  await fleet.time.pass(600);
  const peak = fleet.peak(10_000, 12) / 10;
  assert.ok(peak <= 2 * edges, `${peak} requests in a second`);
  const gap = fleet.longestGap(12);
  assert.ok(gap <= 5, `${gap} s without a poll, where one a second is configured`);
});

// S15, E01: a stream that is refused immediately costs nothing, and revocations stay prompt.
for (const pollSeconds of [1, 7]) {
  test(`where streams are refused immediately the feed is polled every ${pollSeconds} s`, async () => {
    const edges = 20;
    fleet = new Fleet(edges, { follow: "stream", pollSeconds });
    fleet.streams = () => new Response(null, { status: 403 });
    await fleet.time.pass(600);
    // Without the first and the last gap, which only begin or end within the measured time.
    const gaps = fleet.gaps(12 + pollSeconds * 2);
    const median = gaps[gaps.length >> 1];
    const longest = gaps.at(-1);
    assert.ok(median < 1.3 * pollSeconds, `half of the gaps are longer than ${median} s`);
    assert.ok(longest <= 1.6 * pollSeconds, `${longest} s without a poll`);
    assert.ok(gaps.length > (edges * 500) / pollSeconds / 1.3, `${gaps.length} polls`);
  });
}

for (const follow of ["poll", "stream"]) {
  // E04: no timer keeps a closed verifier until its next poll would be due.
  test(`a verifier that is closed between two polls leaves no timer by ${follow}`, async () => {
    // start waits long enough for every request to end.
    const fleet = await start(20, { follow, pollSeconds: 3600, timeoutSeconds: 1 });
    assert.ok(fleet.time.waiting >= 20, "each waits for its next poll");
    const before = fleet.requests.length;
    for (const verifier of fleet.verifiers) verifier.close();
    await settled();
    assert.equal(fleet.time.waiting, 0, "timers that are left");
    await fleet.time.pass(10);
    assert.equal(fleet.requests.length, before);
  });
}

// S14, E06, E07: a token that shows that the feed is behind causes an earlier poll; one that does so for ever
// (for example because the control plane was set back) must not cause a permanent load.
test("a token that is ahead of the feed for ever does not multiply the polls", async () => {
  const edges = 10;
  const fleet = await start(edges, { follow: "poll" });
  const token = await ahead();
  for (let tenth = 0; tenth < 300; tenth += 1) {
    for (const verifier of fleet.verifiers) verifier.verifySync(token);
    await fleet.time.pass(0.1);
  }
  const polls = fleet.peak(20_000, 15) / 20;
  assert.ok(polls > 1.2 * edges, "such tokens cause earlier polls");
  assert.ok(polls <= 2 * edges, `${polls} polls a second of ${edges} edges`);
});

/** All still follow: by an open stream, or by a recent poll. */
function assertFollowed(follow, edges) {
  if (follow === "stream") return assert.equal(fleet.held, edges, "number of open streams");
  const late = fleet.requests.filter(({ at }) => at > fleet.time.now - 35_000);
  assert.equal(new Set(late.map(({ edge }) => edge)).size, edges, "edges that still poll");
}

for (const follow of ["poll", "long-poll", "stream"]) {
  // E05, S14: waits must not depend on the wall clock, which may be set back.
  test(`a clock that is set back a day does not stop verifiers that follow by ${follow}`, async () => {
    const fleet = await start(20, { follow, longPollSeconds: 2 });
    fleet.isMute = true;
    fleet.time.wallOffset = -86_400_000;
    if (follow === "stream") {
      fleet.breakOff();
      fleet.isUp = true;
    }
    await fleet.time.pass(60);
    assertFollowed(follow, 20);
  });

  // E05, S14: nor must the pauses after a failure.
  test(`a clock that is set back during an outage does not stop ${follow}`, async () => {
    const fleet = await start(20, { follow, longPollSeconds: 2 });
    fleet.isMute = true;
    fleet.breakOff();
    await fleet.time.pass(5);
    fleet.time.wallOffset = -86_400_000;
    fleet.isUp = true;
    await fleet.time.pass(60);
    assertFollowed(follow, 20);
  });
}

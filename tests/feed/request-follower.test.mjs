// Following by requests, as in Workers: with virtual time, and requests that may be cut off.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Verifier } from "offswitch";
import { INTERNALS } from "../../verifier-wasm/js/feed/internals.js";
import { RequestFollower } from "../../verifier-wasm/js/feed/request-follower.js";
import { SNAPSHOT_TYPE, optionsOf } from "../support/feed.mjs";
import { sign, signingKey } from "../support/fixture.mjs";
import { VirtualTime, settled } from "../support/virtual-time.mjs";

const key = await signingKey("EdDSA");
/** Virtual time begins two hours after the snapshot was signed. */
const years = { issued_at: 1_800_000_000 - 7200, valid_until: 2_000_000_000 };
const { publicKey, snapshots: [base] } = sign([{ to: 1, ...years }]);
let time;
afterEach(() => time.stop());

const answer = () => new Response(base, { headers: { "content-type": SNAPSHOT_TYPE } });

/** A verifier with a base, and its follower; `polls` has the time of each request. */
async function start(feed = {}, more = {}) {
  const polls = [];
  const state = { answer, polls };
  time = new VirtualTime((url, request) => {
    polls.push(time.now / 1000);
    return state.answer(url, request);
  });
  const parts = { key, publicKey, url: "http://feed.test/feed" };
  const verifier = new Verifier(optionsOf(parts, more, { maxStaleness: 86_400, ...feed }));
  const follower = new RequestFollower(verifier[INTERNALS]);
  const works = [];
  const ask = () => follower.later((work) => void works.push(work));
  await verifier.refresh();
  /** Requests that come ten times a second. */
  state.requests = async (seconds) => {
    for (let tenth = 0; tenth < seconds * 10; tenth += 1) {
      ask();
      await time.pass(0.1);
    }
  };
  return Object.assign(state, { ask, verifier, works });
}

/** The feed holds long polls for as long as they ask; `open` counts them, and `most` is the most at a time. */
function longPolls(state) {
  Object.assign(state, { most: 0, open: 0 });
  state.answer = (url) => new Promise((resolve) => {
    state.open += 1;
    state.most = Math.max(state.most, state.open);
    setTimeout(() => {
      state.open -= 1;
      resolve(answer());
    }, Number(url.searchParams.get("wait")) * 1000);
  });
}

// S14, S15: however many requests come, the feed is polled as often as configured.
test("requests poll as often as configured, and no two at a time", async () => {
  const { polls, requests, works } = await start({ follow: "poll", pollSeconds: 2 });
  await requests(20);
  assert.ok(polls.length >= 9 && polls.length <= 11, polls.join());
  assert.equal(works.length, polls.length - 1, "nothing is left to wait for where nothing is due");
});

// E06: the clock for verdicts may differ from the machine's.
for (const [what, offset] of [["an hour ahead", 3600], ["an hour behind", -3600]]) {
  test(`a clock option that is ${what} does not change the frequency of polls`, async () => {
    const clock = () => time.unix + offset;
    const { polls, requests } = await start({ follow: "poll", pollSeconds: 2 }, { clock });
    await requests(20);
    assert.ok(polls.length >= 9 && polls.length <= 11, `${polls.length} polls in 20 s`);
  });
}

// E04: a request that is cut off leaves a poll that never ends; after a while another request polls.
test("a poll that never ends delays the others only for seconds", async () => {
  const state = await start({ follow: "poll", pollSeconds: 1 });
  state.answer = () => new Promise(() => {});
  time.now += 2000;
  state.ask();
  await settled();
  state.answer = answer;
  const before = state.polls.length;
  await state.requests(15);
  assert.ok(state.polls.length >= before + 5, `${state.polls.length - before} polls in 15 s`);
});

// E04, E05: also when the wall clock is set back in between.
test("a poll that never ends delays no request for long although the clock was set back", async () => {
  const state = await start({ follow: "poll", pollSeconds: 1 });
  state.answer = () => new Promise(() => {});
  time.now += 2000;
  state.ask();
  await settled();
  time.wallOffset = -86_400_000;
  state.answer = answer;
  const before = state.polls.length;
  await state.requests(60);
  assert.ok(state.polls.length >= before + 5, `${state.polls.length - before} polls in a minute`);
});

// S14: requests also reduce the polls of a feed that fails.
test("requests poll a failing feed less often", async () => {
  const state = await start({ follow: "poll", pollSeconds: 1 });
  state.answer = () => { throw new TypeError("connection refused"); };
  await state.requests(60);
  // At 0, 1, 2, 3, 5 and 9 s, and then every 5 s: no pause can be shorter.
  assert.ok(state.polls.length <= 16, `${state.polls.length} tries in a minute`);
});

// S15: a long poll lives as long as the platform allows after a request, and is renewed.
test("requests keep one long poll open at a time", async () => {
  const state = await start({ follow: "long-poll", longPollSeconds: 10 });
  longPolls(state);
  await state.requests(60);
  assert.equal(state.most, 1);
  assert.ok(state.polls.length <= 12, state.polls.join());
});

// S15: a request that comes while another one follows goes on where that one must end.
test("a long poll stays open for about as long after the last request as the platform allows", async () => {
  const state = await start({ follow: "long-poll", longPollSeconds: 10 });
  longPolls(state);
  await state.requests(23);
  for (let second = 0; second < 19; second += 1) {
    assert.equal(state.open, 1, `${second} s after the last request`);
    await time.pass(1);
  }
  await time.pass(10);
  assert.equal(state.open, 0, "no request lives longer");
  assert.ok(state.works.length <= 7, `${state.works.length} of 230 requests have work after their answer`);
});

// E04: the request that would go on may be cut off too.
test("the next request follows the feed if the one that would go on was cut off", async () => {
  const state = await start({ follow: "long-poll", longPollSeconds: 10 });
  longPolls(state);
  const { setTimeout: later } = globalThis;
  await state.requests(1);
  // The timer of the one that would go on never fires.
  globalThis.setTimeout = (run, milliseconds) => (milliseconds > 15_000 ? undefined : later(run, milliseconds));
  await state.requests(7);
  globalThis.setTimeout = later;
  await time.pass(25);
  assert.equal(state.open, 0);
  state.ask();
  await settled();
  assert.equal(state.open, 1);
});

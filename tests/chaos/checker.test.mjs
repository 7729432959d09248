// T01: the checker can fail. For each rule there is a history with exactly its fault.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { signSnapshot } from "../../verifier-wasm/js/testing/snapshot.js";
import { chance } from "../support/chance.mjs";
import { RULES, lostUnpublished, missingForAMoment, violations } from "./checker.mjs";
import { undecidedAfter } from "./fault-rules.mjs";
import { compare, readHistory, writeHistory } from "./history.mjs";
import { readSnapshot } from "./snapshot.mjs";

/**
 * Two processes; a store that loses its last seconds at 10 s, whose flushes fail at 20 s, whose slot moves at 30 s, and
 * which fails over to a replica without the last records at 42 s; a primary that is demoted at 100 s.
 */
function goodHistory() {
  const follower = (name) => ({ follower: name, process: `${name}#1` });
  const base = (at, name, to, chainTo, denied, users) => ({
    at, ...follower(name), result: "replaced", kind: "base", from: `${to.split(".")[0]}.0`, to,
    chainFrom: "0", chainTo, denied, users,
  });
  const delta = (at, name, from, to, chainFrom, chainTo, denied, users = []) => ({
    at, ...follower(name), result: "extended", kind: "delta", from, to, chainFrom, chainTo, denied, users,
  });
  const verdict = (at, verifier, position, token, code) =>
    ({ at, verifier, position, token, outcome: outcomeOf(code), code });
  const revoked = (at, request, kind, tokens, position) =>
    ({ at, sent: at - 5, request, kind, tokens, process: "a#1", outcome: "acknowledged", position, level: "synced" });
  const users = [["alice", 3, 0]];
  const names = ["a", "b"];
  return {
    tokens: [1, 2, 3, 4].map((token) =>
      ({ token, at: 0, sub: `${token}`, sid: `${token}`, jti: `${token}`, ver: 1 })),
    revocations: [
      revoked(5_000, "one", "jti", [1], "7.2"),
      revoked(6_000, "two", "user", [2], "7.3"),
      revoked(9_900, "three", "jti", [4], "7.5"),
      revoked(9_000, "five", "user", [2], "7.4"),
      { at: 10_050, request: "four", kind: "jti", tokens: [3], process: "b#1", outcome: "unknown" },
      revoked(27_000, "six", "jti", [1], "12.4"),
      revoked(41_000, "seven", "jti", [1], "12.5"),
      revoked(45_000, "eight", "jti", [1], "13.6"),
    ],
    received: names.flatMap((name) => [
      base(1_000, name, "7.1", "c1", [], []),
      delta(5_001, name, "7.1", "7.2", "c1", "c2", ["t1"]),
      delta(6_001, name, "7.2", "7.3", "c2", "c3", [], users),
      delta(6_500, name, "7.3", "7.3", "c3", "c3", []),
      base(13_000, name, "12.3", "d3", ["t1"], users),
      base(46_000, name, "13.6", "f6", ["t1"], users),
    ]).sort((one, other) => one.at - other.at),
    verdicts: names.flatMap((name) => [
      verdict(4_000, name, "7.1", 1, "valid"),
      verdict(7_000, name, "7.3", 1, "revoked_token"),
      verdict(7_000, name, "7.3", 2, "revoked_user"),
      verdict(14_000, name, "12.3", 1, "revoked_token"),
      verdict(14_000, name, "12.3", 2, "revoked_user"),
      verdict(14_000, name, "12.3", 3, "valid"),
      verdict(14_000, name, "12.3", 4, "valid"),
      verdict(150_000, name, "12.3", 3, "valid"),
      verdict(161_000, name, "12.3", 3, "stale_snapshot"),
      verdict(165_000, name, "12.3", 3, "stale_snapshot"),
      verdict(165_000, name, "12.3", 1, "revoked_token"),
    ]),
    faults: [
      { kind: "lost-seconds", begin: 10_000, end: 12_000, losesFrom: 8_000 },
      { kind: "demotion", begin: 100_000, end: 170_000 },
      { kind: "fsync", begin: 20_000, end: 26_000, recovered: 900, flushesFail: [20_500, 24_500], mustRefuse: true },
      { kind: "migration", begin: 30_000, end: 33_000, recovered: 100, moved: 5 },
      {
        kind: "lossy-failover", begin: 40_000, end: 50_000, recovered: 100, killedAt: 42_000, losesFrom: 40_100,
        mustHeal: true, mustRefuse: true,
      },
    ],
    failures: [
      { at: 22_000, process: "a#2", status: 503, code: "store_unavailable" },
      { at: 43_000, process: "a#2", status: 0 },
      { at: 47_000, process: "a#2", status: 422, code: "unknown_session" },
    ],
    readiness: names.flatMap((name) => [105_000, 111_000, 168_000].map((at) =>
      ({ at, until: at + 5, process: `${name}#2`, ready: at < 110_000 }))),
  };
}

const outcomeOf = (code) =>
  code === "valid" ? "valid" : code.startsWith("revoked_") ? "refused" : "undecided";

test("a correct history breaks no rule", () => {
  const history = goodHistory();
  assert.deepEqual(violations(history), []);
  // Acknowledged in the seconds that the store lost, and never published.
  assert.equal(lostUnpublished(history), 1);
  assert.deepEqual(undecidedAfter(history), ["a", "b"].map((verifier) => ({ verifier, seconds: 61 })));
});

const basesAfterTheLoss = ({ received }) => received.filter(({ at, kind }) => kind === "base" && at > 12_000);

const find = (rows, wanted) =>
  rows.find((row) => Object.entries(wanted).every(([name, value]) => row[name] === value));

/** Each fault, and the only rule that it breaks. */
const FAULTS = {
  "a token that one verifier refused is valid at another in the next era": ["nothingUnRevokes", (history) => {
    history.revocations[0].outcome = "unknown";
    Object.assign(find(history.verdicts, { verifier: "b", position: "12.3", token: 1, at: 14_000 }),
      { outcome: "valid", code: "valid" });
  }],
  "a token that one verifier refused is valid at another at the same position": ["nothingUnRevokes", (history) => {
    history.revocations[0].outcome = "unknown";
    Object.assign(find(history.verdicts, { verifier: "b", position: "7.3", token: 1 }),
      { outcome: "valid", code: "valid" });
  }],
  "two processes give one position two chain hashes": ["noPositionHasTwoContents", (history) => {
    find(history.received, { follower: "b", to: "12.3" }).chainTo = "e3";
  }],
  "a delta begins with another history": ["noPositionHasTwoContents", (history) => {
    Object.assign(find(history.received, { follower: "b", to: "7.3", kind: "delta" }),
      { chainFrom: "x2", result: "ignored" });
  }],
  "a base contains more than the deltas before it": ["noPositionHasTwoContents", (history) => {
    const last = find(history.received, { follower: "b", from: "7.3" });
    Object.assign(last, { kind: "base", from: "7.0", denied: ["t1", "t9"], users: [["alice", 3, 0]] });
    for (const base of basesAfterTheLoss(history)) base.denied.push("t9");
  }],
  "two processes demand different versions of a user at one position": ["noPositionHasTwoContents", (history) => {
    find(history.received, { follower: "b", to: "7.3" }).users = [["alice", 4, 0]];
    for (const base of basesAfterTheLoss(history)) base.users = [["alice", 4, 0]];
  }],
  "a verifier sees a fork": ["noPositionHasTwoContents", (history) => {
    find(history.received, { follower: "b", from: "7.3" }).result = "feed_fork";
  }],
  "an id that a follower was handed is missing after the heal": ["nothingPublishedIsLost", (history) => {
    for (const base of basesAfterTheLoss(history)) base.denied = [];
  }],
  "a user's version has fallen after the heal": ["nothingPublishedIsLost", (history) => {
    for (const base of basesAfterTheLoss(history)) base.users = [["alice", 2, 0]];
  }],
  "a revocation is lost that was acknowledged before the seconds that the store lost": [
    "nothingAcknowledgedIsLost", (history) => { history.revocations[2].at = 7_999; },
  ],
  "a revocation is lost that was acknowledged after the heal": [
    "nothingAcknowledgedIsLost", (history) => { history.revocations[2].at = 12_001; },
  ],
  "a revocation is lost by a store that was emptied under its processes": [
    "nothingAcknowledgedIsLost", (history) => { Object.assign(history.faults[0], { kind: "flush", losesFrom: 0 }); },
  ],
  "a revocation is lost that a follower was handed": ["nothingAcknowledgedIsLost", (history) => {
    history.revocations[2].position = "7.3";
    history.revocations[1].position = "7.2";
    history.revocations[0].outcome = "unknown";
  }],
  "two requests are acknowledged with one position": ["eachPositionIsAcknowledgedOnce", (history) => {
    history.revocations[1].position = "7.2";
  }],
  "a verifier calls a token valid 62 s after a demotion": ["demotionIsNoticed", (history) => {
    history.verdicts.push({ ...find(history.verdicts, { verifier: "a", at: 150_000 }), at: 162_001 });
  }],
  "a verifier is never seen undecided": ["demotionIsNoticed", (history) => {
    history.verdicts = history.verdicts.filter(({ at, verifier }) => verifier === "a" || at < 161_000);
  }],
  "a demotion ends before any verifier must notice": ["demotionIsNoticed", (history) => {
    history.faults[1].end = 162_000;
  }],
  "a process is ready while its store is a replica": ["demotionIsNoticed", (history) => {
    find(history.readiness, { at: 168_000, process: "b#2" }).ready = true;
  }],
  "readiness is never asked": ["demotionIsNoticed", (history) => { history.readiness = []; }],
  "a token is refused that no request revoked": ["nothingIsRefusedWithoutCause", (history) => {
    history.verdicts.push({ ...find(history.verdicts, { position: "12.3", token: 2 }), token: 5 });
  }],
  "nothing was acknowledged in the seconds that were lost": ["everyFaultWasLookedAt", (history) => {
    history.revocations = history.revocations.filter(({ at }) => at < 9_000 || at > 20_000);
  }],
  "no base is received after a loss": ["everyFaultWasLookedAt", (history) => {
    const after = basesAfterTheLoss(history);
    history.received = history.received.filter((one) => !after.includes(one));
    find(history.faults, { kind: "lossy-failover" }).mustHeal = false;
  }],
  "a token that was refused before a loss is not judged again": ["everyFaultWasLookedAt", (history) => {
    history.verdicts = history.verdicts.filter(({ at, outcome }) => at < 14_000 || outcome !== "refused");
  }],
  "a control plane takes longer than 30 s to work again": ["everyFaultIsSurvived", (history) => {
    find(history.faults, { kind: "migration" }).recovered = 30_001;
  }],
  "no revocation is acknowledged within 10 s after the death of a primary": ["everyFaultIsSurvived", (history) => {
    find(history.revocations, { request: "eight" }).at = 52_001;
  }],
  "no revocation is acknowledged again after the death of a primary": ["everyFaultIsSurvived", (history) => {
    find(history.revocations, { request: "eight" }).outcome = "unknown";
  }],
  "a correct request is answered 500": ["failuresCanBeRetried", (history) => {
    history.failures.push({ at: 22_000, process: "a#2", status: 500, code: "internal" });
  }],
  "a session is unknown although the store has lost nothing": ["failuresCanBeRetried", (history) => {
    history.failures.push({ at: 9_000, process: "a#1", status: 422, code: "unknown_session" });
  }],
  "a revocation is acknowledged as synced while every flush fails": ["nothingIsSyncedWhileFlushesFail", (history) => {
    find(history.revocations, { request: "six" }).at = 23_000;
  }],
  "no request fails while every flush fails": ["everyFaultHadAnEffect", (history) => {
    history.failures = history.failures.filter(({ at }) => at !== 22_000);
  }],
  "nothing was acknowledged that the new primary lacked": ["everyFaultHadAnEffect", (history) => {
    find(history.revocations, { request: "seven" }).at = 39_000;
  }],
  "no new era begins after a failover that lost records": ["everyFaultHadAnEffect", (history) => {
    history.received = history.received.filter(({ to }) => to !== "13.6");
  }],
  "no key of a slot that moves has moved": ["everyFaultHadAnEffect", (history) => {
    find(history.faults, { kind: "migration" }).moved = 0;
  }],
};

for (const [what, [rule, seed]] of Object.entries(FAULTS)) {
  test(`it is found when ${what}`, () => {
    const history = goodHistory();
    seed(history);
    const found = violations(history);
    assert.deepEqual([...new Set(found.map((one) => one.rule))], [rule], JSON.stringify(found, null, 1));
    assert.ok(found.every(({ text, evidence }) => text.length > 0 && Array.isArray(evidence)));
  });
}

// The process that published and acknowledged it has not noticed the loss yet; it heals the log when it does.
test("entries of only one process may be missing until that process has noticed", () => {
  const lost = ["nothingUnRevokes", "nothingPublishedIsLost", "nothingAcknowledgedIsLost"];
  for (const [at, rules] of [[11_500, []], [14_001, lost]]) {
    const history = goodHistory();
    const base = find(history.received, { to: "12.3" });
    history.received.push({ ...base, at, follower: "c", to: "11.3", chainTo: "i3", denied: [] });
    const verdict = find(history.verdicts, { position: "12.3", token: 3 });
    history.verdicts.push({ ...verdict, at, verifier: "c", position: "11.3", token: 1 });
    assert.deepEqual(violations(history).map(({ rule }) => rule), rules);
    const count = rules.length === 0 ? 1 : 0;
    assert.deepEqual(missingForAMoment(history), { bases: count, verdicts: count, acknowledged: count });
  }
});

test("each rule is shown at least one fault", () => {
  const shown = new Set(Object.values(FAULTS).map(([rule]) => rule));
  assert.deepEqual([...shown].sort(), Object.keys(RULES).sort());
});

test("a history is the same after writing and reading it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "offswitch-history-"));
  try {
    const path = join(folder, "history.jsonl");
    await writeHistory(goodHistory(), path);
    assert.deepEqual(await readHistory(path), goodHistory());
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("positions are compared as numbers, the era first", () => {
  const sorted = ["7.2", "7.10", "7.9007199254740991", "10.1"];
  assert.deepEqual([...sorted].reverse().sort(compare), sorted);
});

// The reader of snapshots against the writer, for sets of many sizes.
test("a snapshot reads as it was written", async () => {
  const random = chance(1);
  const fingerprint = () => BigInt(Math.floor(random() * 2 ** 32)) << 32n | BigInt(Math.floor(random() * 2 ** 32));
  const rules = {
    issuer: "https://auth.example", epoch: 9, horizons: [{ issuedFrom: 0, seconds: 600 }],
    selectors: [{ paths: ["/act/sub", "sub"], uses: 2 }, { paths: ["jti"], uses: 5 }],
  };
  for (const size of [0, 1, 2, 3, 7, 64, 65, 500]) {
    const denied = [...new Set(Array.from({ length: size }, fingerprint))];
    const cutoffs = [...new Set(Array.from({ length: size }, fingerprint))].map((of) => ({
      of, minimumVersion: Math.floor(random() * 2 ** 53), notBefore: Math.floor(random() * size),
    }));
    const bytes = await signSnapshot({
      feed: "https://auth.example", era: 1_800_000_000, from: size, to: 2 ** 53 - 1,
      chainFrom: new Uint8Array(32).fill(1), chainTo: new Uint8Array(32).fill(2),
      issuedAt: 1_800_000_001, validUntil: 1_800_000_061, salt: new Uint8Array(16), issuers: [rules],
      deadKeys: [{ issuer: "https://auth.example", kid: "one" }, { issuer: "https://a.example", kid: "two" }],
      denied, cutoffs,
    }, [{ publicKey: new Uint8Array(32), sign: async () => new Uint8Array(64) }]);
    const read = readSnapshot(bytes);
    const text = (number) => number.toString(36);
    assert.equal(read.kind, size === 0 ? "base" : "delta");
    assert.deepEqual([read.from, read.to], [`1800000000.${size}`, "1800000000.9007199254740991"]);
    assert.deepEqual([read.chainFrom, read.chainTo], ["01".repeat(32), "02".repeat(32)]);
    assert.deepEqual(read.issuers, [{ issuer: "https://a.example", epoch: 0, horizons: [], selectors: [] }, rules]);
    assert.deepEqual(read.deadKeys, [["https://auth.example", "one"], ["https://a.example", "two"]]);
    assert.deepEqual(read.denied.sort(), denied.map(text).sort());
    const expected = cutoffs.map(({ of, minimumVersion, notBefore }) => [text(of), minimumVersion, notBefore]);
    assert.deepEqual(read.users.sort(), expected.sort());
  }
});

// The content of the feed: dead keys, epoch, tokens, sessions, users; and a feed without content.

import { AUDIENCE, ISSUER } from "../../support/fixture.mjs";
import { ALGORITHMS, SYMMETRIC } from "../algorithms.mjs";
import { applied, either, refused, undecided, valid } from "./expected.mjs";
import {
  NOW, claimsText, compact, headerText, makeKey, rename, segments, token,
} from "./keys.mjs";
import { twin } from "./signatures.mjs";
import { TENANT } from "./verifiers.mjs";

export function revocationCases(verifiers, keys) {
  const dead = makeKey("EdDSA", "dead");
  const pair = [keys.EdDSA, keys.ES256, dead].map(({ jwk }) => jwk);
  const revoking = [["good", "replaced"], ["revoking", "replaced"]];
  verifiers.add("revoking", pair, {}, revoking);
  // The default for an issuer whose name is not that of the feed.
  verifiers.add("by time", pair, { userRule: undefined }, revoking);
  verifiers.add("epoch", pair, {}, [["good", "replaced"], ["epoch", "replaced"]]);
  for (const alg of ALGORITHMS) {
    const algorithms = SYMMETRIC.includes(alg) ? SYMMETRIC : ["EdDSA", "ES256", alg];
    verifiers.add(`revoking ${alg}`, [keys[alg].jwk], { algorithms }, revoking);
  }
  return [
    ...["EdDSA", "ES256"].flatMap((alg) => revoked(keys[alg])),
    ...ALGORITHMS.flatMap((alg) => revokedOf(`revoking ${alg}`, keys[alg])),
    refused("revoked_key", "revoking", "a dead key", token(dead)),
    ...reencoded(keys.ES256),
    ...epochs(keys.EdDSA),
    ...undecidedCases(verifiers, keys),
    ...arriving(verifiers, keys),
    ...selected(verifiers, keys),
    ...horizons(verifiers, keys),
    ...epochOfAnother(verifiers, keys),
  ];
}

function revoked(key) {
  const one = (code, claims, verifier = "revoking") =>
    either(code === "valid", code, verifier, `${key.alg}: ${JSON.stringify(claims)}`,
      token(key, claims));
  return [
    one("revoked_token", { jti: "gone" }), one("valid", { jti: "gone " }),
    one("valid", { jti: "Gone" }), one("valid", { sid: "gone" }),
    one("revoked_session", { sid: "left" }), one("valid", { jti: "left" }),
    one("valid", { sub: "left" }), one("valid", { sid: undefined }),
    one("revoked_user", { sub: "out", ver: 4 }), one("valid", { sub: "out", ver: 5 }),
    one("valid", { sub: "out", ver: 6 }),
    one("revoked_user", { sub: "out", ver: 0 }),
    one("valid", { sub: "out", ver: 9007199254740991 }),
    // X28: a ver of the wrong type is not a missing one, and a missing one is not of the wrong type.
    one("malformed", { sub: "out", ver: "5" }), one("malformed", { sub: "out", ver: null }),
    one("malformed", { sub: "out", ver: 5.5 }),
    one("revoked_user", { sub: "out", ver: undefined }),
    // A low version or an early instant revokes, independently of the other.
    one("revoked_user", { sub: "out", ver: undefined, iat: NOW - 5 }),
    one("revoked_user", { sub: "old", ver: 5, iat: NOW - 6 }),
    one("valid", { sub: "old", ver: 5, iat: NOW - 5 }), one("valid", { sub: "old", ver: undefined, iat: NOW - 5 }),
    one("revoked_user", { sub: "old", ver: 9 }, "by time"),
    one("valid", { sub: "old", ver: 0, iat: NOW - 5 }, "by time"),
    one("valid", { sub: "old", ver: "x", iat: NOW }, "by time"),
    one("revoked_user", { sub: "old", ver: null }, "by time"),
    one("valid", {}), one("valid", {}, "by time"),
    // The token comes before its session, and the session before the user.
    one("revoked_token", { jti: "gone", sid: "left", sub: "out", ver: 1 }),
    one("revoked_session", { sid: "left", sub: "out", ver: 1 }),
    // An expired token is expired, even if it is revoked too.
    one("expired", { jti: "gone", exp: NOW - 500 }),
    one("not_yet_valid", { jti: "gone", nbf: NOW + 500 }),
    one("wrong_audience", { jti: "gone", aud: "other" }),
    one("missing_claim", { jti: undefined, sid: "left" }),
  ].map((entry) =>
    (entry.code === "malformed" ? { ...entry, jose: "the type of a claim" } : entry));
}

function revokedOf(verifier, key) {
  return [
    refused("revoked_token", verifier, `${key.alg}: revoked token`, token(key, { jti: "gone" })),
    refused("revoked_session", verifier, `${key.alg}: revoked session`,
      token(key, { sid: "left" })),
    refused("revoked_user", verifier, `${key.alg}: revoked user`,
      token(key, { sub: "out", ver: 4 })),
    // The dead key belongs to another issuer.
    valid(verifier, `${key.alg}: none of it`, token(key, { sub: "out", ver: 5 })),
  ];
}

// V16, X28, X06: with any change to its bytes, a revoked token stays revoked or becomes invalid.
function reencoded(key) {
  return [{ jti: "gone" }, { sid: "left" }, { sub: "out", ver: 1 }].flatMap((claims, index) => {
    const code = ["revoked_token", "revoked_session", "revoked_user"][index];
    const text = token(key, claims);
    const [header, payload, tail] = segments(text);
    const padded = (segment) => segment + "=".repeat((4 - (segment.length % 4)) % 4 || 1);
    const others = [
      `${text}=`, `${text}==`, `${padded(header)}.${payload}.${tail}`, `${text}\n`, ` ${text}`,
      `${header}.${payload}.${padded(tail)}`,
    ];
    return [
      refused(code, "revoking", `${code}: as it was`, text),
      refused(code, "revoking", `${code}: its twin`, twin(text)),
      refused("bad_signature", "revoking", `${code}: longer`, `${text}AA`),
      ...others.map((one, at) =>
        refused("malformed", "revoking", `${code}: spelled ${at}`, one, { jose: "base64url" })),
    ];
  });
}

function epochs(key) {
  const one = (code, claims) =>
    either(code === "valid", code, "epoch", `epoch: ${JSON.stringify(claims)}`, token(key, claims));
  return [
    one("revoked_epoch", {}), one("revoked_epoch", { iat: NOW - 6 }),
    one("valid", { iat: NOW - 5 }), one("valid", { iat: NOW }),
    one("revoked_epoch", { iat: NOW - 5.5 }), one("revoked_epoch", { iat: NOW - 500_000 }),
    one("missing_claim", { iat: undefined }),
    one("revoked_epoch", { jti: "gone" }),
  ];
}

// E01: a token that would be valid is undecided; an invalid one is still refused.
function undecidedCases(verifiers, keys) {
  const kinds = {
    nothing: ["no_snapshot", []],
    stale: ["stale_snapshot", [["stale", "replaced"]]],
    fork: ["feed_fork", [["good", "replaced"], ["fork", "feed_fork"]]],
    "the wrong feed": ["no_snapshot", [["another feed", "wrong_feed"]]],
    "an unknown key": ["no_snapshot", [["another key", "snapshot_unknown_key"]]],
    "a delta alone": ["no_snapshot", [["delta", "feed_gap"]]],
    // A clock that is behind: the feed proves that it is later.
    "a slow clock":
      ["stale_snapshot", [["good", "replaced"], ["future", "snapshot_from_the_future"]]],
  };
  const jwks = [keys.EdDSA.jwk, keys.ES256.jwk];
  verifiers.add("stale, allowed", jwks, { feed: { onStale: "allow" } }, [["stale", "replaced"]]);
  verifiers.add("nothing, allowed", jwks, { feed: { onStale: "allow" } }, []);
  verifiers.add("behind", jwks);
  verifiers.add("patient", jwks, { feed: { maxStaleness: 100 } }, [["patient", "replaced"]]);
  const good = ["EdDSA", "ES256"].map((alg) => token(keys[alg]));
  const bad = [["expired", { exp: NOW - 500 }], ["wrong_audience", { aud: "x" }],
    ["missing_claim", { jti: undefined }]];
  const allow = { policy: { onStale: "allow" } };
  const cases = Object.entries(kinds).flatMap(([verifier, [code, snapshots]]) => {
    verifiers.add(verifier, jwks, {}, snapshots);
    return [
      ...good.map((text, at) => undecided(code, verifier, `${verifier}: good token ${at}`, text)),
      ...bad.map(([refusal, claims]) =>
        refused(refusal, verifier, `${verifier}: ${refusal}`, token(keys.EdDSA, claims))),
      refused("bad_signature", verifier, `${verifier}: forged`,
        `${good[0].slice(0, -40)}${"A".repeat(40)}`),
      refused("unknown_key", verifier, `${verifier}: unknown key`,
        token(rename(keys.EdDSA, { kid: "unlisted" }))),
      code === "stale_snapshot"
        ? valid(verifier, `${verifier}: good and allowed`, good[0], allow)
        : undecided(code, verifier, `${verifier}: good and allowed`, good[0], allow),
    ];
  });
  const patient = (at, policy) => ({ at, policy });
  const [text] = good;
  return [
    ...cases,
    valid("stale, allowed", "a good token", text),
    undecided("no_snapshot", "nothing, allowed", "a good token", text),
    undecided("stale_snapshot", "stale, allowed", "a good token, not for this route", text,
      { policy: { maxStaleness: 10 } }),
    // V10, S07: the age of the snapshot to the second, with the configured limit and with one per request.
    valid("patient", "100 s old", text, patient(100)),
    undecided("stale_snapshot", "patient", "101 s old", text, patient(101)),
    valid("patient", "95 s old of 95", text, patient(95, { maxStaleness: 95 })),
    undecided("stale_snapshot", "patient", "96 s old of 95", text,
      patient(96, { maxStaleness: 95 })),
    valid("patient", "101 s old of 200", text, patient(101, { maxStaleness: 200 })),
    valid("patient", "300 s old of any", text, patient(300, { onStale: "allow" })),
    // D17: a snapshot from the future does not make a good token refused.
    undecided("clock_skew", "a slow clock", "expired by the feed's time",
      token(keys.EdDSA, { exp: NOW + 400 })),
    undecided("clock_skew", "a slow clock", "begun by the feed's time",
      token(keys.EdDSA, { nbf: NOW + 400 }), { jose: "the feed's time" }),
    refused("not_yet_valid", "a slow clock", "begun by neither time",
      token(keys.EdDSA, { nbf: NOW + 560 })),
    // D114: the clock is behind by less than a snapshot may be ahead.
    undecided("clock_skew", "behind", "a login just now", token(keys.EdDSA, { iat: NOW, jti: "new" }),
      { at: -200, jose: "iat to come" }),
    valid("behind", "a login just now, in time", token(keys.EdDSA, { iat: NOW, jti: "new" }),
      { at: -30 }),
    refused("not_yet_valid", "behind", "a login to come", token(keys.EdDSA, { iat: NOW + 31 }),
      { at: -200, jose: "iat to come" }),
  ];
}

// V17, S06: the same tokens between one snapshot and the next.
function arriving(verifiers, keys) {
  const name = verifiers.add("arriving", [keys.EdDSA.jwk, keys.ES256.jwk]);
  const bytes = verifiers.snapshots;
  const [gone, other] = [token(keys.EdDSA, { jti: "gone" }), token(keys.ES256)];
  const flipped = (at) => bytes.delta.map((byte, place) => (place === at ? byte ^ 1 : byte));
  const still = (when) =>
    [valid(name, `not revoked ${when}`, gone), valid(name, `good ${when}`, other)];
  const bad = (code, what, one) => [applied(code, name, what, one), ...still(`after ${what}`)];
  return [
    ...still("yet"),
    ...bad("snapshot_malformed", "nothing at all", Buffer.alloc(0)),
    ...bad("snapshot_malformed", "a text", Buffer.from("[]")),
    ...bad("snapshot_malformed", "a token", Buffer.from(gone)),
    ...bad("snapshot_malformed", "another magic", flipped(0)),
    ...bad("snapshot_unknown_version", "another version", flipped(4)),
    ...bad("snapshot_bad_signature", "another last byte", flipped(bytes.delta.length - 1)),
    ...bad("wrong_feed", "another feed's base", bytes["another feed"]),
    ...bad("snapshot_unknown_key", "a base of another key", bytes["another key"]),
    ...bad("feed_gap", "a gap", bytes.gap),
    // S13: signed with a stolen key, to shut verifiers out of the feed.
    ...bad("snapshot_implausible", "an era beyond the clock", bytes["the last era"]),
    ...bad("snapshot_implausible", "an epoch beyond the clock", bytes["the last epoch"]),
    ...bad("refreshed", "the base again", bytes.good),
    applied("extended", name, "the delta", bytes.delta),
    refused("revoked_token", name, "revoked by the delta", gone),
    valid(name, "good after the delta", other),
    applied("ignored", name, "the delta again", bytes.delta),
    refused("revoked_token", name, "revoked after the delta came again", gone),
    applied("refreshed", name, "a heartbeat", bytes.heartbeat),
    refused("revoked_token", name, "revoked after a heartbeat", gone),
    valid(name, "good for longer after a heartbeat", other, { at: 80 }),
    applied("replaced", name, "a base of a new era", bytes["another era"]),
    refused("revoked_token", name, "revoked in the new era", gone),
    valid(name, "good in the new era", other),
    applied("ignored", name, "a base of the old era", bytes.revoking),
    refused("revoked_token", name, "revoked after an old base", gone),
    valid(name, "nothing more revoked by an old base", token(keys.EdDSA, { sid: "left" })),
  ];
}

// Claims that the verifier was not configured for: the feed contains the claims that it revokes by.
function selected(verifiers, keys) {
  const jwks = [keys.EdDSA.jwk, keys.ES256.jwk];
  const name = verifiers.add("selecting", jwks, {}, [["selecting", "replaced"]]);
  const one = (code, claims, jose) =>
    either(code === "valid", code, name, `selector: ${JSON.stringify(claims)}`,
      token(keys.EdDSA, claims), jose && { jose });
  const ofTenant = (text) => {
    const payload = claimsText({ tenant: 0 }).replace('"tenant":0', `"tenant":${text}`);
    return compact(keys.EdDSA, headerText(keys.EdDSA), payload);
  };
  const wrong = [5.5, null, {}, ["a", 1], [["gone"]], "x".repeat(257), Array(65).fill("a")];
  const arriving = verifiers.add("selectors to come", jwks);
  const gone = token(keys.EdDSA, { client_id: "gone" });
  return [
    one("valid", {}), one("valid", { client_id: "here" }), one("revoked_claims", { client_id: "gone" }),
    one("valid", { client_id: "Gone" }), one("valid", { client_id: "" }),
    one("valid", { clientId: "gone" }), one("valid", { within: { client_id: "gone" } }),
    // The claim is also part of a pair, so it must have one value.
    one("malformed", { client_id: ["here", "gone"] }, "the type of a claim"),
    one("revoked_claims", { azp: "cut" }), one("revoked_claims", { azp: "cut", iat: NOW - 6 }),
    one("valid", { azp: "cut", iat: NOW - 5 }), one("valid", { azp: "whole" }),
    // Both claims of a pair, each at its own place.
    one("revoked_claims", { sub: "half", client_id: "other half" }),
    one("valid", { sub: "half" }), one("valid", { client_id: "other half" }),
    one("valid", { sub: "other half", client_id: "half" }),
    one("revoked_claims", { act: { sub: "agent" } }), one("valid", { act: { sub: "other" } }),
    one("valid", { act: {} }), one("valid", { "/act/sub": "agent" }), one("valid", { sub: "agent" }),
    one("malformed", { act: "agent" }, "the type of a claim"),
    one("malformed", { act: { sub: 1.5 } }, "the type of a claim"),
    one("revoked_claims", { roles: "admin" }), one("revoked_claims", { roles: ["user", "admin"] }),
    one("valid", { roles: ["user", "administrator"] }), one("valid", { roles: [] }),
    one("revoked_claims", { external: true }), one("valid", { external: false }),
    one("valid", { external: "true" }), one("valid", { external: 1 }),
    refused("revoked_claims", name, "selector: the tenant", ofTenant(`${TENANT}`)),
    ...[BigInt(TENANT) - 1n, BigInt(TENANT) + 1n, `"${TENANT}"`].map((text) =>
      valid(name, `selector: tenant ${text}`, ofTenant(text))),
    // The selectors of another issuer do not apply to tokens of this one.
    one("valid", { department: "theirs" }), one("valid", { department: 5.5 }),
    ...wrong.map((roles) => one("malformed", { roles }, "the type of a claim")),
    // The token comes before the claims.
    one("revoked_claims", { client_id: "gone", jti: "here" }),
    valid(arriving, "client_id before the delta", gone),
    applied("extended", arriving, "a delta with a selector", verifiers.snapshots["selecting more"]),
    refused("revoked_claims", arriving, "client_id after the delta", gone),
    valid(arriving, "another client_id after the delta", token(keys.EdDSA, { client_id: "here" })),
  ];
}

// A token that lives longer than its issuer's revocations could outlive its own revocation.
function horizons(verifiers, keys) {
  const name = verifiers.add("horizon", [keys.EdDSA.jwk], { requiredClaims: ["exp"] },
    [["horizon", "replaced"]]);
  const one = (code, when, claims) =>
    either(code === "valid", code, name, `horizon ${when}: ${JSON.stringify(claims)}`,
      token(keys.EdDSA, claims), { jose: "a lifetime" });
  const newer = { iat: NOW - 5, exp: NOW + 895 };
  return [
    one("valid", "before", {}), one("lifetime_too_long", "before", { exp: NOW + 601 }),
    one("missing_claim", "before", { iat: undefined }),
    one("lifetime_too_long", "before", newer),
    applied("extended", name, "a longer horizon", verifiers.snapshots["a longer horizon"]),
    one("valid", "after", newer), one("valid", "after", {}),
    one("lifetime_too_long", "after", { ...newer, iat: NOW - 6 }),
    one("lifetime_too_long", "after", { ...newer, exp: NOW + 896 }),
    one("missing_claim", "after", { iat: undefined }),
  ];
}

// The red button of one issuer does not affect the tokens of others.
function epochOfAnother(verifiers, keys) {
  const issuers = [[ISSUER, keys.EdDSA], ["https://second.test", keys.ES256]].map(([issuer, key]) =>
    ({ issuer, audience: AUDIENCE, keys: { keys: [key.jwk] } }));
  const name = verifiers.add("epoch of another", [], { issuers }, [["epoch of another", "replaced"]]);
  const second = (claims) => token(keys.ES256, { iss: "https://second.test", ...claims });
  return [
    valid(name, "an epoch of another issuer", token(keys.EdDSA)),
    refused("revoked_epoch", name, "its own epoch", second({})),
    refused("revoked_epoch", name, "a second before its own epoch", second({ iat: NOW - 6 })),
    valid(name, "since its own epoch", second({ iat: NOW - 5 })),
  ];
}

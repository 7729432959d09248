// The vectors of the snapshot format, through the package.

import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { test } from "node:test";
import { Verifier } from "offswitch";
import { AUDIENCE, ROOT, mint, signingKey } from "../support/fixture.mjs";
import { bytesOf, golden, made } from "../support/golden.mjs";

const { cases, feed, files, issuer, now, public_keys: publicKeys } = golden;
const keys = { live: await signingKey("EdDSA", "live"), dead: await signingKey("EdDSA", "dead") };

function verifierFor(trust) {
  return new Verifier({
    issuer, audience: AUDIENCE, userRule: "version_else_issued_at", clock: () => now + 10,
    keys: { keys: Object.values(keys).map(({ jwk }) => jwk) },
    feed: {
      url: "http://feed.test/feed", id: feed, maxStaleness: 600,
      publicKeys: trust.map((seed) => publicKeys[seed]),
    },
  });
}

/** A token that the feed does not revoke, except by the members in `claims`. */
const token = (claims, kid = "live") => {
  const unlisted = { jti: "unlisted", sid: "unlisted", sub: "unlisted", ver: 0 };
  return mint(keys[kid], { iss: issuer, iat: now, exp: now + 500, ...unlisted, ...claims });
};

/** The claims, with nested claims at their places. */
function nested(claims) {
  const all = {};
  for (const [path, text] of Object.entries(claims)) {
    const names = path.startsWith("/") ? path.slice(1).split("/") : [path];
    const last = names.pop();
    names.reduce((within, name) => within[name] ??= {}, all)[last] = text;
  }
  return all;
}

/** Tokens with the code that they must get, or "valid". */
async function expectations({ revoked = {}, unaffected = {}, snapshot }) {
  const all = [];
  const expect = async (code, claims, kid) =>
    all.push({ code, claims, token: await token(claims, kid) });
  for (const jti of revoked.tokens ?? []) await expect("revoked_token", { jti });
  for (const sid of revoked.sessions ?? []) await expect("revoked_session", { sid });
  for (const kid of revoked.keys ?? []) await expect("revoked_key", {}, kid);
  for (const { sub, minimum_version: ver, not_before: iat } of revoked.users ?? []) {
    if (ver > 0) await expect("revoked_user", { sub, ver: ver - 1 });
    if (iat > 0) await expect("revoked_user", { sub, ver, iat: iat - 1 });
    await expect("valid", { sub, ver, iat: Math.max(iat, now - 500) });
  }
  for (const one of [...revoked.claims ?? [], ...unaffected.claims ?? []]) {
    const isRevoked = revoked.claims?.includes(one) && !one.issuer;
    const code = isRevoked ? "revoked_claims" : "valid";
    await expect(code, { ...nested(one.claims), iat: (one.not_before ?? now) - 1 });
    if (one.not_before) await expect("valid", { ...nested(one.claims), iat: one.not_before });
  }
  for (const { seconds, issued_from: iat } of snapshot?.horizons ?? []) {
    if (iat > 0) await expect("lifetime_too_long", { iat, exp: iat + seconds + 1 });
  }
  for (const jti of unaffected.tokens ?? []) await expect("valid", { jti });
  for (const sid of unaffected.sessions ?? []) await expect("valid", { sid });
  for (const sub of unaffected.users ?? []) await expect("valid", { sub });
  for (const kid of unaffected.keys ?? []) await expect("valid", {}, kid);
  if (snapshot?.epoch) {
    await expect("revoked_epoch", { iat: snapshot.epoch - 1 });
    await expect("valid", { iat: snapshot.epoch });
  }
  return all;
}

for (const one of cases) {
  // S17: these bytes mean the same in every version; bytes that cannot be read change nothing.
  test(`golden: ${one.what}`, async () => {
    const { age_seconds: ageSeconds = null, apply, position, result, trust } = one;
    const verifier = verifierFor(trust);
    const results = apply.map((file) => verifier.apply(bytesOf(file)));
    const { applied, error } = results.pop();
    assert.equal(applied ?? error, result);
    for (const earlier of results) assert.deepEqual(earlier, { applied: "replaced" });
    const status = verifier.status();
    assert.equal(status.position, position);
    if (ageSeconds !== null) assert.equal(status.ageSeconds, ageSeconds);
    for (const { code, claims, token } of await expectations(one)) {
      assert.equal(verifier.verifySync(token).code, code, JSON.stringify(claims));
    }
    if (position === null) assert.equal(verifier.verifySync(await token({})).code, "no_snapshot");
  });
}

// S17: a changed encoder would change bytes that others sign and cache.
test("the builder still makes the same files", () => {
  for (const [file, bytes] of Object.entries(made())) {
    assert.ok(Buffer.from(bytesOf(file)).equals(bytes), file);
  }
});

test("each file is described, used and small", () => {
  const folder = `${ROOT}verifier-wasm/snapshot/vectors`;
  const names = readdirSync(folder).filter((name) => !["heads.json", "vectors.json"].includes(name));
  assert.deepEqual(names.sort(), files.map(({ file }) => file).sort());
  const used = new Set(cases.flatMap(({ apply }) => apply));
  assert.deepEqual([...used].sort(), names);
  const sizes = readdirSync(folder).map((name) => statSync(`${folder}/${name}`).size);
  const size = sizes.reduce((sum, one) => sum + one);
  assert.ok(size < 100_000, `${size} bytes`);
});

// The package's own writer of snapshots, with which `offswitch/testing` signs: byte for byte equal to the Rust
// crate's output for the same orders.

import assert from "node:assert/strict";
import { test } from "node:test";
import { blake3 } from "../../verifier-wasm/js/testing/blake3.js";
import { USES, fingerprint, signSnapshot } from "../../verifier-wasm/js/testing/snapshot.js";
import { bytesOf, golden } from "../support/golden.mjs";

const { subtle } = crypto;
const base64url = (bytes) => Buffer.from(bytes).toString("base64url");

/** The key of a seed, as examples/fixture.rs makes it. */
async function feedKey(seed) {
  const d = base64url(new Uint8Array(32).fill(seed));
  // RFC 8410: a private key without its public half, which only Node's own crypto derives.
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  const key = await subtle.importKey("pkcs8", Buffer.concat([prefix, Buffer.from(d, "base64url")]), "Ed25519",
    true, ["sign"]);
  const { x } = await subtle.exportKey("jwk", key);
  const sign = async (message) => new Uint8Array(await subtle.sign("Ed25519", key, message));
  return { publicKey: new Uint8Array(Buffer.from(x, "base64url")), sign };
}

const names = (count = 0) => Array.from({ length: count }, (_, index) => `extra ${index}`);

/** The members of an order, with the chain hashes of its file. */
function contentOf(order, file) {
  const { feed = "feed", era = 1, from = 0, to = 0, issuer = golden.issuer } = order;
  const salt = new Uint8Array(16).fill(order.salt ?? 5);
  const of = (claim) => (name) => fingerprint(salt, issuer, { [claim]: name });
  const claims = (order.claims ?? []).map((one) =>
    ({ ...one, of: fingerprint(salt, one.issuer ?? issuer, one.claims) }));
  const denied = [
    ...(order.tokens ?? []).map(of("jti")),
    ...(order.sessions ?? []).map(of("sid")),
    ...names(order.extra).map(of("jti")),
    ...claims.filter((one) => one.not_before === undefined).map((one) => one.of),
  ];
  const users = [
    ...(order.users ?? []),
    ...names(order.extra_users).map((sub) => ({ sub, minimum_version: 0, not_before: 0 })),
  ].map(({ sub, minimum_version: minimumVersion, not_before: notBefore }) =>
    ({ of: of("sub")(sub), minimumVersion, notBefore }));
  const upTo = claims.filter((one) => one.not_before !== undefined)
    .map((one) => ({ of: one.of, minimumVersion: 0, notBefore: one.not_before }));
  const deadKeys = [
    ...(order.dead_keys ?? []),
    ...names(order.extra_dead_keys).map((kid) => ({ issuer, kid })),
  ];
  const varint = (number) => (number < 128 ? 1 : number < 16_384 ? 2 : 3);
  const chain = 6 + 72 * file[5] + 1 + feed.length + varint(era) + varint(from) + varint(to);
  return {
    feed, era, from, to, salt, issuers: rulesOf(order, issuer), denied, cutoffs: [...users, ...upTo], deadKeys,
    issuedAt: order.issued_at, validUntil: order.valid_until,
    chainFrom: file.subarray(chain, chain + 32), chainTo: file.subarray(chain + 32, chain + 64),
  };
}

/** The rules of each issuer for which an order has revocations. */
function rulesOf({ epoch = 0, horizons = [], claims = [] }, issuer) {
  const selectors = ["jti", "sid", "sub"].map((claim) => ({ paths: [claim], uses: USES[claim] }));
  const own = {
    issuer, epoch, selectors,
    horizons: horizons.map(({ issued_from: issuedFrom, seconds }) => ({ issuedFrom, seconds })),
  };
  const all = new Map([[issuer, own]]);
  for (const one of claims) {
    const name = one.issuer ?? issuer;
    if (!all.has(name)) all.set(name, { issuer: name, selectors: [] });
    const uses = one.not_before === undefined ? USES.exact : USES.cutoff;
    all.get(name).selectors.push({ paths: Object.keys(one.claims).sort(), uses });
  }
  return [...all.values()];
}

for (const { file, what, order, edit } of golden.files) {
  if (edit !== undefined || order.surplus !== undefined) continue;
  test(`the JavaScript writer makes the same bytes: ${what}`, async () => {
    const bytes = bytesOf(file);
    const seeds = [7, ...(order.other_seeds ?? [])];
    const content = contentOf({ ...golden.defaults, ...order }, bytes);
    const made = await signSnapshot(content, await Promise.all(seeds.map(feedKey)));
    assert.equal(Buffer.compare(made, bytes), 0);
  });
}

// The first bytes of the reference's test vectors, whose input is 0, 1, … 250, 0, 1, …
test("BLAKE3 is the reference's at the edges of blocks, chunks and trees", () => {
  const expected = {
    0: "af1349b9f5f9a1a6a0404dea36dcc949", 1: "2d3adedff11b61f14c886e35afa03673",
    1024: "42214739f095a406f3fc83deb889744a", 1025: "d00278ae47eb27b34faecf67b4fe263f",
    3072: "b98cb0ff3623be03326b373de6b90952", 102400: "bc3e3d41a1146b069abffad3c0d44860",
  };
  for (const [length, hash] of Object.entries(expected)) {
    const input = Uint8Array.from({ length: Number(length) }, (_, at) => at % 251);
    assert.equal(Buffer.from(blake3(input)).toString("hex").slice(0, 32), hash);
  }
});

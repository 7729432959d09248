// The input for every framework: two control planes and the tokens. All of it is JSON, so that it can be passed
// to a server in another process or runtime.

import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import { ISSUER, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

/** The age of the one snapshot: too old for some routes, and fresh enough for others. */
const AGE_SECONDS = 300;

export async function prepare() {
  const key = await signingKey("EdDSA");
  const dead = await signingKey("EdDSA", "dead");
  const jwks = { keys: [key.jwk, dead.jwk] };
  const held = {
    epoch: now() - 1000,
    dead_keys: [{ issuer: ISSUER, kid: "dead" }],
    issued_at: now() - AGE_SECONDS, valid_until: now() + 3600,
  };
  const { publicKey, snapshots: [first, next] } = sign([
    { ...held, to: 4, tokens: ["gone"] },
    { ...held, to: 5, tokens: ["gone", "going"] },
  ]);
  const plane = await startStub({ jwks, snapshot: first });
  const late = await startStub({ jwks, snapshot: first });
  late.isUp = false;
  onTold(plane, () => (plane.snapshot = next));
  onTold(late, () => (late.isUp = true));
  const good = await mint(key);
  const [, payload, signature] = good.split(".");
  const header = JSON.stringify({ alg: "EdDSA", kid: "unknown", typ: "at+jwt" });
  const clients = { own: await client(), foreign: await client() };
  const jkt = await calculateJwkThumbprint(clients.own.publicKey);
  const tokens = {
    bound: await mint(key, { cnf: { jkt } }),
    boundRevoked: await mint(key, { jti: "gone", cnf: { jkt } }),
    certified: await mint(key, { cnf: { "x5t#S256": jkt } }),
    good,
    going: await mint(key, { jti: "going" }),
    revoked: await mint(key, { jti: "gone" }),
    expired: await mint(key, { exp: now() - 3600 }),
    malformed: "nonsense",
    unknownKey: `${Buffer.from(header).toString("base64url")}.${payload}.${signature}`,
    deadKey: await mint(dead),
    beforeRedButton: await mint(key, { iat: now() - 2000 }),
    read: await mint(key, { scope: "read" }),
    readWrite: await mint(key, { scope: "openid write read" }),
    similar: await mint(key, { scope: "readwrite reader" }),
    listed: await mint(key, { scope: ["write", "read"] }),
    scp: await mint(key, { scp: "read write" }),
    scpListed: await mint(key, { scp: ["read", "write"] }),
    listedJoined: await mint(key, { scope: ["read write"] }),
    numbered: await mint(key, { scope: 5, scp: { read: true } }),
  };
  const close = () => Promise.all([plane.close(), late.close()]);
  const given = { clients, jwks, late: late.url, plane: plane.url, publicKey, tokens };
  return { close, given, plane };
}

/** A client's keys for DPoP proofs. */
async function client() {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  return { privateKey: await exportJWK(privateKey), publicKey: await exportJWK(publicKey) };
}

/** The client decides when the control plane changes, and may run in another process: see ask.mjs. */
function onTold(stub, change) {
  stub.upstream = (request, response) => {
    if (request.url === "/up/now") change();
    response.end();
  };
}

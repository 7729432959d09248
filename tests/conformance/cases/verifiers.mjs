// The verifiers that judge the cases, as options of the package, each with its snapshots.

import { AUDIENCE, ISSUER, sign } from "../../support/fixture.mjs";
import { ALGORITHMS, ASYMMETRIC, SYMMETRIC } from "../algorithms.mjs";
import { NOW } from "./keys.mjs";

export const CLAIMS = ["aud", "exp", "iat", "iss", "jti", "nbf", "sid", "sub", "ver"];

/** A number that equals its neighbour if numbers are doubles. */
export const TENANT = 2 ** 53 + 4;

/** The snapshots for all verifiers; signed together in one run. */
export function signSnapshots() {
  const fresh = { issued_at: NOW, valid_until: NOW + 60 };
  const orders = {
    good: { ...fresh, to: 1 },
    revoking: { ...fresh, to: 2, tokens: ["gone"], sessions: ["left"], users: [
      { sub: "out", minimum_version: 5, not_before: 0 },
      { sub: "old", minimum_version: 0, not_before: NOW - 5 },
    ], dead_keys: [{ issuer: ISSUER, kid: "dead" },
    { issuer: "https://other.test", kid: "key-ES256" }] },
    epoch: { ...fresh, to: 3, epoch: NOW - 5 },
    selecting: { ...fresh, to: 2, claims: [
      { claims: { client_id: "gone" } },
      { claims: { azp: "cut" }, not_before: NOW - 5 },
      { claims: { sub: "half", client_id: "other half" } },
      { claims: { "/act/sub": "agent" } },
      { claims: { roles: "admin" } },
      { claims: { tenant: TENANT } },
      { claims: { external: true } },
      { issuer: "https://other.test", claims: { department: "theirs" } },
    ] },
    "selecting more": { ...fresh, from: 1, to: 2, claims: [{ claims: { client_id: "gone" } }] },
    horizon: { ...fresh, to: 2, horizons: [{ issued_from: 0, seconds: 610 }] },
    "a longer horizon": { ...fresh, from: 2, to: 3, horizons: [{ issued_from: NOW - 5, seconds: 900 }] },
    "epoch of another": { ...fresh, to: 2, more_issuers: [
      { issuer: "https://second.test", epoch: NOW - 5, horizons: [], selectors: [] },
    ] },
    stale: { to: 1, issued_at: NOW - 500, valid_until: NOW - 400 },
    fork: { ...fresh, to: 1, history: "fork" },
    patient: { to: 1, issued_at: NOW, valid_until: NOW + 80_000 },
    delta: { ...fresh, from: 1, to: 2, tokens: ["gone"] },
    heartbeat: { issued_at: NOW + 30, valid_until: NOW + 90, from: 2, to: 2 },
    gap: { ...fresh, from: 5, to: 6 },
    future: { ...fresh, issued_at: NOW + 500, valid_until: NOW + 600, from: 1, to: 1 },
    "another feed": { ...fresh, to: 9, feed: "another" },
    "another key": { ...fresh, to: 9, seed: 8 },
    "the last era": { ...fresh, to: 1, era: Number.MAX_SAFE_INTEGER },
    "the last epoch": { ...fresh, to: 1, epoch: NOW + 86_401 },
    "another era": { ...fresh, to: 1, era: 2, tokens: ["gone"] },
  };
  const { publicKey, snapshots } = sign(Object.values(orders));
  return { publicKey,
    ...Object.fromEntries(Object.keys(orders).map((name, at) => [name, snapshots[at]])) };
}

/** Collects verifiers by name. */
export class Verifiers {
  /** @type {Record<string,
    { now: number, options: object, snapshots: { bytes: string, code: string }[] }>} */
  made = {};

  /** @param {ReturnType<typeof signSnapshots>} snapshots */
  constructor(snapshots) {
    this.snapshots = snapshots;
  }

  /**
   * @param {string} name @param {object[]} jwks @param {object} [options] @param {[string,
     string][]} [applied]
   *   snapshots by name with the code that applying them must return
   */
  add(name, jwks, options = {}, applied = [["good", "replaced"]]) {
    const { feed, ...rules } = options;
    const only = { issuer: ISSUER, audience: AUDIENCE, keys: { keys: jwks },
      userRule: "version_else_issued_at" };
    this.made[name] = {
      now: NOW,
      options: {
        ...(rules.issuers ? {} : only), ...rules,
        feed: { url: "http://feed.invalid", id: "feed", publicKeys: [this.snapshots.publicKey],
          ...feed },
      },
      snapshots: applied.map(([one, code]) =>
        ({ bytes: this.snapshots[one].toString("base64"), code })),
    };
    return name;
  }
}

/** The verifiers that several kinds of cases use. @param {Verifiers} verifiers */
export function addCommon(verifiers, keys) {
  for (const alg of ALGORITHMS) verifiers.add(alg, [keys[alg].jwk], { algorithms: [alg] });
  const jwks = (algs) => algs.map((alg) => keys[alg].jwk);
  verifiers.add("asymmetric", jwks(ASYMMETRIC), { algorithms: ASYMMETRIC });
  verifiers.add("secrets", [...jwks(SYMMETRIC), ...keys.secrets.map(({ jwk }) => jwk)],
    { algorithms: SYMMETRIC });
  verifiers.add("other sizes", keys.others.map(({ jwk }) => jwk), { algorithms: ASYMMETRIC });
  const both = jwks(["EdDSA", "ES256"]);
  const lax = { audience: "unchecked", requiredClaims: ["exp"], types: ["at+jwt", null],
    leewaySeconds: 0 };
  verifiers.add("strict", both, { requiredClaims: CLAIMS });
  verifiers.add("lax", both, lax);
  verifiers.add("lax by time", both, { ...lax, userRule: "issued_at" });
  const patient = { maxStaleness: 86_400 };
  for (const leewaySeconds of [0, 30, 300]) {
    const rules = { leewaySeconds, requiredClaims: ["exp"], feed: patient };
    verifiers.add(`leeway ${leewaySeconds}`, both, rules, [["patient", "replaced"]]);
  }
}

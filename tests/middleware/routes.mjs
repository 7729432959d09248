// The routes that every framework serves, and the verifiers behind them. Knows no runtime.

/**
 * `verifier` names one of `makeVerifiers`, `policy` is the route's; `decides` says what the route's
 * onUndecided does, `fails` that its handler does.
 */
export const ROUTES = {
  "/plain": { verifier: "patient" },
  "/read": { verifier: "patient", policy: { scopes: ["read"] } },
  "/read-write": { verifier: "patient", policy: { scopes: ["read", "write"] } },
  "/fresh": { verifier: "patient", policy: { maxStaleness: 60 } },
  "/fresh-enough": { verifier: "patient", policy: { maxStaleness: 1800 } },
  "/spread": { verifier: "patient", policy: { retryJitterSeconds: 3 } },
  "/spread-wide": { verifier: "patient", policy: { retryJitterSeconds: 3600 } },
  "/at-once": { verifier: "patient", policy: { retryJitterSeconds: 0 } },
  "/fails": { verifier: "patient", fails: true },
  "/stale": { verifier: "impatient" },
  "/stale-allowed": { verifier: "impatient", policy: { onStale: "allow" } },
  "/stale-for-longer": { verifier: "impatient", policy: { maxStaleness: 1800 } },
  "/careless": { verifier: "careless" },
  "/careless-fresh": { verifier: "careless", policy: { maxStaleness: 60 } },
  "/careless-denied": { verifier: "careless", policy: { onStale: "deny" } },
  "/empty": { verifier: "empty" },
  "/empty-allowed": { verifier: "empty", policy: { onStale: "allow" } },
  "/own-answer": { verifier: "empty", decides: "answers" },
  "/own-failure": { verifier: "empty", decides: "fails" },
  "/own-scope": { verifier: "patient", policy: { scopes: ["read"] }, decides: "answers" },
  "/late": { verifier: "late" },
  "/public": { verifier: "public" },
};

/**
 * @param {(options: any) => any} make createVerifier, or what makes a verifier without any I/O
 * @param {any} given see given.mjs
 */
export async function makeVerifiers(make, { jwks, late, plane, publicKey }) {
  const options = (url, feed = {}, keys = jwks, dpop = {}) => ({
    dpop, issuer: "https://issuer.test", audience: "api", keys,
    feed: { url, id: "feed", publicKeys: [publicKey], follow: "poll", pollSeconds: 0.2, ...feed },
  });
  return {
    patient: await make(options(`${plane}/feed`, { maxStaleness: 3600 })),
    impatient: await make(options(`${plane}/feed`, { maxStaleness: 60 })),
    careless: await make(options(`${plane}/feed`, { maxStaleness: 60, onStale: "allow" })),
    empty: await make(options(`${plane}/up/no-feed`)),
    public: await make(options(`${plane}/feed`, { maxStaleness: 3600 }, jwks, { publicUrl: "https://api.example/v2/" })),
    late: await make(options(`${late}/feed`, { maxStaleness: 3600 }, `${late}/jwks`)),
  };
}

/** What a handler tells of the verdict it was handed. */
export const told = ({ code, claims }, body = "") => ({ code, sub: claims.sub, body });

/** What a route's own onUndecided tells, with this status. */
export const OWN_STATUS = 418;
export const toldUndecided = ({ code, outcome }, path) => ({ code, outcome, path, own: true });

/** What a server's last resort for errors answers. */
export const toldError = (error) => ({ error: error.message });

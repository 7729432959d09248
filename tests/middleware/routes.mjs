// The routes that every framework serves, and the verifiers behind them. It does not depend on the runtime.

/**
 * `verifier` names one of `makeVerifiers`, `policy` is the route's policy; `decides` names the behaviour of the
 * route's onUndecided, `fails` means that its handler throws.
 */
export const ROUTES = {
  "/plain": { verifier: "patient" },
  "/read": { verifier: "patient", policy: { scopes: ["read"] } },
  "/read-write": { verifier: "patient", policy: { scopes: ["read", "write"] } },
  "/fresh": { verifier: "patient", policy: { maxStaleness: 60 } },
  "/fresh-enough": { verifier: "patient", policy: { maxStaleness: 1800 } },
  "/spread": { verifier: "patient", policy: { retryJitterSeconds: 3 } },
  "/spread-wide": { verifier: "patient", policy: { retryJitterSeconds: 3600 } },
  "/without-jitter": { verifier: "patient", policy: { retryJitterSeconds: 0 } },
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
 * @param {(options: any) => any} make createVerifier, or a function that makes a verifier without any I/O
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

/** The body of a handler's answer: the verdict that it got. */
export const verdictBody = ({ code, claims }, body = "") => ({ code, sub: claims.sub, body });

/** The body of the answer of a route's own onUndecided, with this status. */
export const OWN_STATUS = 418;
export const undecidedBody = ({ code, outcome }, path) => ({ code, outcome, path, own: true });

/** The body of the answer of a server's last error handler. */
export const errorBody = (error) => ({ error: error.message });

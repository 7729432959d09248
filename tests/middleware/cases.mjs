// The table: the request to each route, and the answer that every framework must give.

export const unauthorized = (code, more = {}) => ({
  status: 401, code, title: "Unauthorized",
  challenge: `Bearer error="invalid_token", error_description="${code}"`, ...more,
});
const forbidden = (scope) => ({
  status: 403, code: "insufficient_scope", title: "Forbidden",
  challenge: `Bearer error="insufficient_scope", scope="${scope}"`,
});
export const unavailable = (code) =>
  ({ status: 503, code, title: "Service Unavailable", retryAfter: [1, 1] });
export const served = (body = "") => ({ status: 200, json: { code: "valid", sub: "user", body } });
const failed = (error) => ({ status: 500, json: { error } });

const missing = { status: 401, code: "missing_token", title: "Unauthorized", challenge: "Bearer" };
const revoked = unauthorized("revoked_token");
const epoch = (more) => unauthorized("revoked_epoch", more);
const stale = unavailable("stale_snapshot");
const noSnapshot = unavailable("no_snapshot");
const ownAnswer = { code: "no_snapshot", outcome: "undecided", path: "/own-answer", own: true };
const large = "x".repeat(1 << 20);

/** By name: the path, the request, the answer; `token` names one of given.mjs. */
export const CASES = {
  "a request without a token gets a challenge": ["/plain", {}, missing],
  "Basic is not a bearer token": ["/plain", { authorization: "Basic dTpw" }, missing],
  "a scheme without a token counts as no token": ["/plain", { authorization: "Bearer" }, missing],
  "a scheme that only begins like Bearer is another":
    ["/plain", { authorization: "Bearerish x" }, missing],
  "a token in the query is ignored": ["/plain?access_token=x", {}, missing],
  "a HEAD request is answered without a body":
    ["/plain", { method: "HEAD" }, { ...missing, code: undefined }],
  "a POST is refused before its body is read": ["/plain", { method: "POST", body: large }, missing],

  "a good token reaches the handler with its claims": ["/plain", { token: "good" }, served()],
  "the scheme's spelling does not matter":
    ["/plain", { token: "good", scheme: "bearer" }, served()],
  "the scheme may be in capitals": ["/plain", { token: "good", scheme: "BEARER" }, served()],
  "the handler gets the body":
    ["/plain", { token: "good", method: "POST", body: "the body" }, served("the body")],

  "a revoked token is refused": ["/plain", { token: "revoked" }, revoked],
  "an expired token is refused": ["/plain", { token: "expired" }, unauthorized("expired")],
  "a text that is no token is malformed": ["/plain", { token: "malformed" }, unauthorized("malformed")],
  // D20: RFC 6750 section 2.1 has exactly one space between the scheme and the token.
  "two spaces before a token are malformed":
    ["/plain", { token: "good", scheme: "Bearer " }, unauthorized("malformed")],
  "a tab before a token is no space": ["/plain", { token: "good", scheme: "Bearer \t" }, unauthorized("malformed")],
  "a no-break space before a token is no space":
    ["/plain", { token: "good", scheme: "Bearer \u00a0" }, unauthorized("malformed")],
  "a no-break space behind a token is part of it":
    ["/plain", { token: "good", suffix: "\u00a0" }, unauthorized("malformed")],
  "the bytes of a byte order mark behind a token are part of it":
    ["/plain", { token: "good", suffix: "\u00ef\u00bb\u00bf" }, unauthorized("malformed")],
  "a tab in place of the space makes another scheme": ["/plain", { authorization: "Bearer\tx" }, missing],
  "two tokens count as malformed":
    ["/plain", { authorization: "Bearer a, Bearer b" }, unauthorized("malformed")],

  "a token of an unknown key may be tried again within ten seconds":
    ["/plain", { token: "unknownKey" }, unauthorized("unknown_key", { retryAfter: [1, 10] })],
  "a token of a dead key may be tried again within ten seconds":
    ["/plain", { token: "deadKey" }, unauthorized("revoked_key", { retryAfter: [1, 10] })],
  "a token from before the red button is refused with the route's own retry time":
    ["/spread", { token: "beforeRedButton" }, epoch({ retryAfter: [1, 3] })],
  "without jitter the answer has no retry time":
    ["/without-jitter", { token: "beforeRedButton" }, epoch()],
  "a single revocation is no mass event": ["/spread", { token: "revoked" }, revoked],

  "a scope that is there is enough": ["/read", { token: "read" }, served()],
  "additional scopes do no harm": ["/read-write", { token: "readWrite" }, served()],
  "all scopes are required": ["/read-write", { token: "read" }, forbidden("read write")],
  "a scope that contains the name is another": ["/read", { token: "similar" }, forbidden("read")],
  "a token without a scope has none": ["/read", { token: "good" }, forbidden("read")],
  // D109: as Okta, Entra ID and others write them.
  "scopes in an array are read": ["/read-write", { token: "listed" }, served()],
  "scopes in scp are read": ["/read-write", { token: "scp" }, served()],
  "scopes in an array in scp are read": ["/read-write", { token: "scpListed" }, served()],
  "a name with a space in an array is one scope": ["/read", { token: "listedJoined" }, forbidden("read")],
  "a scope that is neither text nor a list is malformed":
    ["/read", { token: "numbered" }, unauthorized("malformed")],
  "the scope of a refused token is not checked": ["/read", { token: "revoked" }, revoked],
  "a missing scope is not an undecided verdict": ["/own-scope", { token: "good" }, forbidden("read")],

  "without a snapshot nothing is decided": ["/empty", { token: "good" }, noSnapshot],
  "a missing snapshot does not count as stale": ["/empty-allowed", { token: "good" }, noSnapshot],
  "without a snapshot a revoked token is undecided": ["/empty", { token: "revoked" }, noSnapshot],
  "a text that is no token is refused without a snapshot too":
    ["/empty", { token: "malformed" }, unauthorized("malformed")],
  "a missing token is refused without a snapshot too": ["/empty", {}, missing],

  "with a stale feed nothing is decided": ["/stale", { token: "good" }, stale],
  "a stale feed still refuses revoked tokens": ["/stale", { token: "revoked" }, revoked],
  "a route may accept a stale feed": ["/stale-allowed", { token: "good" }, served()],
  "a route that accepts a stale feed still refuses revoked tokens":
    ["/stale-allowed", { token: "revoked" }, revoked],
  "a route may be stricter than its verifier": ["/fresh", { token: "good" }, stale],
  "a route that is strict enough serves": ["/fresh-enough", { token: "good" }, served()],
  "a route may be more patient than its verifier":
    ["/stale-for-longer", { token: "good" }, served()],
  "a verifier may accept a stale feed": ["/careless", { token: "good" }, served()],
  "a route may be strict where its verifier is careless":
    ["/careless-fresh", { token: "good" }, stale],
  "a route may deny where its verifier is careless": ["/careless-denied", { token: "good" }, stale],

  "a route's onUndecided answers an undecided request":
    ["/own-answer", { token: "good" }, { status: 418, json: ownAnswer }],
  "onUndecided is not called for refusals":
    ["/own-answer", { token: "malformed" }, unauthorized("malformed")],
  "onUndecided is not called for missing tokens": ["/own-answer", {}, missing],

  "the framework handles a handler's error":
    ["/fails", { token: "good" }, failed("the handler failed")],
  "a handler that would fail is not reached without a token": ["/fails", {}, missing],
  "the framework handles an error of onUndecided":
    ["/own-failure", { token: "good" }, failed("the own answer failed")],
};

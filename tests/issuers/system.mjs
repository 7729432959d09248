// The system that every provider is tested with: a real control plane with the registered provider, a verifier
// in Node and a guarded Worker in real workerd, which both follow its feed.

import assert from "node:assert/strict";
import { createVerifier } from "offswitch";
import { startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { startWorkerd } from "../support/workerd.mjs";

/**
 * @param {object} definition the body of PUT /v1/issuers/{name}
 * @param {import("offswitch").IssuerOptions} options the options of the verifiers for the same issuer
 */
export async function startSystem(definition, options) {
  const plane = await startControlPlane();
  // Its clock is ours. With the default margin, a login within 5 s of a revocation would be refused too.
  await plane.call("PUT", "/v1/issuers/idp", { clock_skew_seconds: 0, ...definition });
  const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
  const own = {
    issuer: plane.url,
    audience: "api",
    keys: `${plane.url}/.well-known/jwks.json`,
    requiredClaims: ["exp", "iat", "sub", "jti", "sid", "ver"],
  };
  const feed = { url: `${plane.url}/v1/feed`, id: plane.url, publicKeys, apiKey: plane.apiKey };
  const verifier = await createVerifier({ issuers: [own, options], feed });
  const polled = { issuers: [own, options], feed: { ...feed, follow: "poll", pollSeconds: 0.1 } };
  const edge = await startWorkerd("tests/issuers/workerd-entry.mjs", { OPTIONS: JSON.stringify(polled) });
  return new System(plane, verifier, edge, options.issuer);
}

class System {
  constructor(plane, verifier, edge, issuer) {
    this.plane = plane;
    this.verifier = verifier;
    this.edge = edge;
    this.issuer = issuer;
  }

  /** The verdicts of both verifiers on a token now. */
  async codes(token) {
    const answer = await fetch(this.edge.url, { headers: { authorization: `Bearer ${token}` } });
    const { code = "valid" } = await answer.json();
    assert.equal(answer.status, { valid: 200, keys_unavailable: 503, no_keys: 503 }[code] ?? 401);
    return [(await this.verifier.verify(token)).code, code];
  }

  /** Both accept all these tokens. @param {...string} tokens */
  async accepts(...tokens) {
    for (const token of tokens) assert.deepEqual(await this.codes(token), ["valid", "valid"], textOf(token));
  }

  /** Both soon refuse it with this code. @param {string} token @param {string} code */
  async refuses(token, code) {
    let seen;
    const isRefused = async () => (seen = await this.codes(token)).every((one) => one === code);
    assert.ok(await until(isRefused), `${seen}, expected ${code}: ${textOf(token)}`);
  }

  /** Revokes tokens of the provider; returns the control plane's answer. @param {object} what */
  revoke(what) {
    const issuer = "token" in what ? undefined : this.issuer;
    return this.plane.call("POST", "/v1/revocations", { issuer, ...what });
  }

  /** RFC 7009. @param {string} token */
  async revokeByForm(token) {
    const answer = await fetch(`${this.plane.url}/oauth/revoke`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.plane.apiKey}` },
      body: new URLSearchParams({ token }),
    });
    return answer.status;
  }

  /** A token of the control plane itself. */
  async ownToken() {
    return (await this.plane.call("POST", "/v1/sessions", { sub: "alice@acme" })).access_token;
  }

  async close() {
    this.verifier.close();
    await this.edge.close();
    await this.plane.close();
  }
}

/** The claims of a token, which are not verified. @param {string} token */
export const claimsOf = (token) => JSON.parse(textOf(token));
const textOf = (token) => Buffer.from(token.split(".")[1], "base64url").toString();

/** Waits for the end of the second: cut-offs are whole seconds. */
export async function nextSecond() {
  const second = Math.floor(Date.now() / 1000);
  await new Promise((resume) => setTimeout(resume, (second + 1) * 1000 - Date.now() + 20));
}

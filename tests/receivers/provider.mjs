// oidc-provider, as it is, with back-channel logout: users log in and out by its own pages.

import { createServer } from "node:http";
import { createHash, randomBytes } from "node:crypto";
import { exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";
import { freePort } from "../support/control-plane.mjs";

export const CLIENT = "app";
export const AUDIENCE = "api";
const RESOURCE = "https://api.invalid";
const CALLBACK = "https://app.invalid/callback";

/**
 * @param {string} logoutUri the client's `backchannel_logout_uri`
 * @param {{ hasSessionIds?: boolean }} [settings] false: neither access tokens nor logout tokens have `sid`
 */
export async function startProvider(logoutUri, { hasSessionIds = true } = {}) {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const provider = new Provider(issuer, {
    clients: [{
      client_id: CLIENT,
      token_endpoint_auth_method: "none",
      redirect_uris: [CALLBACK],
      backchannel_logout_uri: logoutUri,
      backchannel_logout_session_required: hasSessionIds,
    }],
    cookies: { keys: ["test"] },
    extraTokenClaims: (_, token) => (hasSessionIds ? { sid: token.sid } : {}),
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "read", audience: AUDIENCE, accessTokenFormat: "jwt", accessTokenTTL: 600,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
      rpInitiatedLogout: { enabled: true, logoutSource: (context, form) => void (context.body = form) },
    },
    // Its own refuses loopback addresses, where everything of this test is.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: "idp-1" }] },
    loadExistingGrant: async ({ oidc }) => {
      const grant = new provider.Grant({ accountId: oidc.session.accountId, clientId: CLIENT });
      grant.addOIDCScope("openid");
      grant.addResourceScope(RESOURCE, "read");
      await grant.save();
      return grant;
    },
    ttl: { AccessToken: 600, Session: 3600, Grant: 3600, IdToken: 600, Interaction: 600 },
  });
  const errors = [];
  for (const name of ["server_error", "backchannel.error", "authorization.error", "grant.error"]) {
    provider.on(name, (_, error) => errors.push(`${name}: ${error.message} ${error.error_description ?? ""}`));
  }
  const handle = provider.callback();
  const server = createServer((request, response) => {
    if (!request.url.startsWith("/interaction/")) return void handle(request, response);
    // The page where a user would type a name.
    const accountId = /user=(\w+)/.exec(request.headers.cookie)[1];
    provider.interactionFinished(request, response, { login: { accountId } });
  });
  await new Promise((listening) => server.listen(port, "127.0.0.1", listening));
  return {
    errors, issuer, provider,
    login: (user) => login(issuer, user),
    close: () => new Promise((closed) => {
      server.close(closed);
      server.closeAllConnections();
    }),
  };
}

/** Logs a user in by a browser of its own. */
async function login(issuer, user) {
  const browser = new Browser(issuer, { user });
  const verifier = randomBytes(32).toString("base64url");
  const query = new URLSearchParams({
    client_id: CLIENT, redirect_uri: CALLBACK, response_type: "code", scope: "openid read", resource: RESOURCE,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
  });
  let location = `/auth?${query}`;
  while (!location.startsWith(CALLBACK)) {
    const answer = await browser.fetch(location);
    location = answer.headers.get("location");
    if (location === null) throw new Error(`${answer.status} ${await answer.text()}`);
  }
  const code = new URL(location).searchParams.get("code");
  if (code === null) throw new Error(location);
  const answer = await browser.fetch("/token", {
    client_id: CLIENT, grant_type: "authorization_code", code, redirect_uri: CALLBACK, code_verifier: verifier,
  });
  const tokens = await answer.json();
  if (!answer.ok) throw new Error(JSON.stringify(tokens));
  return {
    accessToken: tokens.access_token,
    /** Logs out by the provider's page. Returns once the provider has answered. */
    async logout() {
      const page = await browser.fetch(`/session/end?${new URLSearchParams({ id_token_hint: tokens.id_token })}`);
      const [, xsrf] = /name="xsrf" value="(\w+)"/.exec(await page.text());
      const answered = await browser.fetch("/session/end/confirm", { xsrf, logout: "yes" });
      if (answered.status >= 400) throw new Error(`${answered.status} ${await answered.text()}`);
    },
  };
}

/** As much of a browser as a login needs: cookies, and no redirect of its own. */
class Browser {
  #cookies;
  #origin;

  constructor(origin, cookies) {
    this.#origin = origin;
    this.#cookies = new Map(Object.entries(cookies));
  }

  async fetch(path, form) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(new URL(path, this.#origin), {
      body: form && new URLSearchParams(form),
      headers: { cookie },
      method: form ? "POST" : "GET",
      redirect: "manual",
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === "") this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    return answer;
  }
}

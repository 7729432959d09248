// oidc-provider (npm) as an identity provider: prints a line when it is ready, exits when stdin closes. Its
// settings are JSON in the first argument: port, keys (private JWKs, the first one signs), clients.

import Provider from "oidc-provider";

const { port, keys, clients } = JSON.parse(process.argv[2]);
const web = {
  grant_types: ["authorization_code", "client_credentials"],
  redirect_uris: ["http://127.0.0.1/callback"],
  response_types: ["code"],
  token_endpoint_auth_method: "client_secret_post",
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: clients.map(([client_id, client_secret]) => ({ ...web, client_id, client_secret })),
  cookies: { keys: ["tests"] },
  extraTokenClaims: (_, token) => ({
    // The id of its session, under the name that back-channel logout uses, and a nested claim.
    ...(token.sessionUid && { sid: token.sessionUid }),
    tenant: { id: token.accountId?.split("@")[1] ?? "none" },
  }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "https://api.test",
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        audience: "api",
        jwt: { sign: { alg: "RS256" } },
        scope: "read write",
      }),
    },
  },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  jwks: { keys },
});
provider.on("server_error", (_, error) => console.error(error));
provider.listen(port, "127.0.0.1", () => console.log("serves"));
process.stdin.resume().on("end", () => process.exit(0));

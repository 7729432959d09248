// Fastify with a rule for each route, a state that survives restarts, and failures in the log.

import Fastify from "fastify";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/fastify";
import { fileStore } from "offswitch/file-store";

const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; README.md says where it comes from`);
  return value;
};
const issuer = setting("OFFSWITCH_ISSUER");
const app = Fastify({ logger: true });

// Also succeeds while the control plane cannot be reached: requests get 503 until it can.
const verifier = await createVerifier({
  issuer,
  audience: "api",
  keys: `${issuer}/.well-known/jwks.json`,
  feed: {
    url: `${issuer}/v1/feed`,
    publicKeys: setting("OFFSWITCH_FEED_PUBLIC_KEYS").split(","),
    apiKey: setting("OFFSWITCH_FEED_API_KEY"),
    // A restart continues with the last snapshot, and never accepts an older one.
    store: fileStore(process.env.STATE_DIR ?? "./offswitch-state"),
  },
  // Every snapshot and every failure of the feed or the keys; neither contains a token.
  onEvent: (event) => {
    if (event.type === "failure") app.log.warn(event, "offswitch");
  },
});
app.addHook("onClose", () => verifier.close());

app.get("/readyz", async (request, reply) => {
  const { ready, following, ageSeconds, position } = verifier.status();
  return reply.code(ready ? 200 : 503).send({ ready, following, ageSeconds, position });
});

app.register(async (api) => {
  api.addHook("onRequest", offswitch(verifier, { scopes: ["read"] }));
  api.get("/me", async (request) => ({ sub: request.offswitch.claims.sub }));

  // Where much is at stake: undecided (503) if the feed is older than ten seconds.
  const strict = offswitch(verifier, { scopes: ["read"], maxStaleness: 10 });
  api.get("/balance", { onRequest: strict }, async (request) => ({
    sub: request.offswitch.claims.sub,
    balance: 42,
  }));
}, { prefix: "/api" });

const { HOST = "127.0.0.1", PORT = "3000" } = process.env;
await app.listen({ host: HOST, port: Number(PORT) });
process.once("SIGTERM", () => app.close());

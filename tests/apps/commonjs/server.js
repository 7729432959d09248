const express = require("express");
const { createVerifier } = require("offswitch");
const { offswitch } = require("offswitch/express");

const { FEED_API_KEY, FEED_PUBLIC_KEY, ISSUER, PORT } = process.env;

createVerifier({
  issuer: ISSUER,
  audience: "api",
  keys: `${ISSUER}/.well-known/jwks.json`,
  feed: { url: `${ISSUER}/v1/feed`, publicKeys: [FEED_PUBLIC_KEY], apiKey: FEED_API_KEY },
}).then((verifier) => {
  const app = express();
  app.use(offswitch(verifier, { scopes: ["read"] }));
  app.get("/api/me", (request, response) => {
    response.json({ sub: request.offswitch.claims.sub });
  });
  app.listen(Number(PORT), "127.0.0.1");
});

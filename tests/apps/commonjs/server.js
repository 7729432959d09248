const express = require("express");
const { createVerifier } = require("offswitch");
const { offswitch } = require("offswitch/express");

const { OFFSWITCH_FEED_API_KEY, OFFSWITCH_FEED_PUBLIC_KEYS, OFFSWITCH_ISSUER, PORT } = process.env;

createVerifier({
  issuer: OFFSWITCH_ISSUER,
  audience: "api",
  keys: `${OFFSWITCH_ISSUER}/.well-known/jwks.json`,
  feed: {
    url: `${OFFSWITCH_ISSUER}/v1/feed`,
    publicKeys: [OFFSWITCH_FEED_PUBLIC_KEYS],
    apiKey: OFFSWITCH_FEED_API_KEY,
  },
}).then((verifier) => {
  const app = express();
  app.use(offswitch(verifier, { scopes: ["read"] }));
  app.get("/api/me", (request, response) => {
    response.json({ sub: request.offswitch.claims.sub });
  });
  app.listen(Number(PORT), "127.0.0.1");
});

const express = require("express");
const { offswitch } = require("offswitch/express");

exports.makeApp = (verifier) => {
  const app = express();
  app.use(offswitch(verifier, { scopes: ["read"] }));
  app.get("/api/me", (request, response) => {
    response.json({ sub: request.offswitch.claims.sub });
  });
  return app;
};

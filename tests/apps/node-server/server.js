import { createServer } from "node:http";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/express";
import { options } from "./options.js";

createVerifier(options(process.env)).then((verifier) => {
  const guarded = offswitch(verifier, { scopes: ["read"] });
  const server = createServer((request, response) => {
    guarded(request, response, () => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ sub: request.offswitch.claims.sub }));
    });
  });
  server.listen(Number(process.env.PORT), "127.0.0.1");
});

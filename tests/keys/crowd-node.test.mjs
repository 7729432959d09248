// A Node server with the middleware.

import { createServer } from "node:http";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/express";
import { AUDIENCE, ISSUER } from "../support/fixture.mjs";
import { crowds } from "./crowd.mjs";

crowds("Node", async (stub, publicKey) => {
  const verifier = await createVerifier({
    issuer: ISSUER, audience: AUDIENCE, keys: `${stub.url}/jwks`, onEvent: () => {},
    feed: { url: `${stub.url}/feed`, id: "feed", publicKeys: [publicKey], maxStaleness: 600, follow: "poll" },
  });
  const guard = offswitch(verifier);
  const server = createServer((request, response) => {
    void guard(request, response, () => response.end("{}"));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const close = () => {
    verifier.close();
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
});

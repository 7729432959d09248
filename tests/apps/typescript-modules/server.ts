import express from "express";
import { createVerifier, type VerifierOptions } from "offswitch";
import { offswitch } from "offswitch/express";
import { keep } from "offswitch/stores";

const { OFFSWITCH_FEED_API_KEY, OFFSWITCH_FEED_PUBLIC_KEYS = "", OFFSWITCH_ISSUER, PORT } = process.env;
const kept = new Map<string, Uint8Array>();

const options: VerifierOptions = {
  issuer: `${OFFSWITCH_ISSUER}`,
  audience: "api",
  keys: `${OFFSWITCH_ISSUER}/.well-known/jwks.json`,
  feed: {
    url: `${OFFSWITCH_ISSUER}/v1/feed`,
    publicKeys: [OFFSWITCH_FEED_PUBLIC_KEYS],
    apiKey: OFFSWITCH_FEED_API_KEY,
    store: keep({
      read: async (name) => kept.get(name),
      write: async (name, bytes) => void kept.set(name, bytes),
    }),
  },
};

const app = express();
app.use("/api", offswitch(await createVerifier(options), { scopes: ["read"] }));
app.get("/api/me", (request, response) => {
  response.json({ sub: request.offswitch?.claims?.sub });
});
app.listen(Number(PORT), "127.0.0.1");

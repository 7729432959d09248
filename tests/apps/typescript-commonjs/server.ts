import express from "express";
import { createVerifier, type VerifierOptions } from "offswitch";
import { offswitch } from "offswitch/express";
import { keep } from "offswitch/stores";

const { FEED_API_KEY, FEED_PUBLIC_KEY = "", ISSUER, PORT } = process.env;
const kept = new Map<string, Uint8Array>();

const options: VerifierOptions = {
  issuer: `${ISSUER}`,
  audience: "api",
  keys: `${ISSUER}/.well-known/jwks.json`,
  feed: {
    url: `${ISSUER}/v1/feed`,
    publicKeys: [FEED_PUBLIC_KEY],
    apiKey: FEED_API_KEY,
    store: keep({
      read: async (name) => kept.get(name),
      write: async (name, bytes) => void kept.set(name, bytes),
    }),
  },
};

async function main(): Promise<void> {
  const verifier = await createVerifier(options);
  const app = express();
  app.use("/api", offswitch(verifier, { scopes: ["read"] }));
  app.get("/api/me", (request, response) => {
    response.json({ sub: request.offswitch?.claims?.sub });
  });
  app.listen(Number(PORT), "127.0.0.1");
}

void main();

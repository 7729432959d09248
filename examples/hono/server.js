// The application on Node.

import { serve } from "@hono/node-server";
import { createVerifier } from "offswitch";
import { makeApp } from "./app.js";
import { options } from "./options.js";

// Also succeeds while the control plane cannot be reached: requests get 503 until it can.
const verifier = await createVerifier(options(process.env));
const app = makeApp(verifier);
// 503 until there are keys and a snapshot: no traffic should arrive before.
app.get("/readyz", (c) => c.json({ ready: verifier.isReady }, verifier.isReady ? 200 : 503));

const { HOST = "127.0.0.1", PORT = "3000" } = process.env;
const server = serve({ fetch: app.fetch, hostname: HOST, port: Number(PORT) });

process.once("SIGTERM", () => {
  server.close(() => verifier.close());
});

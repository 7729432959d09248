import Fastify from "fastify";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/fastify";
import { options } from "./options.js";

const app = Fastify();
app.addHook("onRequest", offswitch(await createVerifier(options(process.env)), { scopes: ["read"] }));
app.get("/api/me", async (request) => ({ sub: request.offswitch.claims.sub }));
await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });

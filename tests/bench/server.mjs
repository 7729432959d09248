// A guarded Fetch handler for load tests: `server.mjs offswitch` with a million revocations, or
// `server.mjs jose` with a look-up in Redis for each request. In Node, Deno or Bun.

import { readMaterial } from "./material.mjs";
import { makeVerifier } from "./contestants.mjs";

const [which, folder, redisUrl] = process.argv.slice(2);
const material = readMaterial(folder);
const hello = () => new Response("hello");
const handlers = {
  async offswitch() {
    const offswitch = await import("offswitch");
    const { guard } = await import("offswitch/guard");
    return guard(makeVerifier(offswitch, material, "EdDSA"), hello);
  },
  async jose() {
    const { importJWK, jwtVerify } = await import("jose");
    const { Redis } = await import("ioredis");
    const redis = new Redis(redisUrl, { enableAutoPipelining: true });
    const key = await importJWK(material.algorithms.EdDSA.jwk, "EdDSA");
    const options = { issuer: "https://issuer.test", algorithms: ["EdDSA"] };
    return async (request) => {
      const token = /^bearer +(.*)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
      try {
        const { payload } = await jwtVerify(token, key, options);
        if ((await redis.get(`revoked:${payload.jti}`)) !== null) throw new Error("revoked");
      } catch {
        return new Response("no", { status: 401 });
      }
      return hello();
    };
  },
  nothing: async () => hello,
};
const fetch = await handlers[which]();
const port = await listen(fetch);
console.log(JSON.stringify({ port }));

async function listen(fetch) {
  if (globalThis.Bun) return Bun.serve({ port: 0, hostname: "127.0.0.1", fetch }).port;
  if (globalThis.Deno) {
    return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => fetch(request)).addr.port;
  }
  const { serve } = await import("@hono/node-server");
  return new Promise((ready) => serve({ fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => ready(port)));
}

// Starts real workerd with one module of this repository.

import { Miniflare } from "miniflare";
import { AUDIENCE, ISSUER, ROOT } from "./fixture.mjs";

/**
 * @param {string} script path from the repository's top
 * @param {Record<string, string>} [bindings] @param {object} [more] additional options of Miniflare
 */
export async function startWorkerd(script, bindings = {}, more = {}) {
  const workerd = new Miniflare({
    ...more,
    bindings,
    compatibilityDate: "2026-04-01",
    host: "127.0.0.1",
    modules: true,
    modulesRoot: ROOT,
    modulesRules: [
      { type: "ESModule", include: ["**/*.js", "**/*.mjs"] },
      { type: "CompiledWasm", include: ["**/*.wasm"] },
    ],
    port: 0,
    scriptPath: `${ROOT}${script}`,
    telemetry: { enabled: false },
  });
  const url = String(await workerd.ready).replace(/\/$/, "");
  return { url, workerd, close: () => workerd.dispose() };
}

/** Starts the edge worker against a stub, with additional settings and options of Miniflare. */
export function startEdge(stub, publicKey, more = {}, miniflare = {}) {
  return startWorkerd("verifier-wasm/js/worker/worker.js", {
    OFFSWITCH_AUDIENCE: AUDIENCE,
    OFFSWITCH_FEED_ID: "feed",
    OFFSWITCH_FEED_PUBLIC_KEYS: publicKey,
    OFFSWITCH_FEED_URL: `${stub.url}/feed`,
    OFFSWITCH_ISSUER: ISSUER,
    OFFSWITCH_JWKS_URL: `${stub.url}/jwks`,
    // Snapshots are signed once, before workerd starts: they are fresh on slow machines too.
    OFFSWITCH_MAX_STALENESS_SECONDS: "600",
    UPSTREAM: `${stub.url}/up`,
    ...more,
  }, miniflare);
}

// Workers that wrangler bundles with only a name, an entry and a date, run in real workerd.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { Miniflare } from "miniflare";
import { makeConsumer } from "./consumer.mjs";
import { VERDICTS, prepare } from "./given.mjs";

const consumer = makeConsumer();
const { close, given } = await prepare();
after(async () => {
  await close();
  consumer.close();
});
const WRANGLER = createRequire(import.meta.url).resolve("wrangler/bin/wrangler.js");
const DATE = "2026-04-01";

/** Bundles `main` as `wrangler deploy` does before its upload, and starts the result. */
async function start(main, bindings) {
  const { folder } = consumer;
  const name = main.split(".")[0];
  const config = join(folder, `${name}.toml`);
  const outdir = join(folder, "deployed", name);
  writeFileSync(config, `name = "${name}"\nmain = "${main}"\ncompatibility_date = "${DATE}"\n`);
  const args = [WRANGLER, "deploy", "--dry-run", "--config", config, "--outdir", outdir];
  const quiet = { CI: "true", WRANGLER_LOG_PATH: folder, WRANGLER_SEND_METRICS: "false" };
  const env = { ...process.env, XDG_CONFIG_HOME: folder, ...quiet };
  await promisify(execFile)(process.execPath, args, { cwd: folder, env });
  const [wasm] = readdirSync(outdir).filter((file) => file.endsWith(".wasm"));
  const workerd = new Miniflare({
    bindings,
    compatibilityDate: DATE,
    host: "127.0.0.1",
    modules: [
      { type: "ESModule", path: join(outdir, `${name}.js`) },
      { type: "CompiledWasm", path: join(outdir, wasm) },
    ],
    modulesRoot: outdir,
    telemetry: { enabled: false },
  });
  after(() => workerd.dispose());
  return String(await workerd.ready);
}

test("a Worker that wrangler has bundled judges and guards", async () => {
  const { options, tokens } = given;
  const url = await start("worker.js", { OPTIONS: JSON.stringify(options) });
  const judged = await fetch(url, { method: "POST", body: JSON.stringify(given) });
  assert.deepEqual(await judged.json(), VERDICTS);
  const ask = (token) => fetch(url, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(await (await ask(tokens.good)).json(), "user");
  const refused = await ask(tokens.revoked);
  assert.deepEqual([refused.status, (await refused.json()).code], [401, "revoked_token"]);
});

// A project deploys the whole edge worker with one line of its own.
test("the edge worker is deployed by naming offswitch/worker", async () => {
  const { options, tokens } = given;
  writeFileSync(join(consumer.folder, "edge.js"), 'export { default } from "offswitch/worker";\n');
  const upstream = new URL("/up", options.feed.url).href;
  const jwks = new URL("/jwks", options.feed.url).href;
  const url = await start("edge.js", {
    OFFSWITCH_AUDIENCE: options.audience,
    OFFSWITCH_FEED_ID: options.feed.id,
    OFFSWITCH_FEED_PUBLIC_KEYS: options.feed.publicKeys.join(),
    OFFSWITCH_FEED_URL: options.feed.url,
    OFFSWITCH_ISSUER: options.issuer,
    OFFSWITCH_JWKS_URL: jwks,
    OFFSWITCH_MAX_STALENESS_SECONDS: "600",
    UPSTREAM: upstream,
  });
  const ask = (token) => fetch(`${url}hello`, { headers: { authorization: `Bearer ${token}` } });
  const served = await ask(tokens.good);
  assert.deepEqual([served.status, (await served.json()).path], [200, "/up/hello"]);
  assert.equal((await (await ask(tokens.revoked)).json()).code, "revoked_token");
});

// N01: the JavaScript in the READMEs compiles under strict TypeScript and runs as it stands there, against a
// real control plane.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { freePort, startControlPlane } from "../support/control-plane.mjs";
import { RUNTIMES } from "../support/runtimes.mjs";
import { answersMe } from "./answers.mjs";
import { run, start } from "./commands.mjs";
import { programs } from "./readme.mjs";
import { makeWorkspace } from "./workspace.mjs";

const workspace = makeWorkspace();
const plane = await startControlPlane();
const { feed_public_keys: [feedKey] } = await plane.call("GET", "/v1/keys");
after(async () => {
  await plane.close();
  workspace.close();
});
const folder = join(workspace.folder, "readme");
mkdirSync(folder);
const write = (name, text) => writeFileSync(join(folder, name), text);
const blocks = programs().map((program, at) => ({ ...program, file: `block-${at}` }));

/** The example's address and feed key become real ones. */
const real = (text) => text.replaceAll("https://auth.example", plane.url).replaceAll("HCIu…", feedKey);

test("the READMEs' code compiles under strict TypeScript", async () => {
  write("package.json", '{ "private": true, "type": "module" }');
  write("ambient.d.ts", AMBIENT);
  for (const { file, text } of blocks) write(`${file}.ts`, text);
  const compilerOptions = {
    strict: true, exactOptionalPropertyTypes: true, module: "nodenext", noEmit: true, target: "es2023",
    types: ["node"],
  };
  write("tsconfig.json", JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  await run(["tsc", "--project", "tsconfig.json"], { cwd: folder });
});

for (const { after, file, name, runtime, text } of blocks) {
  test(`${name} runs`, { timeout: 120_000 }, async () => {
    const { access_token: TOKEN } = await plane.call("POST", "/v1/sessions", { sub: file, scope: "read" });
    const env = { ADMIN_KEY: plane.apiKey, FEED_KEY: plane.apiKey, ORIGIN: plane.url, SUB: file, TOKEN };
    if (runtime === "workerd") return runWorker(file, text, env);
    write(`run-${file}.mts`, `${HARNESS}\n${real(text)}\n${after}\nprocess.exit();\n`);
    const deno = [RUNTIMES.Deno[0], "run", "--allow-all", "--no-lock", "--no-check", "--quiet"];
    const command = [...(runtime === "Deno" ? deno : ["node"]), `run-${file}.mts`];
    const DENO_SERVE_ADDRESS = `tcp:127.0.0.1:${await freePort()}`;
    await run(command, { cwd: folder, env: { ...env, DENO_SERVE_ADDRESS }, newest: true });
  });
}

async function runWorker(file, text, { FEED_KEY, SUB, TOKEN }) {
  write("worker.ts", real(text));
  const port = String(await freePort());
  const command = ["wrangler", "dev", "worker.ts", "--compatibility-date", "2026-04-01", "--ip", "127.0.0.1",
    "--port", port, "--inspector-port", "0", "--var", `FEED_KEY:${FEED_KEY}`];
  const server = start(command, { cwd: folder, newest: true });
  try {
    await answersMe(server, `http://127.0.0.1:${port}/`, { sub: SUB, token: TOKEN });
  } finally {
    await server.stop();
  }
}

/** What the blocks find in their runtimes. */
const AMBIENT = `
declare namespace Deno {
  function serve(handler: (request: Request) => Response | Promise<Response>): unknown;
}
declare module "cloudflare:workers" {
  const env: { FEED_KEY: string };
}
`;

/** What checks the blocks. */
const HARNESS = `
import { equal } from "node:assert/strict";

async function expectMe(ask) {
  equal((await ask({})).status, 401);
  const response = await ask({ headers: { authorization: \`Bearer \${process.env.TOKEN}\` } });
  equal((await response.json()).sub, process.env.SUB);
}

async function revoke() {
  const headers = { authorization: \`Bearer \${process.env.ADMIN_KEY}\`, "content-type": "application/json" };
  const body = JSON.stringify({ sub: process.env.SUB });
  equal((await fetch(\`\${process.env.ORIGIN}/v1/revocations\`, { method: "POST", headers, body })).status, 200);
}
`;

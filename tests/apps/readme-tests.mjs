// N01: the JavaScript in the READMEs and the guides compiles under strict TypeScript and runs as
// written, against a real control plane.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freePort } from "../support/control-plane.mjs";
import { RUNTIMES } from "../support/runtimes.mjs";
import { answersMe } from "./answers.mjs";
import { run, start } from "./commands.mjs";
import { programs } from "./readme.mjs";

/** Makes the tests. `login` returns a token of a user. */
export function testReadmes({ login, settings, workspace }) {
  const { OFFSWITCH_FEED_API_KEY: key, OFFSWITCH_FEED_PUBLIC_KEYS: publicKey, OFFSWITCH_ISSUER: origin } = settings;
  const folder = join(workspace.folder, "readme");
  mkdirSync(folder);
  const write = (name, text) => writeFileSync(join(folder, name), text);
  const blocks = programs().map((program, at) => ({ ...program, file: `block-${at}` }));

  test("the code of the READMEs and the guides compiles under strict TypeScript", async () => {
    write("package.json", '{ "private": true, "type": "module" }');
    write("ambient.d.ts", AMBIENT);
    for (const { file, text } of blocks) write(`${file}.ts`, text);
    write("tsconfig.json", JSON.stringify({ compilerOptions: STRICT, include: ["*.ts"] }));
    await run(["tsc", "--project", "tsconfig.json"], { cwd: folder });
  });

  for (const { after, file, name, runtime, text } of blocks) {
    test(`${name} runs`, { timeout: 120_000 }, async () => {
      const { sub: SUB, token: TOKEN } = await login(file);
      // The address and the feed key of the example are replaced by real ones.
      const real = text.replaceAll("https://auth.example", origin).replaceAll("HCIu…", publicKey);
      if (runtime === "workerd") {
        write("worker.ts", real);
        return runWorker(folder, key, { sub: SUB, token: TOKEN });
      }
      write(`run-${file}.mts`, `${HARNESS}\n${real}\n${after}\nprocess.exit();\n`);
      const command = [...(runtime === "Deno" ? DENO : ["node"]), `run-${file}.mts`];
      const env = {
        ADMIN_KEY: key, DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${await freePort()}`, FEED_KEY: key, ORIGIN: origin,
        SUB, TOKEN,
      };
      await run(command, { cwd: folder, env, newest: true });
    });
  }
}

async function runWorker(folder, key, user) {
  const port = String(await freePort());
  const command = ["wrangler", "dev", "worker.ts", "--compatibility-date", "2026-04-01", "--ip", "127.0.0.1",
    "--port", port, "--inspector-port", "0", "--var", `FEED_KEY:${key}`];
  const server = start(command, { cwd: folder, newest: true });
  try {
    await answersMe(server, `http://127.0.0.1:${port}/`, user);
  } finally {
    await server.stop();
  }
}

const DENO = [RUNTIMES.Deno[0], "run", "--allow-all", "--no-lock", "--no-check", "--quiet"];
const STRICT = {
  strict: true, exactOptionalPropertyTypes: true, module: "nodenext", noEmit: true, target: "es2023", types: ["node"],
};

/** The globals and modules that the blocks find in their runtimes. */
const AMBIENT = `
declare namespace Deno {
  function serve(handler: (request: Request) => Response | Promise<Response>): unknown;
}
declare module "cloudflare:workers" {
  const env: { FEED_KEY: string };
}
`;

/** The functions that check the blocks. */
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

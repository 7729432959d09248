// The JavaScript in the READMEs and the guides, and the code around each block when it is compiled
// and run. Only the address and the feed key of the example are replaced.

import { readFileSync, readdirSync } from "node:fs";
import { ROOT } from "../support/fixture.mjs";

/** A page that shows its login state. */
const PAGE = `const shown: string[] = [];
  const showLogin = (code: string) => shown.push(code);`;

/** An open connection that records how it was closed. */
const SOCKET = `const closed: unknown[] = [];
  const socket = { close: (...how: unknown[]) => closed.push(...how) };`;

/**
 * How a block is run; the key is a text in the block. `before` and the block are compiled; `after`
 * checks the result. The first block of a page precedes each of the others, unless they are `alone`.
 */
const SURROUNDINGS = [
  { has: "await verifier.verify(token)", after: 'equal(verdict.code, "valid");' },
  { has: "offswitch/hono", after: 'await expectMe((init) => app.request("/api/me", init));' },
  {
    has: 'from "express"',
    after: `const server = app.listen(0, "127.0.0.1");
      await new Promise((listening) => server.once("listening", listening));
      await expectMe((init) => fetch(\`http://127.0.0.1:\${server.address().port}/api/me\`, init));
      server.closeAllConnections();
      server.close();`,
  },
  {
    has: "offswitch/fastify",
    after: `const address = await app.listen({ host: "127.0.0.1", port: 0 });
      await expectMe((init) => fetch(\`\${address}/api/me\`, init));
      await app.close();`,
  },
  {
    has: "Deno.serve",
    runtime: "Deno",
    before: SOCKET,
    after: `await expectMe((init) => fetch(\`http://\${process.env.DENO_SERVE_ADDRESS.slice(4)}/\`, init));`,
  },
  { has: "cloudflare:workers", alone: true, runtime: "workerd" },
  { has: "verifier.explain", after: "" },
  {
    has: "const stop = verifier.onRevoked",
    before: SOCKET,
    after: `await revoke();
      while (closed.length === 0) await new Promise((resume) => setTimeout(resume, 20));
      equal(String(closed), "4401,revoked_user");`,
  },
  {
    has: "showLogin",
    before: PAGE,
    after: `await revoke();
      while (shown.length === 0) await new Promise((resume) => setTimeout(resume, 20));
      equal(shown[0], "revoked_user");`,
  },
  {
    has: "offswitch/file-store",
    after: `equal(kept.verifySync(token).code, "valid");
      await kept.refresh();
      const { readdirSync } = await import("node:fs");
      equal(readdirSync("./offswitch").length > 0, true);`,
  },
  {
    has: "dpop: { proof:",
    before: 'const request = new Request("https://api.example/orders");',
    after: 'equal(verdict.code, "unbound_token");',
  },
  { has: "offswitch/testing", alone: true, after: 'equal(verifier.verifySync(token).code, "revoked_user");' },
  { has: "await idp.token(", alone: true, after: 'equal(verifier.verifySync(token).code, "revoked_claims");' },
];

/** Each block of `js` as a program; those of `javascript` are parts of programs with other packages. @returns {{ name: string, text: string, after: string, runtime: string }[]} */
export function programs() {
  const isPage = (name) => name.endsWith(".md");
  const guides = readdirSync(`${ROOT}docs/guides`, { recursive: true }).filter(isPage).map((name) => `docs/guides/${name}`);
  return ["README.md", "verifier-wasm/README.md", ...guides].flatMap((page) => {
    const found = readFileSync(ROOT + page, "utf8").matchAll(/^```js\n(.*?)^```$/gms);
    const blocks = Array.from(found, ([, text]) => text);
    return blocks.map((block, at) => {
      const { after, alone, before = "", runtime = "Node" } = surroundings(block);
      const others = alone ? [] : [TOKEN, ...(at === 0 ? [] : [blocks[0]])];
      return { name: `${page}, block ${at + 1}`, text: [...others, before, block].join("\n"), after, runtime };
    });
  });
}

function surroundings(block) {
  const found = SURROUNDINGS.findLast(({ has }) => block.includes(has));
  if (found === undefined) throw new Error(`tests/apps/readme.mjs does not say how to run this:\n${block}`);
  return found;
}

const TOKEN = "const token = `${process.env.TOKEN}`;";

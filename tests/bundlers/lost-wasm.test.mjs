// D36: the installed package without its wasm file, as some bundlers and incomplete copies leave it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { ROOT } from "../support/fixture.mjs";
import { runIn } from "../support/runtimes.mjs";
import { makeConsumer } from "./consumer.mjs";
import { VERDICTS, prepare } from "./given.mjs";

const consumer = makeConsumer();
const { close, given } = await prepare();
after(async () => {
  await close();
  consumer.close();
});
const part = (name) => join(consumer.package, "pkg", name);
const write = (name, text) => {
  const path = join(consumer.folder, name);
  writeFileSync(path, text);
  return path;
};
write("required.cjs", `
  const { createVerifier } = require("offswitch");
  const { options, tokens } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
  createVerifier(options).then(async (verifier) => {
    const { judge } = await import("./judge.js");
    console.log(JSON.stringify(await judge(verifier, tokens)));
  });
`);
// The error messages of createVerifier and of the calls that cannot wait for it.
write("failing.js", `
  import { Verifier, createVerifier } from "offswitch";
  const failure = ({ code, message }) => ({ code, message });
  const asked = await createVerifier({}).catch(failure);
  let made;
  try { made = new Verifier({}); } catch (error) { made = failure(error); }
  console.log(JSON.stringify({ asked, made }));
`);
// The option `wasm` as an address, as text, and as a response: one program each, because wasm is loaded once.
write("given.js", `
  import { readFileSync } from "node:fs";
  import { createVerifier } from "offswitch";
  import { judge } from "./judge.js";
  const { kind, options, tokens, url } = JSON.parse(readFileSync(0, "utf8"));
  const wasm = { URL: () => new URL(url), text: () => url, Response: () => fetch(url) }[kind]();
  console.log(JSON.stringify(await judge(await createVerifier({ ...options, wasm }), tokens)));
`);
const programs = { Node: ["program.js", "required.cjs"], Bun: ["program.js"], Deno: ["program.js"] };

// The inlined wasm is half as large again: a program that has the file does not read it.
test("the inlined wasm is not read where the file is there", async () => {
  renameSync(part("offswitch_inline.js"), part("elsewhere.js"));
  for (const [runtime, files] of Object.entries(programs)) {
    for (const file of files) {
      assert.deepEqual(await runIn(runtime, join(consumer.folder, file), given), VERDICTS, `${runtime}, ${file}`);
    }
  }
  renameSync(part("elsewhere.js"), part("offswitch_inline.js"));
});

// Bun imports the file, so that its bundler copies it, and names the file if it is missing.
test("without the wasm file the others take the inlined wasm", async () => {
  rmSync(part("offswitch_bg.wasm"));
  for (const [runtime, files] of Object.entries({ ...programs, Bun: [] })) {
    for (const file of files) {
      assert.deepEqual(await runIn(runtime, join(consumer.folder, file), given), VERDICTS, `${runtime}, ${file}`);
    }
  }
});

test("without both of them the option wasm may give the path of the file", async (context) => {
  const wasm = readFileSync(join(ROOT, "verifier-wasm/pkg/offswitch_bg.wasm"));
  const server = createServer((_, response) => void response.end(wasm)).listen(0, "127.0.0.1");
  context.after(() => server.close());
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}/`;
  rmSync(part("offswitch_inline.js"));
  for (const runtime of ["Node", "Deno"]) {
    for (const kind of ["URL", "text", "Response"]) {
      const found = await runIn(runtime, join(consumer.folder, "given.js"), { ...given, kind, url });
      assert.deepEqual(found, VERDICTS, `${runtime}, ${kind}`);
    }
  }
});

test("without both of them the error says what to do", async () => {
  for (const runtime of ["Node", "Deno"]) {
    const { asked, made } = await runIn(runtime, join(consumer.folder, "failing.js"));
    assert.equal(asked.code, "wasm_not_loaded", runtime);
    assert.match(asked.message, /offswitch_bg\.wasm.*offswitch_inline\.js.*import "offswitch\/inline"/s);
    assert.deepEqual(made, {
      code: "wasm_not_loaded", message: "wasm is not loaded: await load() before new Verifier()",
    });
  }
});

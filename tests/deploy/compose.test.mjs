// compose.yaml follows the specification of Compose, and its services work together: the same commands, variables and files
// run here without containers, at other addresses. O02.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { readText } from "../documents/files.mjs";
import { installed, Server } from "../gateways/processes.mjs";
import { ControlPlane, buildBinary, freePort } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { unknownVariables } from "./settings.mjs";
import { validator } from "./validators.mjs";

const FILE = "deploy/compose/compose.yaml";
const compose = parse(readText(FILE));
test("compose.yaml is valid by the schema of the specification", () => {
  assert.equal(problemsOf(readText(FILE)), "");
  assert.match(problemsOf(readText(FILE).replace("read_only:", "read_onyl:")), /read_onyl/);
});

test("every service runs without root, privileges and a writable root, and has only known variables", () => {
  for (const [name, service] of Object.entries(compose.services)) {
    assert.ok(service.user && !/^(root|0)/.test(service.user), name);
    assert.equal(service.read_only, true, name);
    assert.deepEqual(service.cap_drop, ["ALL"], name);
    assert.deepEqual(service.security_opt, ["no-new-privileges:true"], name);
    assert.deepEqual(unknownVariables(Object.keys(service.environment ?? {})), [], name);
    // Nothing is reached from other machines until the operator opens it.
    for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:/, name);
  }
});

test("the services let a token through and refuse it once it is revoked", { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "offswitch-compose-"));
  const running = [];
  after(async () => {
    for (const one of running.reverse()) await one.end();
    rmSync(folder, { recursive: true, force: true });
  });
  const start = async (...args) => {
    const server = new Server(...args);
    running.push(server);
    await server.start();
  };
  const { redis, "control-plane": plane, guard } = compose.services;
  const ports = {};
  for (const name of ["redis", "plane", "guard", "admin", "nginx", "example"]) ports[name] = await freePort();
  const url = `http://127.0.0.1:${ports.plane}`;
  const here = (text) => text
    .replace("redis:6379", `127.0.0.1:${ports.redis}`)
    .replace(/(127\.0\.0\.1|0\.0\.0\.0|control-plane):8400/g, `127.0.0.1:${ports.plane}`)
    .replace(/(0\.0\.0\.0|guard):8410/g, `127.0.0.1:${ports.guard}`)
    .replace(/0\.0\.0\.0:8411/g, `127.0.0.1:${ports.admin}`)
    .replace(/listen 8080/, `listen 127.0.0.1:${ports.nginx}`)
    .replace("access_log /dev/stdout", "access_log access.log")
    .replace(/127\.0\.0\.1:9000/g, `127.0.0.1:${ports.example}`)
    .replace(/\$\{\w+:-([^}]*)\}/g, "$1")
    .replace(/(?<=[ "])\/(data|tmp)(?=[/"])|^\/data$/gm, folder);
  const file = (name) => {
    const path = join(folder, name);
    writeFileSync(path, here(readText(`deploy/compose/${name}`)));
    return path;
  };
  const environment = (service) =>
    Object.fromEntries(Object.entries(service.environment).map(([name, value]) => [name, here(value)]));

  const offswitch = buildBinary("offswitch");
  // The health check of a service, as a container would run it.
  const isHealthy = (service, env) => {
    const [kind, program, ...args] = service.healthcheck.test;
    assert.deepEqual([kind, program], ["CMD", "offswitch"]);
    const here = args.map((arg) => arg.replace("/etc/offswitch", folder));
    return spawnSync(offswitch, here, { env: { ...process.env, ...env } }).status === 0;
  };

  const [program, ...options] = redis.command;
  mkdirSync(join(folder, "redis"));
  await start([program, ...options, "--port", `${ports.redis}`, "--bind", "127.0.0.1", "--dir", join(folder, "redis")], ports.redis);
  assert.equal(isHealthy(plane, environment(plane)), false, "nothing runs yet");
  await start([offswitch, ...plane.command], ports.plane, environment(plane));
  const isReady = async (address) => (await fetch(`${address}/readyz`).catch(() => undefined))?.ok;
  assert.ok(await until(() => isReady(url), 60), running.at(-1).log);
  const control = new ControlPlane(folder, ports.plane, {});
  const { findings } = await (await fetch(`${url}/readyz`)).json();
  assert.deepEqual(findings, [], "Redis is as durable as it should be");
  assert.ok(isHealthy(plane, environment(plane)));

  control.apiKey = readFileSync(join(folder, "admin.key"), "utf8").trim();
  const created = await control.call("POST", "/v1/api-keys", { name: "guard", scopes: ["feed:read"] });
  const { feed_public_keys: keys } = await control.call("GET", "/v1/keys");
  const secret = join(folder, "feed.key");
  writeFileSync(secret, `${created.key}\n`);
  chmodSync(secret, 0o600);
  const [command] = guard.command;
  mkdirSync(join(folder, "guard"));
  const settings = {
    ...environment(guard), OFFSWITCH_GUARD_FEED_PUBLIC_KEYS: keys.join(","),
    OFFSWITCH_GUARD_FEED_API_KEY_FILE: secret, OFFSWITCH_GUARD_DATA_DIR: join(folder, "guard"),
  };
  const guardToml = file("guard.toml");
  assert.equal(isHealthy(guard, settings), false, "nothing runs yet");
  await start([offswitch, command, "--config", guardToml], ports.guard, settings);
  assert.ok(await until(() => isReady(`http://127.0.0.1:${ports.admin}`), 60), running.at(-1).log);
  assert.ok(isHealthy(guard, settings));
  const nginx = [installed("nginx"), "-c", file("nginx.conf"), "-p", folder, "-e", "stderr", "-g", "daemon off;"];
  await start(nginx, ports.nginx);

  const ask = async (headers = {}, path = "/") => {
    const answer = await fetch(`http://127.0.0.1:${ports.nginx}${path}`, { headers });
    return [answer.status, await answer.text()];
  };
  const session = await control.call("POST", "/v1/sessions", { sub: "alice" });
  const authorization = `Bearer ${session.access_token}`;
  assert.equal((await ask())[0], 401);
  assert.equal((await ask({}, "/health"))[0], 200);
  assert.deepEqual(await ask({ authorization }), [200, "hello alice\n"]);
  await control.call("POST", "/v1/revocations", { sub: "alice" });
  assert.ok(await until(async () => (await ask({ authorization }))[0] === 401), "the token is refused");
});

/** What the schema finds wrong with a file of Compose. */
function problemsOf(text) {
  const options = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "--default-filetype", "yaml", "-"];
  const { status, stdout, stderr } = spawnSync(validator(), options, { input: text, encoding: "utf8" });
  return status === 0 ? "" : stdout + stderr;
}

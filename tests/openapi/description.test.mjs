// The API's description is valid, and correct: the test executes every operation from it alone.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startControlPlane } from "../support/control-plane.mjs";
import { ROOT } from "../support/fixture.mjs";
import { samplesOf, send } from "./requests.mjs";

const plane = await startControlPlane();
const folder = await mkdtemp(join(tmpdir(), "offswitch-openapi-"));
after(async () => {
  await plane.close();
  await rm(folder, { recursive: true, force: true });
});
const description = await (await fetch(`${plane.url}/openapi.json`)).json();
const operations = Object.values(description.paths).flatMap((methods) => Object.values(methods));

// D32: the common linter accepts it.
test("the description passes the linter", async () => {
  const file = join(folder, "openapi.json");
  await writeFile(file, JSON.stringify(description));
  const linter = join(ROOT, "node_modules/@redocly/cli/bin/cli.js");
  const asked = [linter, "lint", file, "--extends=recommended", "--format=json"];
  const env = { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" };
  const { stdout, stderr } = spawnSync(process.execPath, asked, { encoding: "utf8", env });
  const { problems } = JSON.parse(stdout.slice(stdout.indexOf("{")));
  const errors = problems.filter(({ severity }) => severity === "error");
  const found = errors.map(({ ruleId, message, location }) =>
    `${ruleId}: ${message} at ${location?.[0]?.pointer}`);
  assert.deepEqual(found, [], stderr);
});

// D32: clients and the page at /docs are generated from these.
test("each operation has an id of its own, and its parameters are declared where they are read", () => {
  const ids = operations.map(({ operationId }) => operationId);
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(ids.length, 48);
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const { operationId, parameters = [], summary } of Object.values(methods)) {
      assert.ok(summary, operationId);
      for (const parameter of parameters) {
        const isInPath = path.includes(`{${parameter.name}}`);
        assert.equal(parameter.in === "path", isInPath, `${operationId} ${parameter.name}`);
        assert.ok(parameter.description, `${operationId} ${parameter.name}`);
      }
    }
  }
  const listed = description.paths["/v1/revocations"].get;
  const optional = listed.parameters.filter((one) => one.in === "query" && !one.required);
  assert.equal(optional.length, 11);
  const kind = listed.parameters.find(({ name }) => name === "kind");
  assert.match(JSON.stringify(kind.schema), /"access","refresh"/);
  const schemas = Object.keys(description.components.schemas);
  for (const name of ["RevocationListed", "SessionListed"]) assert.ok(schemas.includes(name), name);
  assert.doesNotMatch(JSON.stringify(description), /"#\/components\/schemas\/ListKind"/);
});

// D32: there is an example for each way of revoking, and each is accepted unchanged.
test("every operation is executed from the description alone", async () => {
  // The description alone does not show how to sign tokens of identity providers (see tests/receivers), and followers
  // learn names of parts from the head and questions from a stream (control-plane/tests/api/feed_parts.rs, applied.rs).
  const others = ["/v1/feed/bases/", "/v1/feed/deltas/", "/v1/feed/position", "/v1/receivers/"];
  const isOurs = ({ operation }) => !others.some((path) => operation.path.startsWith(path));
  const waiting = inOrder(samplesOf(description).filter(isOurs));
  const ways = waiting.filter(({ operation }) => operation.operationId === "revoke");
  const named = ways.flatMap(({ example }) => Object.keys(example));
  for (const way of ["token", "jti", "session_id", "sub", "refresh_token", "kid", "revocations"]) {
    assert.ok(named.includes(way), way);
  }
  /** The sample whose answer has a member of this name. */
  const producers = new Map();
  const execute = async (sample) => {
    const known = new Map();
    // Each sample gets a fresh value of a kind that other samples may have used up.
    for (const producer of new Set(sample.needs.map((name) => producers.get(name)))) {
      for (const [name, value] of await execute(producer)) known.set(name, value);
    }
    const { status, text } = await send(plane.url, plane.apiKey, sample, known);
    const { operationId, responses } = sample.operation;
    const documented = Object.keys(responses).filter((code) => code.startsWith("2"));
    const place = `${operationId} ${sample.label}: ${status} ${text.slice(0, 300)}`;
    assert.ok(documented.includes(String(status)), place);
    // An audit log is lines of objects.
    const isObject = text.startsWith("{") && operationId !== "readAudit";
    const members = isObject ? Object.entries(JSON.parse(text)) : [];
    // Other answers have ids too, and only a feed key's id belongs to a key that can be dropped.
    const nameOf = (name) =>
      operationId === "rotateFeedKey" && name === "id" ? "feed_key_id" : name;
    const texts = members.filter(([, value]) => typeof value === "string");
    return texts.map(([name, value]) => [nameOf(name), value]);
  };
  const executed = new Set();
  while (waiting.length > 0) {
    const ready = waiting.findIndex(({ needs }) => needs.every((name) => producers.has(name)));
    assert.notEqual(ready, -1, `no answer has ${waiting.flatMap(({ needs }) => needs)}`);
    const [sample] = waiting.splice(ready, 1);
    for (const [name] of await execute(sample)) {
      if (!producers.has(name)) producers.set(name, sample);
    }
    executed.add(sample.operation.operationId);
  }
  const ours = Object.entries(description.paths).filter(([path]) => isOurs({ operation: { path } }));
  assert.equal(executed.size, ours.flatMap(([, methods]) => Object.values(methods)).length);
});

/** The issuer of the other examples is registered before its tokens are revoked, and removed at the end. */
function inOrder(samples) {
  const order = ["putIssuer preset", "putIssuer members", "putIssuer defaults", "", "deleteIssuer "];
  const rank = ({ operation, label }) => {
    const at = order.indexOf(`${operation.operationId} ${label}`);
    return at < 0 ? order.indexOf("") : at;
  };
  return samples.toSorted((one, other) => rank(one) - rank(other));
}

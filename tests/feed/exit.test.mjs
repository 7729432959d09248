// A follower leaves nothing behind that keeps its process alive.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, test } from "node:test";
import { eventOf, optionsOf, send, streaming } from "../support/feed.mjs";
import { ROOT, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);
const stub = await startStub({ snapshot: base });
after(stub.close);

const PROGRAM = `
  import { createVerifier } from "offswitch";
  const { mode, options } = JSON.parse(process.argv[1]);
  const verifier = await createVerifier(options);
  setTimeout(() => {
    if (mode === "close") verifier.close();
    console.log(verifier.status().following);
  }, 300);`;

/** Runs it until it exits; returns its output. */
async function run(mode, feed) {
  const options = optionsOf({ key, publicKey, url: `${stub.url}/feed` }, {}, feed);
  const input = JSON.stringify({ mode, options });
  const child = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM, input], {
    cwd: `${ROOT}tests`, stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => { output += text; });
  const code = await new Promise((exited) => child.on("exit", exited));
  assert.equal(code, 0);
  return output.trim();
}

const SERVERS = {
  "a stream that goes on": { follow: "stream", stream: streaming(eventOf(base)) },
  "a stream that is never answered": { follow: "stream", following: "poll", stream: () => {} },
  "no stream": {
    follow: "stream", following: "poll", stream: (_, response) => response.writeHead(404).end(),
  },
  "a long poll that is never answered": {
    follow: "long-poll",
    feed: (request, response) => request.url.includes("wait") || send(base)(request, response),
  },
  polls: { follow: "poll" },
};
for (const [what, { feed, follow, following = follow, stream }] of Object.entries(SERVERS)) {
  // E04: closing ends connections and timers in every state.
  test(`a process with ${what} ends once its verifier is closed`, { timeout: 60_000 }, async () => {
    Object.assign(stub, { feed, stream });
    assert.equal(await run("close", { follow, timeoutSeconds: 3600 }), following);
  });
}

// A script that verifies one token must not have to close anything.
test("a process that polls may end without closing its verifier", { timeout: 60_000 }, async () => {
  Object.assign(stub, { feed: undefined, stream: undefined });
  assert.equal(await run("leave", { follow: "poll", pollSeconds: 30 }), "poll");
});

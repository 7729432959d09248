// The Rust client in a process of its own, asked line by line: client/examples/follow.rs.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { AUDIENCE, ISSUER, buildExample } from "./fixture.mjs";

/**
 * Starts a client that follows a feed.
 *
 * @param {{ key: { jwk: object }, publicKey: string, url: string | string[] }} parts
 * @param {object} [feed] more of the feed's options
 * @param {object} [more] of the options
 */
export async function startRustClient({ key, publicKey, url }, feed = {}, more = {}) {
  const child = spawn(buildExample("follow"), [], { stdio: ["pipe", "pipe", "pipe"] });
  const client = new RustClient(child);
  const options = {
    issuer: ISSUER, audience: AUDIENCE, keys: { keys: [key.jwk] }, ...more,
    feed: { url: [url].flat(), id: "feed", publicKeys: [publicKey], maxStaleness: 600, ...feed },
  };
  await client.ask(options);
  return client;
}

class RustClient {
  #child;
  #gone;
  #lines;
  /** What it has reported of failures. */
  failures = "";

  constructor(child) {
    this.#child = child;
    this.#gone = new Promise((resume) => child.once("exit", resume));
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    child.stderr.on("data", (text) => {
      this.failures += text;
    });
  }

  /** Sends one line and waits for the answer. */
  async ask(question) {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    const { done, value } = await this.#lines.next();
    if (done) throw new Error(`the client has ended: ${this.failures}`);
    return JSON.parse(value);
  }

  /** The code of the verdict, from memory alone. */
  check = async (token) => (await this.ask({ check: token })).code;

  /** The code of the verdict, after the keys were fetched where that may help. */
  verify = async (token) => (await this.ask({ verify: token })).code;

  status = () => this.ask("status");

  refresh = () => this.ask("refresh");

  get pid() {
    return this.#child.pid;
  }

  /** Ends it, as a crash does. */
  async close() {
    this.#child.kill("SIGKILL");
    await this.#gone;
  }
}

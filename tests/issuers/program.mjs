// An identity provider in a process of its own.

import { spawn } from "node:child_process";
import { until } from "../support/feed.mjs";

/**
 * Starts a program and waits until `url` answers. `tell` writes a line to it.
 *
 * @param {string} command @param {string[]} args @param {string} url @param {Record<string, string>} [env]
 */
export async function startProgram(command, args, url, env = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["pipe", "ignore", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => { log = (log + text).slice(-4000); });
  child.stdin.on("error", () => {});
  const gone = new Promise((resume) => child.once("exit", resume));
  const close = async () => {
    child.kill();
    await gone;
  };
  const answers = async () => (await fetch(url).catch(() => undefined))?.ok;
  const isUp = await Promise.race([until(answers, 30), gone.then(() => false)]);
  if (!isUp) {
    await close();
    throw new Error(`${command} ${args[0]} did not start: ${log}`);
  }
  return { close, log: () => log, tell: (line) => child.stdin.write(`${line}\n`) };
}

/** The endpoints in a provider's metadata. @param {string} issuer */
export async function discover(issuer) {
  const answer = await fetch(`${issuer}/.well-known/openid-configuration`);
  return answer.json();
}

/** A client with cookies, like a browser: follows redirects until one leads to `end`. */
export class Browser {
  #cookies = new Map();

  /** @param {string} url @param {RequestInit} [init] @param {string} [end] how the last address begins */
  async go(url, init = {}, end = "http://127.0.0.1/callback") {
    for (let steps = 0; steps < 12; steps += 1) {
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const answer = await fetch(url, { ...init, redirect: "manual", headers: { ...init.headers, cookie } });
      for (const line of answer.headers.getSetCookie()) {
        const [pair] = line.split(";");
        const at = pair.indexOf("=");
        if (pair.length === at + 1) this.#cookies.delete(pair.slice(0, at));
        else this.#cookies.set(pair.slice(0, at), pair.slice(at + 1));
      }
      const location = answer.headers.get("location");
      if (location === null) return { answer, url };
      url = new URL(location, url).href;
      init = {};
      if (url.startsWith(end)) return { answer, url };
    }
    throw new Error(`too many redirects, the last one to ${url}`);
  }

  /** @param {string} url @param {Record<string, string>} fields */
  post(url, fields) {
    return this.go(url, { method: "POST", body: new URLSearchParams(fields) });
  }
}

// Writers that open sessions and revoke, and probes that ask verifiers for verdicts, until they are stopped.

import { upTo } from "../support/chance.mjs";

/**
 * @typedef {import("./history.mjs").History} History
 * @typedef {import("./history.mjs").Revocation} Revocation
 * @typedef {{ name: string, planes: object[], verifier: import("offswitch").Verifier }} Follower
 */

export class Load {
  #history;
  #isStopped = false;
  #random;
  #system;
  #work = [];
  /** The tokens themselves, by number. @type {string[]} */
  #texts = [];
  /** @type {Follower[]} */
  followers = [];

  /** @param {import("./systems/system.mjs").System} system @param {History} history @param {() => number} random */
  constructor(system, history, random) {
    this.#system = system;
    this.#history = history;
    this.#random = random;
  }

  /** The number of tokens. */
  get tokens() {
    return this.#texts.length;
  }

  /** @param {number} writers */
  start(writers) {
    for (let writer = 0; writer < writers; writer += 1) this.#work.push(this.#write(writer));
    this.#work.push(this.#probe());
    for (const plane of this.#system.planes) this.#work.push(this.#watchReadiness(plane));
  }

  async stop() {
    this.#isStopped = true;
    await Promise.all(this.#work);
  }

  /**
   * Asks each verifier about each of these tokens, with pauses for other work.
   *
   * @param {Follower[]} followers @param {Iterable<number>} tokens
   */
  async sweep(followers, tokens) {
    let count = 0;
    for (const token of tokens) {
      for (const follower of followers) this.#ask(follower, token);
      count += 1;
      if (count % 20 === 0) await pause(0);
    }
  }

  /** Opens sessions and revokes, one after the other, with a few users of its own. @param {number} writer */
  async #write(writer) {
    const users = ["one", "two", "three", "four"].map((name) => `writer-${writer}-${name}`);
    // A token of a user that is never revoked.
    await this.#open(`writer-${writer}-spared`);
    /** @type {Awaited<ReturnType<Load["#open"]>>[]} */
    let live = [];
    while (!this.#isStopped) {
      await pause(PAUSE);
      if (live.length === 0 || this.#random() < 0.55) {
        const opened = await this.#open(users[upTo(this.#random, users.length)]);
        if (opened) live.push(opened);
        continue;
      }
      const one = live[upTo(this.#random, live.length)];
      const [kind, body, isCovered] = this.#choose(one);
      const covered = live.filter(isCovered);
      await this.#revoke(kind, body, covered.map(({ token }) => token));
      live = live.filter((other) => !isCovered(other)).slice(-MOST_LIVE);
    }
  }

  /** How to revoke a token, and the other tokens that this covers. */
  #choose(one) {
    const choice = this.#random();
    const isSame = ({ token }) => token === one.token;
    if (choice < 0.2) return ["user", { sub: one.sub }, ({ sub }) => sub === one.sub];
    if (choice < 0.6) return ["session", { session_id: one.sid }, isSame];
    if (choice < 0.8) return ["jti", { jti: one.jti, exp: one.exp }, isSame];
    return ["jti", { token: this.#texts[one.token] }, isSame];
  }

  /** @param {string} sub */
  async #open(sub) {
    const { answer } = await this.#send("/v1/sessions", { sub });
    if (answer === undefined) return undefined;
    const text = answer.access_token;
    const { sid, jti, ver, exp } = JSON.parse(String(Buffer.from(text.split(".")[1], "base64url")));
    const token = this.#texts.push(text) - 1;
    this.#history.tokens.push({ token, at: Date.now(), sub, sid, jti, ver });
    return { token, sub, sid, jti, exp };
  }

  /**
   * Revokes. If the outcome is unknown it repeats the request with the same key, as a careful client does.
   *
   * @param {"jti" | "session" | "user"} kind @param {object} body @param {number[]} tokens
   */
  async #revoke(kind, body, tokens) {
    const request = crypto.randomUUID();
    /** @type {Revocation} */
    const revocation = { request, kind, tokens, process: "", at: Date.now(), outcome: "unknown" };
    this.#history.revocations.push(revocation);
    while (!this.#isStopped) {
      const sent = Date.now();
      const { answer, status, process } = await this.#send("/v1/revocations", body, request);
      Object.assign(revocation, { at: Date.now(), sent, process });
      if (answer !== undefined) {
        const { position, durability: level } = answer;
        Object.assign(revocation, { outcome: "acknowledged", position, level });
      } else if (status >= 400 && status < 500) {
        revocation.outcome = "refused";
      } else {
        await pause(RETRY_PAUSE);
        continue;
      }
      return;
    }
  }

  /** Sends a request to a random control plane. @param {string} path @param {object} body @param {string} [key] */
  async #send(path, body, key) {
    const { planes, apiKey } = this.#system;
    const { url, process } = planes[upTo(this.#random, planes.length)];
    const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
    if (key) headers["idempotency-key"] = key;
    let status = 0;
    try {
      const signal = AbortSignal.timeout(ANSWER_WITHIN);
      const response = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body), signal });
      status = response.status;
      const answer = await response.json();
      if (response.ok) return { answer, status, process };
      this.#history.failures.push({ at: Date.now(), process, status, code: answer.code });
    } catch {
      this.#history.failures.push({ at: Date.now(), process, status: 0 });
      await pause(RETRY_PAUSE);
    }
    return { status, process };
  }

  /** Asks all verifiers in a loop, mostly about new tokens. */
  async #probe() {
    while (!this.#isStopped) {
      await pause(PROBE_PAUSE);
      const count = this.#texts.length;
      for (let nth = 0; nth < PROBES && count > 0; nth += 1) {
        const token = nth % 2 === 0 ? upTo(this.#random, count)
          : count - 1 - upTo(this.#random, Math.min(count, RECENT));
        for (const follower of this.followers) this.#ask(follower, token);
      }
    }
  }

  /** @param {Follower} follower @param {number} token */
  #ask({ name, verifier }, token) {
    const { outcome, code, evidence: { position } } = verifier.verifySync(this.#texts[token]);
    this.#history.verdicts.push({ at: Date.now(), verifier: name, position, token, outcome, code });
  }

  /** @param {import("./systems/system.mjs").Plane} plane */
  async #watchReadiness(plane) {
    while (!this.#isStopped) {
      await pause(READINESS_PAUSE);
      const { process } = plane;
      const at = Date.now();
      const signal = AbortSignal.timeout(ANSWER_WITHIN);
      const answer = await fetch(`${plane.url}/readyz`, { signal }).catch(() => undefined);
      await answer?.text().catch(() => {});
      this.#history.readiness.push({ at, until: Date.now(), process, ready: answer?.ok === true });
    }
  }
}

/** @param {number} milliseconds */
export const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

const ANSWER_WITHIN = 5000;
/** A writer's tokens that are not revoked yet. */
const MOST_LIVE = 40;
/** Between two requests of a writer, milliseconds. */
const PAUSE = 10;
const PROBE_PAUSE = 200;
const PROBES = 6;
const READINESS_PAUSE = 1000;
const RECENT = 100;
const RETRY_PAUSE = 50;

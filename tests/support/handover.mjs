// A stub of the control plane's handover, and the browser's side of it: a cookie jar that stores everything it
// receives.

import assert from "node:assert/strict";
import { mint, now } from "./fixture.mjs";
import { json } from "./stub.mjs";

export const API_KEY = "osk_handover";

/** The worker's settings for a handover with the stub. */
export const handoverSettings = (stub) => ({
  OFFSWITCH_HANDOVER_API_KEY: API_KEY,
  OFFSWITCH_HANDOVER_URL: `${stub.url}/handover`,
});

/**
 * Makes `stub` serve the handover with tokens signed by `key`. Each login code is valid for one session of that
 * name, which is also the token's `sid`.
 *
 * @param {object} stub @param {object} key
 */
export function playHandover(stub, key) {
  const plane = {
    key,
    /** Claims of the next tokens; `life_seconds` becomes `expires_in`. */
    claims: {},
    lifeSeconds: 300,
    delayMilliseconds: 0,
    /** Set to a handler `(path, body, response) => void` that replaces the good one. */
    instead: undefined,
    ended: new Set(),
    issued: [],
  };
  const sessionEnd = now() + 86_400;
  const tokenFields = async (sid) => {
    const jti = `${sid}-${plane.issued.length}`;
    const exp = now() + plane.lifeSeconds;
    const token = await mint(plane.key, { sub: "alice", sid, jti, exp, ...plane.claims });
    plane.issued.push(token);
    return {
      access_token: token, token_type: "Bearer",
      expires_in: plane.lifeSeconds, expires_at: exp, session_expires_at: sessionEnd,
    };
  };
  const spent = new Set();
  const good = async (path, { code, handle }, response) => {
    const sid = (code ?? handle).slice(4).replaceAll("_", "");
    if (path === "login") {
      if (spent.has(code)) return problem(response, 400, "invalid_code");
      spent.add(code);
      return json(response, { handle: handleOf(sid), session_id: sid, ...(await tokenFields(sid)) });
    }
    if (path === "logout") {
      plane.ended.add(sid);
      return json(response, { position: "1.5", durability: "synced" });
    }
    if (plane.ended.has(sid)) return problem(response, 410, "session_ended");
    json(response, await tokenFields(sid));
  };
  stub.handover = async (path, body, response) => {
    await new Promise((resume) => setTimeout(resume, plane.delayMilliseconds));
    await (plane.instead ?? good)(path, JSON.parse(body), response);
  };
  return plane;
}

/** @param {string} sid */
export const codeOf = (sid) => `osc_${sid.padEnd(43, "_")}`;
/** @param {string} sid */
export const handleOf = (sid) => `osh_${sid.padEnd(43, "_")}`;

export function problem(response, status, code, headers = {}) {
  response.writeHead(status, { "content-type": "application/problem+json", ...headers });
  response.end(JSON.stringify({ type: `urn:offswitch:problem:${code}`, title: code, status, code }));
}

/** A browser with a page of the worker's origin. */
export class Browser {
  #origin;
  /** The value of the cookie header; undefined without a cookie. */
  cookie;
  /** Every answer, as text. */
  answers = [];

  constructor(origin) {
    this.#origin = origin;
  }

  async fetch(path, { headers = {}, ...init } = {}) {
    const sent = { origin: this.#origin, "sec-fetch-site": "same-origin", ...headers };
    if (this.cookie !== undefined) sent.cookie = this.cookie;
    const response = await fetch(this.#origin + path, { ...init, headers: sent });
    const body = await response.text();
    this.answers.push(JSON.stringify([...response.headers]) + body);
    const setCookies = response.headers.getSetCookie();
    for (const one of setCookies) {
      this.cookie = /max-age=0/i.test(one) ? undefined : one.split(";")[0];
    }
    const code = body.startsWith("{") ? JSON.parse(body).code : undefined;
    return { status: response.status, headers: response.headers, body, code, setCookies };
  }

  post(path, body, headers = {}) {
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const all = { "offswitch-csrf": "1", ...type, ...headers };
    return this.fetch(path, { method: "POST", body: body && JSON.stringify(body), headers: all });
  }

  async login(sid) {
    const answer = await this.post("/auth/login", { code: codeOf(sid) });
    assert.equal(answer.status, 204, answer.body);
    return answer;
  }

  /** Nothing that this browser received contains a token. */
  assertNoToken(plane) {
    assert.ok(this.answers.length > 0);
    for (const answer of this.answers) {
      assert.doesNotMatch(answer, /eyJ/);
      for (const token of plane.issued) assert.ok(!answer.includes(token.split(".")[2]));
    }
  }
}

// The answers of a guarded route of an application.

import assert from "node:assert/strict";

/** Waits until the server answers: 401 without a token, and the user's claims with one. */
export async function answersMe(server, url, { sub, token }) {
  const end = performance.now() + 60_000;
  let refused;
  while (refused === undefined) {
    if (server.hasEnded()) assert.fail(`the server has ended: ${server.printed()}`);
    if (performance.now() > end) assert.fail(`the server does not answer: ${server.printed()}`);
    refused = await ask(url).catch(() => new Promise((resume) => setTimeout(resume, 100)));
  }
  assert.equal(refused.status, 401, "a request without a token");
  const accepted = await ask(url, token);
  const text = await accepted.text();
  assert.equal(accepted.status, 200, text);
  assert.equal(JSON.parse(text).sub, sub);
}

/** @param {string} url @param {string} [token] */
export function ask(url, token) {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return fetch(url, { headers, signal: AbortSignal.timeout(30_000) });
}

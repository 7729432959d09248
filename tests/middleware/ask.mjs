// The client: sends every case and returns the answers. It runs in the same runtime as the server.

import { CASES } from "./cases.mjs";
import { askWithProofs } from "./proofs.mjs";

/**
 * @param {(path: string, init: RequestInit) => Promise<Response>} send
 * @param {any} given see given.mjs
 */
export async function askAll(send, given) {
  const ask = async (path, { token, scheme = "Bearer", suffix = "", authorization, method, body }) => {
    const header = token === undefined ? authorization : `${scheme} ${given.tokens[token]}${suffix}`;
    const headers = header === undefined ? {} : { authorization: header };
    const response = await send(path, { headers, method, body });
    const { status } = response;
    return { status, headers: Object.fromEntries(response.headers), text: await response.text() };
  };
  const answers = {};
  for (const [name, [path, sent]] of Object.entries(CASES)) answers[name] = await ask(path, sent);
  const proved = await askWithProofs(send, given);
  const spread = [];
  for (let count = 0; count < 4; count += 1) {
    spread.push((await ask("/spread-wide", { token: "deadKey" })).headers["retry-after"]);
  }
  const late = await whenTold(given.late, 200, () => ask("/late", { token: "good" }));
  const going = await whenTold(given.plane, 401, () => ask("/plain", { token: "going" }));
  return { answers, proved, spread, late, going };
}

/** The answer before the control plane changed, and the one after the verifier knew of the change. */
async function whenTold(plane, status, ask) {
  const first = await ask();
  await (await fetch(`${plane}/up/now`)).text();
  for (const end = Date.now() + 20_000; ; ) {
    const last = await ask();
    if (last.status === status || Date.now() > end) return { first, last };
    await new Promise((resume) => setTimeout(resume, 100));
  }
}

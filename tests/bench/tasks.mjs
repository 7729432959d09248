// The measurements of tokens, the same in every runtime. A task is created once and then run for
// this many calls; the caller measures the time.

import { cachedFastJwt, claimsOf, makePeers, makeVerifier } from "./contestants.mjs";
import { inTurn } from "./clock.mjs";

/**
 * @param {{ Verifier: any }} offswitch @param {any} material
 * @param {{ fastJwt?: any, bytes: (token: string) => any, text: (bytes: any) => string }} runtime
 *   `text` creates a new string for each call, like a request header
 */
export function makeTasks(offswitch, material, runtime) {
  const bytes = (alg) => material.algorithms[alg].tokens.map(runtime.bytes);
  const made = new Map();
  const once = (name, make) => {
    if (!made.has(name)) made.set(name, make());
    return made.get(name);
  };
  const inOrder = (tokens, count) => (index) => runtime.text(tokens[index % count]);
  const atRandom = (tokens) => (index) => runtime.text(tokens[RANDOM[index % RANDOM.length] % tokens.length]);

  const seen = once("seen", () => bytes("EdDSA"));
  const next = { "100": inOrder(seen, 100), "10000": atRandom(seen) };
  const tasks = {};
  const add = (name, make) => {
    tasks[name] = async (count) => {
      const { call, next } = await once(name, make);
      await inTurn(count, call, next);
    };
  };
  for (const many of Object.keys(next)) {
    const verifier = (more) => makeVerifier(offswitch, material, "EdDSA", more);
    add(`seen ${many} offswitch`, () => {
      const one = verifier();
      return { call: (token) => claimsOf(one.verifySync(token)), next: next[many] };
    });
    add(`seen ${many} offswitch, nothing revoked`, () => {
      const one = verifier({ base: material.empty });
      return { call: (token) => claimsOf(one.verifySync(token)), next: next[many] };
    });
    add(`seen ${many} jose`, async () => ({
      call: (await makePeers(material, "EdDSA", {})).jose, next: next[many],
    }));
    if (runtime.fastJwt) {
      add(`seen ${many} fast-jwt with cache`, () => ({
        call: cachedFastJwt(runtime.fastJwt, material, "EdDSA"), next: next[many],
      }));
    }
  }
  for (const alg of Object.keys(material.algorithms)) {
    const tokens = once(`bytes ${alg}`, () => bytes(alg).slice(0, FRESH));
    const order = inOrder(tokens, tokens.length);
    // Fewer places than tokens: each token is forgotten before it comes again, and the cost of
    // remembering is included.
    const verifier = () => makeVerifier(offswitch, material, alg, { rememberedTokens: FRESH / 4 });
    add(`fresh ${alg} offswitch`, () => {
      const one = verifier();
      return { call: async (token) => claimsOf(await one.verify(token)), next: order };
    });
    add(`fresh ${alg} offswitch, wasm alone`, () => {
      const one = verifier();
      return { call: (token) => claimsOf(one.verifySync(token)), next: order };
    });
    for (const peer of peersFor(alg, runtime)) {
      add(`fresh ${alg} ${peer}`, async () => ({
        call: (await makePeers(material, alg, runtime))[peer], next: order,
      }));
    }
  }
  return tasks;
}

function peersFor(alg, { fastJwt }) {
  return ["jose", "hono", ...(alg === "EdDSA" ? [] : ["tsndr"]), ...(fastJwt ? ["fast-jwt"] : [])];
}

/** The tokens that are "never seen before". */
export const FRESH = 2000;
/** The same order in every runtime. */
const RANDOM = Uint32Array.from({ length: 1 << 16 }, (_, index) => Math.imul(index + 1, 2654435761) >>> 8);

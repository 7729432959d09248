// The answers that every runtime must give. It does not depend on the runtime: it gets the package and the data.

import { webCrypto } from "../../verifier-wasm/js/engine/host-webcrypto.js";
import { INTERNALS } from "../../verifier-wasm/js/feed/internals.js";
import { ALGORITHMS } from "./algorithms.mjs";
import { provokeFailures } from "./failures.mjs";
import { withHost } from "./forced-host.mjs";
import { judgeVectors } from "./wycheproof.mjs";

/**
 * @param {{ Verifier: any, verifyJws: any, verifySignature: any, nodeCrypto?: any }} offswitch the
 *   package, with the importer of keys for node:crypto where there is one
 * @param {{ cases?: any, failures?: any, vectors?: any }} data as expect.mjs makes it
 */
export async function runSuite(offswitch, data) {
  const { nodeCrypto } = offswitch;
  const hosts = { WebCrypto: webCrypto, ...(nodeCrypto && { "node:crypto": nodeCrypto }) };
  if (data.failures) return provokeFailures(offswitch, data.failures);
  if (data.vectors) return judgeVectors(offswitch, hosts, data.vectors);
  return judgeCases(offswitch, hosts, data.cases);
}

/** Judges every case on every verification path. */
async function judgeCases({ Verifier }, hosts, data) {
  const { now, options } = Object.values(data.verifiers)[0];
  const { hosts: ofLoader } = new Verifier({ ...options, clock: () => now })[INTERNALS];
  const chosen = ALGORITHMS.filter((alg) => ofLoader.has(alg));
  const forgetful = { rememberedTokens: 0 };
  const bySync = (verifier, token, policy) => {
    const verdict = verifier.verifySync(token, policy);
    return [policy === undefined ? explained(verdict, verifier.explain(token)) : verdict];
  };
  const byHost = async (verifier, token, policy) => [await verifier.verify(token, policy)];
  const thrice = async (verifier, token, policy) => [
    verifier.verifySync(token, policy),
    await verifier.verify(token, policy),
    verifier.verifySync(token, policy),
  ];
  const passes = [
    await judgePass("wasm alone", Verifier, data, forgetful, bySync),
    await judgePass("the loader's host", Verifier, data, forgetful, byHost),
    await judgePass("remembered", Verifier, data, {}, thrice),
  ];
  for (const [name, importer] of Object.entries(hosts)) {
    const { Verifier: Hosted, checks } = withHost(importer);
    passes.push({ ...(await judgePass(`${name} for all`, Hosted, data, forgetful, byHost)), checks });
  }
  return { chosen, passes };
}

/** @param {(verifier: any, token: string, policy?: object) => any} ask for one or more verdicts */
async function judgePass(name, Verifier, { verifiers, cases }, options, ask) {
  const differences = [];
  const compare = (of, expected, found) => {
    if (found !== expected) differences.push({ name: of, expected, found });
  };
  const made = {};
  let offset = 0;
  for (const [of, { now, snapshots, options: own }] of Object.entries(verifiers)) {
    made[of] = new Verifier({ ...own, ...options, clock: () => now + offset });
    for (const { bytes, code } of snapshots) compare(of, code, apply(made[of], bytes));
  }
  let [valid, remembered] = [0, 0];
  for (const batch of inBatches(cases)) {
    offset = batch[0].at ?? 0;
    // All at the same time, like requests.
    await Promise.all(batch.map(async (one) => {
      const verifier = made[one.verifier];
      if (one.apply !== undefined) return compare(one.name, one.code, apply(verifier, one.apply));
      const verdicts = await ask(verifier, one.token, one.policy);
      for (const { outcome, code, claims, claimsJson } of verdicts) {
        compare(one.name, `${one.outcome} ${one.code}`, `${outcome} ${code}`);
        const isExpected = outcome === one.outcome;
        if (isExpected) compare(one.name, JSON.stringify(one.claims), asNumbers(claims));
        if (outcome === "valid") compare(one.name, payloadOf(one.token), claimsJson);
      }
      if (verdicts.every(({ outcome }) => outcome === "valid")) valid += 1;
      // All verdicts on a remembered token share its claims.
      const isShared = verdicts.every(({ claims }) => claims && claims === verdicts[0].claims);
      if (verdicts.length > 1 && isShared) remembered += 1;
    }));
  }
  for (const verifier of Object.values(made)) verifier.close();
  return { name, count: cases.length, valid, remembered, differences };
}

/** Claims with plain numbers, like those of JSON.parse; the verdict has large integers as bigint. D105 */
const asNumbers = (claims) =>
  JSON.stringify(claims, (_, value) => (typeof value === "bigint" ? Number(value) : value));

/** The payload's text, as it was signed. D105 */
function payloadOf(token) {
  const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(text, (one) => one.charCodeAt(0));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** Cases with the same time, which can run concurrently; a snapshot that arrives is separate. */
function* inBatches(cases) {
  let batch = [];
  for (const one of cases) {
    const [first] = batch;
    const isApart = first && (first.at !== one.at || first.apply || one.apply !== undefined);
    if (isApart || batch.length === AT_ONCE) {
      yield batch;
      batch = [];
    }
    batch.push(one);
  }
  yield batch;
}

/** The verdict, if the first check that did not pass agrees. */
function explained(verdict, steps) {
  const { code } = steps.find(({ result }) => result !== "passed") ?? { code: "valid" };
  return code === verdict.code ? verdict : { ...verdict, code: `${verdict.code}, by its steps ${code}` };
}

/** The result of applying a snapshot. @param {any} verifier @param {string} text in base64 */
function apply(verifier, text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const result = verifier.apply(bytes);
  return result.applied ?? result.error;
}

/** More than wasm keeps tickets for: some tokens must be read again. */
const AT_ONCE = 100;

// One host for every algorithm, whatever the loader chose. It cannot be taken back in one runtime.

import { useHost } from "../../verifier-wasm/js/engine/host.js";
import { ALGORITHMS } from "./algorithms.mjs";

let forced = false;
export const isForced = () => forced;

/**
 * Has all keys imported by `importer`; answers with how many signatures it was asked for since, by
 * algorithm.
 *
 * @param {import("../../verifier-wasm/js/engine/host.js").KeyImporter} importer
 */
export function forceHost(importer) {
  const checks = Object.fromEntries(ALGORITHMS.map((alg) => [alg, 0]));
  forced = true;
  useHost([...ALGORITHMS, "Ed25519"].join(" "), async (jwk) => {
    const key = await importer(jwk);
    return (signature, signed) => {
      checks[jwk.alg] += 1;
      return key(signature, signed);
    };
  });
  return checks;
}

// The package with one host for every algorithm, instead of the loader's choice.

import { hosting } from "../../verifier-wasm/js/engine/host.js";
import { packageFor } from "../../verifier-wasm/js/verifier/create-verifier.js";
import { ALGORITHMS } from "./algorithms.mjs";

/**
 * A Verifier whose keys `importer` imports, those hosts, and the number of signatures that they
 * check, by algorithm.
 *
 * @param {import("../../verifier-wasm/js/engine/host.js").KeyImporter} importer
 */
export function withHost(importer) {
  const checks = Object.fromEntries(ALGORITHMS.map((alg) => [alg, 0]));
  const hosts = new Map(hosting(ALGORITHMS.join(" "), async (jwk) => {
    const key = await importer(jwk);
    return (signature, signed) => {
      checks[jwk.alg] += 1;
      return key(signature, signed);
    };
  }));
  return { ...packageFor({ hosts, load() {} }), checks, hosts };
}

// External vectors through the verifier together with the host, like a token: wasm parses the token
// and refuses the inputs on which hosts differ, the host checks the signature, wasm checks the rest.

import { importKey } from "../../verifier-wasm/js/engine/host.js";
import { ALGORITHMS, ASYMMETRIC, SYMMETRIC } from "./algorithms.mjs";
import { withHost } from "./forced-host.mjs";

export class HostJudge {
  /** Vectors that the host alone would have accepted. @type {[string, number][]} */
  laxer = [];
  /** Algorithms whose keys wasm supports and the host does not. @type {Set<string>} */
  unknown = new Set();
  /** The signature that the host checks instead of the token's own. @type {Uint8Array | undefined} */
  #message;
  #wasAsked = false;
  #Verifier;
  #hosts;

  /** @param {any} importer of keys for the host */
  constructor(importer) {
    const { Verifier, checks, hosts } = withHost(async (jwk) => {
      const key = await importer(jwk);
      return (signature, signed) => {
        this.#wasAsked = true;
        return key(signature, this.#message ?? signed);
      };
    });
    this.#Verifier = Verifier;
    this.#hosts = hosts;
    this.checks = checks;
  }

  /** True if one of the keys signed this compact JWS, with any content. */
  async acceptsJws(set, token) {
    this.#message = undefined;
    const whole = await this.#verify(set, token);
    if (whole === undefined) return false;
    // A key that was dropped from its set signs nothing, even if the token names it.
    const isNamed = (set.keys ?? []).some(({ kid }) => kid === kidOf(token));
    if (isNamed && whole.code === "unknown_key") return false;
    for (const key of set.keys ?? [set]) {
      // The vectors' keys and tokens do not agree on names, which this test does not check.
      const verdict = await this.#verify({ ...key, kid: kidOf(token) }, token);
      // These payloads are not claims; all checks before that one belong to the signature layer.
      if (verdict?.detail === "the payload is not a JSON object") return true;
    }
    return false;
  }

  /** True if `signature` is the key's under `message`; undefined if the host knows no such key. */
  async acceptsSignature({ kid, ...jwk }, message, signature, vector) {
    const header = base64url(encoder.encode(JSON.stringify({ alg: jwk.alg })));
    const token = `${header}.e30.${base64url(signature)}`;
    this.#message = message;
    const verdict = await this.#verify(jwk, token);
    if (verdict === undefined) return false;
    const host = await importKey(this.#hosts, jwk);
    if (host === null) return undefined;
    if (!this.#wasAsked && (await isTaken(host, signature, message))) this.laxer.push(vector);
    // The next check that fails for the token around the signature.
    return this.#wasAsked && verdict.code === "wrong_type";
  }

  /** The verdict by these keys; undefined if they do not load. */
  async #verify(keys, token) {
    const algorithms = (keys.keys ?? [keys])[0]?.kty === "oct" ? SYMMETRIC : ASYMMETRIC;
    this.#wasAsked = false;
    let verifier;
    try {
      verifier = new this.#Verifier({ ...OPTIONS, algorithms, keys });
    } catch {
      return undefined;
    }
    for (const key of keys.keys ?? [keys]) {
      const isKnown = !ALGORITHMS.includes(key.alg) || (await importKey(this.#hosts, key)) !== null;
      if (!isKnown) this.unknown.add(key.alg);
    }
    const verdict = await verifier.verify(token);
    verifier.close();
    return verdict;
  }
}

/** The answer of the host alone; some throw if the signature has another length. */
async function isTaken(host, signature, message) {
  try {
    return await host(signature, message);
  } catch {
    return false;
  }
}

/** The name of the key as the token has it. */
function kidOf(token) {
  try {
    const { kid } = JSON.parse(atob(token.split(".")[0].replaceAll("-", "+").replaceAll("_", "/")));
    return typeof kid === "string" ? kid : undefined;
  } catch {
    return undefined;
  }
}

function base64url(bytes) {
  const standard = btoa(String.fromCharCode(...bytes));
  return standard.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const encoder = new TextEncoder();
/** There is no feed: no token reaches the point where it is needed. */
const OPTIONS = {
  issuer: "x",
  audience: "unchecked",
  clock: () => 0,
  feed: { url: "http://feed.invalid", publicKeys: ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"] },
};

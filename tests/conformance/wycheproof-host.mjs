// Outside vectors through the verifier with the host in it, as a token goes: wasm takes the token
// apart and refuses what hosts disagree on, the host checks the signature, wasm looks at the rest.

import { importKey } from "../../verifier-wasm/js/engine/host.js";
import { ALGORITHMS, ASYMMETRIC, SYMMETRIC } from "./algorithms.mjs";
import { withHost } from "./forced-host.mjs";

export class HostJudge {
  /** What the host would have accepted if it had been asked. @type {[string, number][]} */
  laxer = [];
  /** Algorithms whose keys wasm knows and the host does not. @type {Set<string>} */
  unknown = new Set();
  /** What the host is to check in place of the token's own. @type {Uint8Array | undefined} */
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

  /** True if one of the keys signed this compact JWS, whatever it holds. */
  async acceptsJws(set, token) {
    this.#message = undefined;
    const whole = await this.#verify(set, token);
    if (whole === undefined) return false;
    // A key of the token's name that was dropped from its set signs nothing.
    const isNamed = (set.keys ?? []).some(({ kid }) => kid === kidOf(token));
    if (isNamed && whole.code === "unknown_key") return false;
    for (const key of set.keys ?? [set]) {
      // The vectors' keys and tokens do not agree on names, which are not what is judged here.
      const verdict = await this.#verify({ ...key, kid: kidOf(token) }, token);
      // These payloads are no claims; all that comes before them is the signature layer.
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
    // The next thing that is wrong with the token around the signature.
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

/** What a host says by itself; some throw at a signature of another length. */
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
/** There is no feed: no token gets as far as to need one. */
const OPTIONS = {
  issuer: "x",
  audience: "unchecked",
  clock: () => 0,
  feed: { url: "http://feed.invalid", publicKeys: ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"] },
};

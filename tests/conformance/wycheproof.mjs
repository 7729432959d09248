// Google's Wycheproof vectors (C2SP/wycheproof at dac1dd47) through wasm alone and through hosts.
// It does not depend on the runtime; it gets the files by name.

import { HostJudge } from "./wycheproof-host.mjs";

const JWS = "json_web_signature_test.json";
const JWK = "json_web_key_test.json";
const ED25519 = "ed25519_test.json";
const P256 = "ecdsa_secp256r1_sha256_p1363_test.json";
const P384 = "ecdsa_secp384r1_sha384_p1363_test.json";
const P521 = "ecdsa_secp521r1_sha512_p1363_test.json";
const RSA = "rsa_signature_2048_sha256_test.json";
const HMAC = "hmac_sha256_test.json";

/** Signatures of our own on which hosts are known to differ; see cases/edwards.mjs. */
export const OURS = "small_order_r";

/** How many vectors each file of Wycheproof must hold. */
export const COUNTS = {
  [JWS]: 401, [JWK]: 26, [ED25519]: 151, [P256]: 262, [P384]: 280, [P521]: 318, [RSA]: 259,
  [HMAC]: 174,
};

/** How many of the ECDSA signatures with a high s are valid. */
export const HIGH_S = { [P256]: 70, [P384]: 88, [P521]: 107 };

/** Vectors on which our verdict differs from the label on purpose. */
const OVERRIDES = [
  [JWS, 346, "reject", "the key's alg is PS256, the header's PS384: one key, one alg"],
  [JWS, 347, "reject", "the key's alg is ES521, which no registry has"],
  [JWS, 350, "reject", "the key's alg is PS256, the header's PS384: one key, one alg"],
  [JWS, 351, "reject", "the key's alg is ES521, which no registry has"],
  [JWS, 367, "skip", "byte for byte tc357, which is valid (C2SP/wycheproof#236)"],
  [JWS, 370, "skip", "byte for byte tc357, which is valid (C2SP/wycheproof#236)"],
  [JWS, 372, "reject", "a `?` in the header is not base64url (RFC 7515 section 2)"],
  [JWS, 373, "reject", "a `?` in the payload is not base64url (RFC 7515 section 2)"],
  [JWK, 7, "accept", "a ROCA key has no other fault than its factors: documented only"],
  [RSA, 8, "reject", "labelled acceptable: the NULL of the DigestInfo is missing"],
];

/**
 * @param {any} offswitch @param {Record<string, any>} hosts importers by name
 * @param {Record<string, any>} files by name
 * @returns the answers of wasm and of each host, by name
 */
export async function judgeVectors(offswitch, hosts, files) {
  const found = { wasm: await judgeFiles(wasmJudge(offswitch), files) };
  for (const [name, importer] of Object.entries(hosts)) {
    const judge = new HostJudge(importer);
    const judged = await judgeFiles(judge, files);
    const { checks, laxer, unknown } = judge;
    found[name] = { ...judged, checks, laxer, unknown: [...unknown] };
  }
  return found;
}

async function judgeFiles(judge, files) {
  const counts = {};
  const differences = [];
  const highS = {};
  for (const [file, { testGroups }] of Object.entries(files)) {
    counts[file] = 0;
    for (const group of testGroups) {
      for (const test of group.tests) {
        counts[file] += 1;
        const override = OVERRIDES.find(([of, id]) => of === file && id === test.tcId);
        let expected = override?.[2] ?? (test.result === "valid" ? "accept" : "reject");
        // Not a JWS signature: a tag that is cut short, or a key that is too short for HS256.
        if (file === HMAC && (group.tagSize !== 256 || group.keySize < 256)) expected = "reject";
        const isGood = await accepts(judge, file, group, test);
        if (isGood === undefined) continue;
        const found = isGood ? "accept" : "reject";
        const half = CURVES[file]?.half;
        if (half !== undefined && found === "accept" && test.sig.slice(half.length) > half) {
          highS[file] = (highS[file] ?? 0) + 1;
        }
        if (expected !== "skip" && expected !== found) {
          differences.push({ file, test: test.tcId, expected, found });
        }
      }
    }
  }
  return { counts, differences, highS };
}

function accepts(judge, file, group, test) {
  if (file === JWS || file === JWK) {
    return judge.acceptsJws(group.public ?? group.private, test.jws);
  }
  const [message, signature] = [hex(test.msg), hex(test.sig ?? test.tag)];
  return judge.acceptsSignature(jwk(file, group, test), message, signature, [file, test.tcId]);
}

/** The two layers of wasm; an error means that the key set does not load. */
function wasmJudge({ verifyJws, verifySignature }) {
  const orFalse = (judge) => {
    try {
      return judge();
    } catch {
      return false;
    }
  };
  return {
    acceptsJws: (keys, token) =>
      orFalse(() => verifyJws(JSON.stringify(keys), token) !== undefined),
    acceptsSignature: (key, message, signature) =>
      orFalse(() => verifySignature(JSON.stringify(key), message, signature)),
  };
}

function jwk(file, group, test) {
  const key = group.publicKey;
  if (file === ED25519 || file === OURS) return { ...group.publicKeyJwk, alg: "EdDSA" };
  if (file === HMAC) return { kty: "oct", alg: "HS256", k: base64url(test.key) };
  if (file === RSA) {
    const n = base64url(key.modulus.replace(/^00/, ""));
    return { kty: "RSA", alg: "RS256", n, e: base64url(key.publicExponent) };
  }
  const { crv, alg, half } = CURVES[file];
  const coordinate = (text) => base64url(text.padStart(half.length, "0").slice(-half.length));
  return { kty: "EC", crv, alg, x: coordinate(key.wx), y: coordinate(key.wy) };
}

const hex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const base64url = (text) => {
  const standard = btoa(String.fromCharCode(...hex(text)));
  return standard.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};
/** For each ECDSA file half the order of its curve, rounded down. */
const CURVES = {
  [P256]: {
    crv: "P-256", alg: "ES256",
    half: "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8",
  },
  [P384]: {
    crv: "P-384", alg: "ES384",
    half: "7fffffffffffffffffffffffffffffffffffffffffffffffe3b1a6c0fa1b96ef"
      + "ac0d06d9245853bd76760cb5666294b9",
  },
  [P521]: {
    crv: "P-521", alg: "ES512",
    half: "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
      + "fd28c343c1df97cb35bfe600a47b84d2e81ddae4dc44ce23d75db7db8f489c3204",
  },
};

// A real token, signed in this tab, with the key that verifies it.

import { encodeBase64Url } from "./base64url";

/** Rejects with a message if the browser has no WebCrypto. */
export async function makeExample(now: number): Promise<{ token: string; keysText: string }> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new Error("Browsers make keys only on pages that came by https or from localhost.");
  }
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const kid = `example-${randomName(4)}`;
  const header = { alg: "ES256", typ: "at+jwt", kid };
  const signed = `${segment(header)}.${segment(claimsAt(now))}`;
  const signature = await crypto.subtle.sign(
    { name: "ECDSA", hash: "SHA-256" },
    pair.privateKey,
    new TextEncoder().encode(signed),
  );
  const jwks = { keys: [{ kty, crv, alg: "ES256", use: "sig", kid, x, y }] };
  return {
    token: `${signed}.${encodeBase64Url(new Uint8Array(signature))}`,
    keysText: JSON.stringify(jwks, null, 2),
  };
}

function claimsAt(now: number) {
  return {
    iss: "https://auth.example",
    sub: "alice",
    aud: "https://api.example",
    client_id: "phone-app",
    scope: "read write",
    iat: now,
    exp: now + LIFE_SECONDS,
    jti: randomName(16),
    sid: randomName(16),
    roles: ["editor"],
    act: { sub: "support-desk" },
  };
}

function segment(value: unknown): string {
  return encodeBase64Url(new TextEncoder().encode(JSON.stringify(value)));
}

function randomName(sizeBytes: number): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(sizeBytes)));
}

const LIFE_SECONDS = 600;

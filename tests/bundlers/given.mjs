// The input of every app, and the verdicts that it must return.

import { AUDIENCE, ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

/** One control plane, which pages of another origin use too. */
export async function prepare() {
  const keys = [await signingKey("EdDSA"), await signingKey("ES256")];
  const { publicKey, snapshots: [base] } = sign([{ to: 4, tokens: ["gone"] }]);
  const jwks = { keys: keys.map(({ jwk }) => jwk) };
  const stub = await startStub({ jwks });
  stub.feed = (_, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("content-type", "application/octet-stream").end(base);
  };
  const options = {
    issuer: ISSUER, audience: AUDIENCE, keys: jwks,
    feed: {
      url: `${stub.url}/feed`, id: "feed", publicKeys: [publicKey],
      follow: "poll", maxStaleness: 600,
    },
  };
  const good = await mint(keys[0]);
  const other = await mint(keys[0], { sub: "other" });
  const tokens = {
    good,
    goodES256: await mint(keys[1]),
    revoked: await mint(keys[0], { jti: "gone" }),
    forged: [...good.split(".").slice(0, 2), other.split(".")[2]].join("."),
  };
  return { close: stub.close, given: { options, tokens } };
}

const twice = (code) => [code, code];
export const VERDICTS = {
  good: twice("valid"),
  goodES256: twice("valid"),
  revoked: twice("revoked_token"),
  forged: twice("bad_signature"),
};

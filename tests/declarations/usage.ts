// Compiled by `npm run types`, never run: what the package's types allow and what they do not.

import { createVerifier, type Verdict } from "offswitch";

const feed = { url: "https://issuer/v1/feed", publicKeys: ["key"], maxStaleness: 60 };
const verifier = await createVerifier({
  issuer: "https://issuer", audience: "api", keys: "https://issuer/jwks",
  feed: { ...feed, onStale: "deny" },
});
const verdict: Verdict = await verifier.verify("token");
if (verdict.outcome === "valid") verdict.claims.sub?.length;
else if (verdict.code === "stale_snapshot") verdict.detail.length;

// @ts-expect-error claims come with a valid verdict only
verdict.claims;
// @ts-expect-error there is no such option
await createVerifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed, leeway: 3 });
// @ts-expect-error a verifier without issuers trusts nobody
await createVerifier({ feed });

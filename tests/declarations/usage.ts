// Compiled by `npm run types`, never run: what the package's types allow and what they refuse.

import { Verifier, createVerifier, preset, type PresetName, type RoundResult, type Verdict } from "offswitch";

const feed = { url: "https://issuer/v1/feed", publicKeys: ["key"], maxStaleness: 60 };
const verifier = await createVerifier({
  issuer: "https://issuer", audience: "api", keys: "https://issuer/jwks",
  feed: { ...feed, onStale: "deny" },
});
const verdict: Verdict = await verifier.verify("token");
if (verdict.outcome === "valid") verdict.claims.sub?.length;
else if (verdict.code === "stale_snapshot") verdict.detail.length;

// Without a check first, claims may be missing.
verdict.claims?.sub satisfies string | undefined;
// @ts-expect-error only a valid verdict has claims
verdict.claims.sub;
// @ts-expect-error claims are frozen, because all verdicts on one token share them
if (verdict.outcome === "valid") verdict.claims.sub = "other";
// @ts-expect-error there is no such option
await createVerifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed, leeway: 3 });
// @ts-expect-error a verifier needs an issuer
await createVerifier({ feed });
new Verifier({ issuers: [{ issuer: "i", audience: "unchecked", keys: { keys: [] } }], feed });

// A head in place of an address.
const { url: _, ...trust } = feed;
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: { ...trust, head: "https://cdn/head" } });
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: { ...trust, head: new Map<string, Uint8Array>() } });
declare const kv: { get(key: string, options?: { type: "arrayBuffer" }): Promise<ArrayBuffer | null> };
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: { ...trust, head: { binding: kv, prefix: "p" } } });
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: { ...feed, head: "https://cdn/head" } });
// @ts-expect-error a head alone has no streams
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: { ...trust, head: kv, follow: "stream" } });
// A file in place of an address.
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: { ...trust, snapshot: new Uint8Array() } });
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: { ...trust, snapshot: async () => new Uint8Array() } });
// @ts-expect-error a file has no streams
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: { ...trust, snapshot: new Uint8Array(), follow: "stream" } });
(await verifier.load(new Uint8Array())) satisfies RoundResult;
// @ts-expect-error a feed is somewhere
new Verifier({ issuer: "i", audience: "a", keys: { keys: [] }, feed: trust });

// Presets: each with its own parameters.
new Verifier({ issuers: [preset("entra", { tenant: "t", audience: ["a"] }), preset("firebase", { project: "p" })], feed });
new Verifier({ ...preset("clerk", { domain: "d" }), leewaySeconds: 5, feed });
"cloudflare-access" satisfies PresetName;
// @ts-expect-error the realm is missing
preset("keycloak", { url: "https://sso", audience: "a" });
// @ts-expect-error there is no such parameter
preset("google", { audience: "a", realm: "r" });
// @ts-expect-error there is no such preset
preset("azure", {});

// The policy of a single verdict.
verifier.verifySync("token", { maxStaleness: 5 }).outcome === "undecided";
await verifier.verify("token", { onStale: "allow", timeoutSeconds: 1 });
await verifier.verify("token", { signal: AbortSignal.timeout(1) });
// @ts-expect-error verifySync does not wait
verifier.verifySync("token", { timeoutSeconds: 1 });
// @ts-expect-error a policy denies or allows
verifier.verifySync("token", { onStale: "maybe" });
// @ts-expect-error scopes are for routes
verifier.verifySync("token", { scopes: ["read"] });

// The status of a verifier.
const { ready, position, following, feed: followed, keys, watched, instance } = verifier.status();
const reported: [boolean, string | null, number] = [ready, position, watched + instance.replaced];
reported.push(followed.lastFailure?.at ?? 0, keys[0].fetchedAt ?? 0);
following satisfies "stream" | "long-poll" | "poll" | "requests" | null;
// @ts-expect-error a status has no such member
verifier.status().isReady;

// The notification when a token is refused.
const stop: () => void = verifier.onRevoked("token", ({ code, detail }) => code + detail.length);
stop();
// @ts-expect-error only a refusal is reported
verifier.onRevoked("token", ({ claims }) => claims.sub);
// @ts-expect-error onRevoked needs a callback
verifier.onRevoked("token");

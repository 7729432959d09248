// A Cloudflare Worker with a guarded route.

import { env } from "cloudflare:workers";
import { Verifier } from "offswitch";
import { guard } from "offswitch/guard";
import { cacheStore } from "offswitch/stores";

const issuer = setting("OFFSWITCH_ISSUER");

// One for each isolate. It does no I/O here: requests fetch keys and snapshots, and follow the feed
// after their answer (waitUntil).
const verifier = new Verifier({
  issuer,
  audience: "api",
  keys: `${issuer}/.well-known/jwks.json`,
  feed: {
    url: `${issuer}/v1/feed`,
    publicKeys: setting("OFFSWITCH_FEED_PUBLIC_KEYS").split(","),
    apiKey: setting("OFFSWITCH_FEED_API_KEY"),
    // News arrives within a second for 25 s after each request. The next request after a longer pause is
    // judged by a snapshot of at most 15 s, and fetches a newer one first if it has to.
    follow: "long-poll",
    maxStaleness: 15,
    // A new isolate begins with the last snapshot of its data centre.
    store: cacheStore(),
  },
});

const me = guard(
  verifier,
  (request, { claims }) => Response.json({ sub: claims.sub }),
  {
    scopes: ["read"],
    // In place of the plain 503, for instance if the control plane cannot be reached. Never "valid".
    onUndecided: ({ code }) => {
      console.warn(`offswitch cannot decide: ${code}`);
      return Response.json({ code }, { status: 503, headers: { "retry-after": "2" } });
    },
  },
);

export default {
  async fetch(request, _, context) {
    const { pathname } = new URL(request.url);
    // The guard follows the feed after the answer, with the context's waitUntil.
    if (pathname === "/api/me") return me(request, context);
    return Response.json({ code: "not_found" }, { status: 404 });
  },
};

function setting(name) {
  const value = env[name];
  if (!value) throw new Error(`${name} is not set; README.md says where it comes from`);
  return value;
}

import { createVerifier } from "offswitch";

/**
 * The verifier of this process, made at the first request: `next build` has no settings and no network.
 *
 * It is kept in `globalThis` because Next loads this module once for each bundle, and in development after
 * each change; every copy would follow the feed.
 */
export function verifier() {
  return (globalThis.offswitchVerifier ??= createVerifier(options()));
}

function options() {
  const issuer = setting("OFFSWITCH_ISSUER");
  return {
    issuer,
    audience: "api",
    keys: `${issuer}/.well-known/jwks.json`,
    feed: {
      url: `${issuer}/v1/feed`,
      publicKeys: setting("OFFSWITCH_FEED_PUBLIC_KEYS").split(","),
      apiKey: setting("OFFSWITCH_FEED_API_KEY"),
    },
  };
}

/** @param {string} name */
function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; README.md says where it comes from`);
  return value;
}

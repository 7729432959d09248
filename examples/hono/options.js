/** The verifier's options. @param {Record<string, string | undefined>} env of Node, or of a Worker */
export function options(env) {
  return {
    issuer: setting("OFFSWITCH_ISSUER"),
    audience: "api",
    keys: `${setting("OFFSWITCH_ISSUER")}/.well-known/jwks.json`,
    feed: {
      url: `${setting("OFFSWITCH_ISSUER")}/v1/feed`,
      publicKeys: setting("OFFSWITCH_FEED_PUBLIC_KEYS").split(","),
      apiKey: setting("OFFSWITCH_FEED_API_KEY"),
    },
  };

  /** @param {string} name */
  function setting(name) {
    const value = env[name];
    if (!value) throw new Error(`${name} is not set; README.md says where it comes from`);
    return value;
  }
}

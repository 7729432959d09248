// What each application configures its verifier with. The runner copies this file to all of them.

export const options = ({ FEED_API_KEY, FEED_PUBLIC_KEY, ISSUER }) => ({
  issuer: ISSUER,
  audience: "api",
  keys: `${ISSUER}/.well-known/jwks.json`,
  feed: { url: `${ISSUER}/v1/feed`, publicKeys: [FEED_PUBLIC_KEY], apiKey: FEED_API_KEY },
});

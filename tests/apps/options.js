// The verifier options of every application. The runner copies this file into each of them.

export const options = ({ OFFSWITCH_FEED_API_KEY: apiKey, OFFSWITCH_FEED_PUBLIC_KEYS: publicKey, OFFSWITCH_ISSUER: issuer }) => ({
  issuer,
  audience: "api",
  keys: `${issuer}/.well-known/jwks.json`,
  feed: { url: `${issuer}/v1/feed`, publicKeys: [publicKey], apiKey },
});

// What each application configures its verifier with. The runner copies this file to all of them.

export const options = ({ OFFSWITCH_FEED_API_KEY: apiKey, OFFSWITCH_FEED_PUBLIC_KEYS: publicKey, OFFSWITCH_ISSUER: issuer }) => ({
  issuer,
  audience: "api",
  keys: `${issuer}/.well-known/jwks.json`,
  feed: { url: `${issuer}/v1/feed`, publicKeys: [publicKey], apiKey },
});

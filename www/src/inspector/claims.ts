// What the registered names mean, one sentence each.

export function meaningOfHeader(name: string): string | undefined {
  return Object.hasOwn(HEADER, name) ? HEADER[name] : undefined;
}

export function meaningOfClaim(name: string): string | undefined {
  return Object.hasOwn(CLAIMS, name) ? CLAIMS[name] : undefined;
}

/** Claims whose number is a point in time. */
export function isTimeClaim(name: string): boolean {
  return TIMES.includes(name);
}

/** RFC 7515, 7516, 7518, 7797, 7800 and 9449. */
const HEADER: Record<string, string> = {
  alg: "The algorithm the token says it is signed with; the key decides, never the token.",
  apu: "Information about the producer, for key agreement.",
  apv: "Information about the recipient, for key agreement.",
  b64: "Whether the payload is base64url; false changes what is signed.",
  crit: "Extensions that a reader must understand or refuse the token.",
  cty: "The media type of the content; “JWT” means that a token is nested in it.",
  enc: "The algorithm the content is encrypted with (JWE).",
  epk: "An ephemeral public key, for key agreement.",
  iv: "The initialization vector of the key encryption.",
  jku: "An address of keys, named by the token itself; a verifier that follows it trusts anyone.",
  jwk: "A public key in the token itself; a verifier that trusts it accepts every token.",
  kid: "The name of the key in the issuer's key set.",
  p2c: "How often a password is hashed for the key; a large number costs the verifier time.",
  p2s: "The salt for a key made of a password.",
  tag: "The authentication tag of the key encryption.",
  trust_chain: "A chain of statements of an OpenID federation.",
  typ: "What kind of token it is; “at+jwt” for access tokens (RFC 9068), “dpop+jwt” for proofs.",
  url: "The address the object is meant for (ACME).",
  x5c: "A certificate chain in the token itself.",
  x5t: "The SHA-1 fingerprint of the certificate of the key.",
  "x5t#S256": "The SHA-256 fingerprint of the certificate of the key.",
  x5u: "An address of certificates, named by the token itself.",
  zip: "The compression of the content before encryption.",
};

/** RFC 7519, 7800, 8693, 9068, 9396, 9449 and OpenID Connect. */
const CLAIMS: Record<string, string> = {
  acr: "How strongly the user was authenticated, as a class.",
  act: "Who acts on behalf of the subject (RFC 8693).",
  address: "The postal address of the user.",
  amr: "By what methods the user was authenticated, such as “pwd” or “otp”.",
  at_hash: "A hash of the access token that was issued along with this ID token.",
  aud: "The audience: the API that the token is meant for. Every other API must refuse it.",
  auth_time: "When the user authenticated.",
  authorization_details: "The details of what was authorized (RFC 9396).",
  azp: "The authorized party: the client that the token was issued to.",
  birthdate: "The user's birthday.",
  c_hash: "A hash of the authorization code that was issued along with this ID token.",
  cid: "The client that the token was issued to, as some providers name it.",
  client_id: "The OAuth client that asked for the token (RFC 9068).",
  cnf: "The key that the holder must prove to have: the token is bound to it (RFC 7800).",
  email: "The user's e-mail address.",
  email_verified: "Whether the e-mail address is known to be the user's.",
  entitlements: "What the user is entitled to (RFC 9068).",
  events: "What has happened: the token is a security event (RFC 8417).",
  exp: "The end: from this time on no API may accept the token.",
  family_name: "The user's surname.",
  gender: "The user's gender.",
  given_name: "The user's first name.",
  groups: "The groups of the user (RFC 9068).",
  gty: "The grant by which the token was obtained, as Auth0 names it.",
  iat: "When the token was issued.",
  iss: "The issuer: who made the token, and whose keys check it.",
  jti: "The token's id; it allows revoking this one token.",
  locale: "The user's language and region.",
  may_act: "Who may act on behalf of the subject (RFC 8693).",
  middle_name: "The user's middle names.",
  name: "The user's full name.",
  nbf: "The start: before this time no API may accept the token.",
  nickname: "What the user is called casually.",
  nonce: "A value of the client that binds an ID token to one login.",
  oid: "The user's or application's object id in Microsoft Entra.",
  orig: "The identifier of the original caller (PASSporT).",
  org_id: "The organization that the user logged in to.",
  permissions: "What the token permits, as some providers name it.",
  phone_number: "The user's phone number.",
  phone_number_verified: "Whether the phone number is known to be the user's.",
  picture: "An address of the user's picture.",
  preferred_username: "The name the user wants to be called by; it may change.",
  profile: "An address of the user's profile.",
  roles: "The roles of the user (RFC 9068).",
  scope: "What the client may do with the token, separated by spaces.",
  scp: "The scopes, as some providers name them.",
  sid: "The session: all tokens of one login share it, and are revoked with it.",
  sub: "The subject of the token, usually a user.",
  tid: "The tenant, as Microsoft Entra names it.",
  toe: "When the event happened (RFC 8417).",
  token_use: "Whether it is an access or an ID token, as Cognito names it.",
  txn: "The transaction that the event belongs to (RFC 8417).",
  updated_at: "When the user's profile was last changed.",
  ver: "For Offswitch the user's version when the token was issued: a logout everywhere raises it.",
  vot: "The vector of trust of the authentication (RFC 8485).",
  website: "An address of the user's web page.",
  zoneinfo: "The user's time zone.",
};
const TIMES = ["auth_time", "exp", "iat", "nbf", "toe", "updated_at"];

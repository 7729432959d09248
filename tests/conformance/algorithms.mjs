// The tested algorithms; a key set never mixes the two kinds.

export const ASYMMETRIC = [
  "EdDSA", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
];
export const SYMMETRIC = ["HS256", "HS384", "HS512"];
export const ALGORITHMS = [...ASYMMETRIC, ...SYMMETRIC];

// Bun.

import { creating } from "./create-verifier.js";
import { follow } from "./follow.js";
import { nodeCrypto } from "./host-node-crypto.js";
import { EDDSA, RSA, useHost } from "./host.js";
import { load } from "./load-file.js";

useHost(`${EDDSA} ES256 ${RSA}`, nodeCrypto);

export const createVerifier = creating(load, follow);
export { load };
export { Verifier } from "./verifier.js";
export { verifyJws, verifySignature } from "./layers.js";

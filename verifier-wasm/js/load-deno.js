// Deno.

import { creating } from "./create-verifier.js";
import { follow } from "./follow.js";
import { nodeCrypto } from "./host-node-crypto.js";
import { webCrypto } from "./host-webcrypto.js";
import { EDDSA, RSA, useHost } from "./host.js";
import { load } from "./load-file.js";

useHost(`${EDDSA} ${RSA}`, nodeCrypto);
useHost("ES256", webCrypto);

export const createVerifier = creating(load, follow);
export { load };
export { Verifier } from "./verifier.js";
export { verifyJws, verifySignature } from "./layers.js";

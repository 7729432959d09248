// The shape of a case: a token for one of the verifiers with its required verdict.

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {string} verifier one of verifiers.mjs
 * @property {string} [token]
 * @property {string} [apply] a snapshot in place of a token, in base64
 * @property {string} [outcome] of the verdict
 * @property {string} code of the verdict, or of the result of applying
 * @property {object} [claims] of a token that is valid
 * @property {number} [at] seconds after the verifier's time
 * @property {object} [policy] that is passed for this verdict
 * @property {string} [jose] why jose judges otherwise; one of the reasons in jose.test.mjs
 */

/** @returns {Case} */
export const valid = (verifier, name, token, more = {}) =>
  ({ name, verifier, token, outcome: "valid", code: "valid", claims: claimsOf(token), ...more });

/** @returns {Case} */
export const refused = (code, verifier, name, token, more = {}) =>
  ({ name, verifier, token, outcome: "refused", code, ...more });

/** @returns {Case} */
export const undecided = (code, verifier, name, token, more = {}) =>
  ({ name, verifier, token, outcome: "undecided", code, ...more });

/** A token that is valid if `holds` and is refused with `code` otherwise. @returns {Case} */
export const either = (holds, code, verifier, name, token, more) =>
  holds ? valid(verifier, name, token, more) : refused(code, verifier, name, token, more);

/** A snapshot that arrives between two tokens. @returns {Case} */
export const applied = (code, verifier, name, snapshot) =>
  ({ name, verifier, apply: Buffer.from(snapshot).toString("base64"), code });

const claimsOf = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());

// The memory that JavaScript and wasm share, and the numbers that wasm returns. The other side is `Buffer` and
// `codes` in bindings.rs; both change together.

// The results of the calls that judge, apply and resume.
export const VALID = 0;
export const VALID_BUT_BEHIND = 1;
export const NOT_VALID = 2;
export const FORGOTTEN = 3;
export const WRONG_CLOCK = 4;
export const RAISED = 5;
export const AT_FLOOR = 6;
export const IMPLAUSIBLE = 7;

/** Instead of a ticket. */
export const NO_TICKET = 0;
/** A slot for which wasm remembers nothing. */
export const NO_SLOT = 0xffffffff;
/** Instead of the allowed age of the feed in seconds: any age. */
export const ANY_AGE = 0xffffffff;
/** How a token is sent: as a bearer token, not at all, or with the last passed proof. */
export const BEARER = 0;
export const NOT_SHOWN = 1;
export const SHOWN_WITH_PROOF = 2;
/** Instead of a token's length: too long. */
export const TOO_LONG = 0x7fffffff;

// The buffer: five numbers of 32 bits, the signature, the token.
/** Where the answer is, and how long it is; of the last candidate the key's number, and the lengths of
 * its signature and of what that signs. */
export const FACTS = 5;
export const SIGNATURE_AT = FACTS * 4;
export const TOKEN_AT = SIGNATURE_AT + 1024;
export const MAX_TOKEN_BYTES = 16 * 1024;

/** A key's number consists of the place of its issuer and, in this many bits, its own. */
export const KEY_BITS = 8;
/** How much of a snapshot's beginning is checked first; `HEAD_BYTES` of feed.rs. */
export const HEAD_BYTES = 4096;

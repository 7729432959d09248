// The cells of a simulation: each has a feed of its own, with its own key, and tokens of its own issuer.

import { ISSUER, mint, signingKey } from "../support/fixture.mjs";

/** The second at which virtual time begins, unix seconds. */
export const BEGIN_SECONDS = 1_800_000_000;
/** As many as a scenario may have. */
const MOST = 3;

/** The `jti` of the token that this record revokes. Each cell has the same ones: a revocation is of its own issuer. */
export const revoked = (seq) => `revoked ${seq}`;

export class Cell {
  /** Of its snapshots, known once one was signed. @type {string | undefined} */
  publicKey;
  #key;
  /** By the record that revokes it; 0 is never revoked. @type {Map<number, string>} */
  #tokens = new Map();
  /** The same the other way round. @type {Map<string, number>} */
  #records = new Map();

  /** @param {number} nth @param {Awaited<ReturnType<typeof signingKey>>} key of its tokens */
  constructor(nth, key) {
    const suffix = nth === 0 ? "" : `-${nth + 1}`;
    this.feed = `feed${suffix}`;
    this.issuer = `${ISSUER}${suffix}`;
    /** Of the key of its snapshots. */
    this.seed = 7 + nth;
    this.#key = key;
  }

  /** The public key of its tokens. */
  get jwk() {
    return this.#key.jwk;
  }

  /** All tokens of a run, minted before the virtual time begins. @param {number} last record */
  async mintUpTo(last) {
    for (let seq = this.#tokens.size; seq <= last; seq += 1) {
      const jti = seq === 0 ? "good" : revoked(seq);
      const times = { iat: BEGIN_SECONDS, exp: BEGIN_SECONDS + 86_400 };
      const token = await mint(this.#key, { ...times, iss: this.issuer, jti, sid: `of ${jti}` });
      this.#tokens.set(seq, token);
      this.#records.set(token, seq);
    }
  }

  /** The token that a record revokes. @param {number} seq */
  token(seq) {
    return this.#tokens.get(seq);
  }

  /** The record that revokes a token; undefined if the token is of another cell. @param {string} token */
  recordOf(token) {
    return this.#records.get(token);
  }
}

/** Of all scenarios of a process: what they sign is signed once. @type {Cell[]} */
export const CELLS = [];
for (let nth = 0; nth < MOST; nth += 1) CELLS.push(new Cell(nth, await signingKey("EdDSA", `key-${nth + 1}`)));

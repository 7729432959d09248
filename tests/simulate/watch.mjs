// Measurements of the isolates of a simulation, for the tokens of one cell.

const NEVER = -1;

export class Watch {
  isMeasuring = false;
  #isolates;
  #now;
  /** Revocations that are observed, oldest first. */
  #revocations = [];
  /** For each isolate: the revocation that is tested, and since when it cannot decide. */
  #next;
  #undecidedSince;
  #longestAge = 0;
  #everUndecided = new Set();
  #undecided = { first: Infinity, last: -Infinity, longest: 0 };
  /** The sum of the hashes of all events: two runs with the same events have the same sum, in any order. */
  #trace = 0;
  #events = 0;

  /** @param {number} isolates @param {() => number} now seconds */
  constructor(isolates, now) {
    this.#isolates = isolates;
    this.#now = now;
    this.#next = new Uint32Array(isolates);
    this.#undecidedSince = new Float64Array(isolates).fill(NEVER);
  }

  begin() {
    this.isMeasuring = true;
    this.#undecidedSince.fill(NEVER);
  }

  /** From now on every isolate gets this revocation's token until it refuses it. */
  watch(seq) {
    const refusedAfter = new Float64Array(this.#isolates).fill(NEVER);
    const lastAccepted = new Float64Array(this.#isolates).fill(NEVER);
    this.#revocations.push({ at: this.#now(), lastAccepted, refusedAfter, seq });
  }

  /** The oldest revoked token that this isolate does not refuse yet, or 0 for one that is not revoked. */
  tokenFor(isolate) {
    return this.#revocations[this.#next[isolate]]?.seq ?? 0;
  }

  /** An isolate has all records up to this one. */
  reached(isolate, seq) {
    this.#note(isolate, 1000 + seq);
    for (const { at, refusedAfter, seq: watched } of this.#revocations) {
      const isNews = watched <= seq && refusedAfter[isolate] === NEVER;
      if (isNews) refusedAfter[isolate] = this.#now() - at;
    }
  }

  /**
   * @param {number} isolate @param {number} seq @param {string} outcome
   * @param {number} [age] of the snapshot that a valid token was judged by
   */
  judged(isolate, seq, outcome, age) {
    this.#note(isolate, outcome.length + (outcome === "valid" ? 10 * age : 0));
    if (!this.isMeasuring) return;
    if (outcome === "valid") this.#longestAge = Math.max(this.#longestAge, age);
    this.#decide(isolate, outcome === "undecided");
    const revocation = this.#revocations[this.#next[isolate]];
    if (seq === 0 || revocation?.seq !== seq) return;
    if (outcome === "refused") this.#next[isolate] += 1;
    if (outcome === "valid") revocation.lastAccepted[isolate] = this.#now() - revocation.at;
  }

  /** @param {number} until later revocations have not had enough time, seconds */
  result(until) {
    const stillUndecided = this.#undecidedSince.filter((since) => since !== NEVER).length;
    for (let at = 0; at < this.#isolates; at += 1) this.#decide(at, false);
    const old = this.#revocations.filter(({ at }) => at < until);
    const refused = old.flatMap(({ refusedAfter }) => [...refusedAfter])
      .map((after) => (after === NEVER ? Infinity : after)).sort((one, other) => one - other);
    const accepted = this.#revocations.flatMap(({ lastAccepted }) => [...lastAccepted])
      .filter((after) => after !== NEVER);
    const last = refused.length - 1;
    const part = (share) => refused[Math.min(last, Math.floor(refused.length * share))];
    return {
      accepted,
      events: this.#events,
      judged: this.#revocations.length * this.#isolates,
      refused: { half: part(0.5), most: part(0.99), all: refused.at(-1) },
      longestAccepted: accepted.reduce((most, after) => Math.max(most, after), 0),
      longestAge: this.#longestAge,
      trace: this.#trace,
      undecided: { ...this.#undecided, isolates: this.#everUndecided.size, still: stillUndecided },
      watched: old.length,
    };
  }

  #decide(isolate, isUndecided) {
    const since = this.#undecidedSince[isolate];
    const now = this.#now();
    if (isUndecided) {
      this.#everUndecided.add(isolate);
      this.#undecided.first = Math.min(this.#undecided.first, now);
      this.#undecided.last = Math.max(this.#undecided.last, now);
      if (since === NEVER) this.#undecidedSince[isolate] = now;
    } else if (since !== NEVER) {
      this.#undecided.longest = Math.max(this.#undecided.longest, now - since);
      this.#undecidedSince[isolate] = NEVER;
    }
  }

  #note(isolate, what) {
    this.#events += 1;
    let mixed = Math.imul(Math.round(this.#now() * 1000) + 1, 0x9e3779b1);
    mixed = Math.imul(mixed ^ (mixed >>> 15) ^ isolate, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13) ^ what, 0xc2b2ae35);
    this.#trace = (this.#trace + ((mixed ^ (mixed >>> 16)) >>> 0)) % 2 ** 48;
  }
}

// Reads the content of a snapshot (FORMAT.md) without checking its signatures: the verifier that
// got the same bytes has checked them.

/** @param {Uint8Array} bytes */
export function readSnapshot(bytes) {
  const read = new Reader(bytes);
  read.take(MAGIC_AND_VERSION_BYTES);
  read.take(read.take(1)[0] * SIGNATURE_BYTES);
  const feed = read.text();
  const [era, from, to] = [read.number(), read.number(), read.number()];
  const [chainFrom, chainTo] = [read.hex(CHAIN_BYTES), read.hex(CHAIN_BYTES)];
  const [issuedAt, validUntil] = [read.number(), read.number()];
  read.take(SALT_BYTES);
  const issuers = read.list(() => read.issuer());
  const deadKeys = read.list(() => [issuers[read.number()].issuer, read.text()]);
  const [deniedCount, usersCount] = [read.number(), read.number()];
  const [versions, notBefores] = [read.column(), read.column()];
  const denied = read.sortedSet(deniedCount).map(fingerprintText);
  const ids = read.sortedSet(usersCount).map(fingerprintText);
  const [versionOf, notBeforeOf] = [versions, notBefores].map((column) => read.numbers(column, usersCount));
  const users = ids.map((user, at) => [user, versionOf[at], notBeforeOf[at]]);
  if (read.left > 0) throw new Error(`${read.left} bytes are left of a snapshot`);
  const kind = from === 0 ? "base" : from === to ? "heartbeat" : "delta";
  return {
    feed, kind, from: `${era}.${from}`, to: `${era}.${to}`, chainFrom, chainTo, issuedAt, validUntil,
    issuers, deadKeys, denied, users,
  };
}

class Reader {
  #bytes;
  #at = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
  }

  get left() {
    return this.#bytes.length - this.#at;
  }

  /** @param {number} count */
  take(count) {
    if (count > this.left) throw new Error("a snapshot ends too early");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  /** @param {number} count */
  hex(count) {
    return Buffer.from(this.take(count)).toString("hex");
  }

  /** As postcard writes it: seven bits per byte, the lowest first. */
  bigint() {
    let [number, shift] = [0n, 0n];
    for (;; shift += 7n) {
      const [byte] = this.take(1);
      number |= BigInt(byte & 127) << shift;
      if (byte < 128) return number;
    }
  }

  number() {
    return Number(this.bigint());
  }

  text() {
    return Buffer.from(this.take(this.number())).toString("utf8");
  }

  /** @template T @param {() => T} item @returns {T[]} */
  list(item) {
    return Array.from({ length: this.number() }, item);
  }

  /** The revocations of one issuer. */
  issuer() {
    const [issuer, epoch] = [this.text(), this.number()];
    const horizons = this.list(() => ({ issuedFrom: this.number(), seconds: this.number() }));
    const selectors = this.list(() => ({ paths: this.list(() => this.text()), uses: this.take(1)[0] }));
    return { issuer, epoch, horizons, selectors };
  }

  column() {
    return { base: this.bigint(), width: this.take(1)[0] };
  }

  /** The numbers of a column. @param {{ base: bigint, width: number }} column @param {number} count */
  numbers({ base, width }, count) {
    const at = packed(this.#words(count * width), width);
    return Array.from({ length: count }, (_, rank) => Number(base + at(rank)));
  }

  /** Elias-Fano. @param {number} count */
  sortedSet(count) {
    if (count === 0) return [];
    const width = Math.min(63, 64 - count.toString(2).length);
    const low = packed(this.#words(count * width), width);
    const bitmap = this.#words(count + 2 ** (64 - width));
    const found = [];
    for (let bit = 0, bucket = 0n; found.length < count; bit += 1) {
      const isEntry = bitmap[bit >> 3] >> (bit & 7) & 1;
      if (isEntry) found.push(bucket << BigInt(width) | low(found.length));
      else bucket += 1n;
    }
    return found;
  }

  /** This many bits, padded to whole words of 64. @param {number} bits */
  #words(bits) {
    return this.take(Math.ceil(bits / 64) * 8);
  }
}

/** Numbers of `width` bits without gaps, from bit 0 upwards. @param {Uint8Array} bytes @param {number} width */
function packed(bytes, width) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (/** @type {number} */ rank) => {
    if (width === 0) return 0n;
    const [word, offset] = [Math.floor(rank * width / 64), rank * width % 64];
    const first = view.getBigUint64(word * 8, true) >> BigInt(offset);
    const isSplit = offset + width > 64;
    const rest = isSplit ? view.getBigUint64(word * 8 + 8, true) << BigInt(64 - offset) : 0n;
    return BigInt.asUintN(width, first | rest);
  };
}

/** @param {bigint} fingerprint */
const fingerprintText = (fingerprint) => fingerprint.toString(36);

const MAGIC_AND_VERSION_BYTES = 5;
const SIGNATURE_BYTES = 72;
const CHAIN_BYTES = 32;
const SALT_BYTES = 16;

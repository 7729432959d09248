// What a snapshot says of itself, for people (verifier-wasm/snapshot/FORMAT.md). Only of snapshots that the verifier has
// accepted: here nothing is checked.

export interface SnapshotSummary {
  issuedAt: number;
  validUntil: number;
  /** Tokens and sessions. */
  denied: number;
  /** Users, and other claims. */
  cutoffs: number;
  deadKeys: number;
  issuers: string[];
}

export function summaryOf(bytes: Uint8Array): SnapshotSummary {
  const read = new Reader(bytes, ENVELOPE_BYTES + SIGNATURE_BYTES * (bytes[5] ?? 0));
  read.text(); // the feed
  for (let count = 0; count < 3; count += 1) read.number(); // era, from, to
  read.skip(64); // the chain hashes
  const [issuedAt, validUntil] = [read.number(), read.number()];
  read.skip(16); // the salt
  const issuers = read.list(() => {
    const issuer = read.text();
    read.number(); // the epoch
    read.list(() => [read.number(), read.number()]); // horizons
    read.list(() => {
      read.list(() => read.text()); // a selector
      read.skip(1);
    });
    return issuer;
  });
  const deadKeys = read.list(() => [read.number(), read.text()]).length;
  return { issuedAt, validUntil, issuers, deadKeys, denied: read.number(), cutoffs: read.number() };
}

/** Reads values as postcard writes them. */
class Reader {
  constructor(private bytes: Uint8Array, private at: number) {}

  /** Seven bits a byte, the lowest first. */
  number(): number {
    for (let [value, factor] = [0, 1]; ; factor *= 128) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  text(): string {
    const length = this.number();
    const begin = this.at;
    this.skip(length);
    return new TextDecoder().decode(this.bytes.subarray(begin, this.at));
  }

  list<Item>(item: () => Item): Item[] {
    return Array.from({ length: this.number() }, item);
  }

  skip(count: number): void {
    this.at += count;
    if (this.at > this.bytes.length) throw new Error("The snapshot is cut off.");
  }

  private byte(): number {
    this.skip(1);
    return this.bytes[this.at - 1] ?? 0;
  }
}

/** Magic, version, and the number of signatures. */
const ENVELOPE_BYTES = 6;
const SIGNATURE_BYTES = 72;

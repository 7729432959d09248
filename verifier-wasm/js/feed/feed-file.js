// A feed file: the head of a feed and its parts in one tar archive (snapshot/HEAD.md), for where there is no network.

/**
 * The files in it, as a place that a head is read from.
 *
 * @implements {Place}
 * @typedef {import("./head-places.js").Place} Place
 */
export class FeedFile {
  #FetchError;
  #archive;
  /** @type {Map<string, Uint8Array>} */
  #files = new Map();

  /** @param {Place} archive where the file is read @param {import("./head-places.js").Shared["FetchError"]} FetchError */
  constructor(archive, FetchError) {
    this.#FetchError = FetchError;
    this.#archive = archive;
  }

  /** @param {string} name @param {number} maxBytes */
  async read(name, maxBytes) {
    // Each round begins with the head.
    if (name === HEAD) this.#files = this.#unpacked((await this.#archive.read("the feed file", Infinity)).bytes);
    const bytes = this.#files.get(name);
    if (bytes === undefined) throw this.#fails(`it has no ${name}`);
    if (bytes.byteLength > maxBytes) throw this.#fails(`${name} is larger than allowed`);
    return { bytes };
  }

  /** What else is in it, such as folders, is for others. @param {Uint8Array} [bytes] */
  #unpacked(bytes = new Uint8Array()) {
    const text = (/** @type {number} */ from, /** @type {number} */ size) =>
      new TextDecoder().decode(bytes.subarray(from, from + size)).replace(/\0.*/s, "");
    const files = new Map();
    for (let at = 0; at < bytes.length && bytes[at] !== 0;) {
      const size = text(at + 124, 12).trim();
      if (text(at + 257, 5) !== "ustar" || !/^[0-7]+$/.test(size)) throw this.#fails("it is not what `snapshot export` writes");
      const [begin, end] = [at + BLOCK, at + BLOCK + parseInt(size, 8)];
      if (end > bytes.length) throw this.#fails("it is cut off: copy it again");
      if (/^[0\0]$/.test(String.fromCharCode(bytes[at + 156]))) files.set(text(at, 100).replace(/^\.\//, ""), bytes.subarray(begin, end));
      at = begin + Math.ceil((end - begin) / BLOCK) * BLOCK;
    }
    return files;
  }

  /** @param {string} problem */
  #fails(problem) {
    return new this.#FetchError(`the feed file: ${problem}`, { code: "feed_file_malformed" });
  }
}

/** The name of the head. */
export const HEAD = "head";
/** Of a tar archive. */
const BLOCK = 512;

// A feed as files: the head and the parts that it names (verifier-wasm/snapshot/HEAD.md), in a file that was carried here or at
// an address. Nothing in it is trusted before the verifier has accepted it.

import { messageOf } from "../shared/message";
import type { FetchElsewhere } from "./issuer-keys";

export interface FeedFiles {
  /** Of the file, or the address of the head. */
  name: string;
  /** True for a file: nothing newer comes. */
  isCarried: boolean;
  /** Undefined if there is no such file. */
  get(name: string): Promise<Uint8Array | undefined>;
}

/** What `offswitch snapshot export` wrote: a tar archive. Rejects with a message if it is something else. */
export async function carriedFiles(file: File): Promise<FeedFiles> {
  if (file.size > MAX_BYTES) throw new Error("The file is larger than 256 MiB.");
  const bytes = new Uint8Array(await file.arrayBuffer());
  const files = entriesOf(bytes);
  if (!files.has("head")) throw new Error("This is not a file that snapshot export wrote: it has no head.");
  return { name: file.name, isCarried: true, get: async (name) => files.get(name) };
}

/** A feed that is published as files; undefined if the address is not one of a head. */
export function publishedFiles(
  { url, apiKey }: { url: string; apiKey: string },
  fetchElsewhere: FetchElsewhere,
): FeedFiles | undefined {
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url) || !new URL(url).pathname.endsWith("/head")) return undefined;
  const key = apiKey.trim();
  const headers: Record<string, string> = key === "" ? {} : { authorization: `Bearer ${key}` };
  const get = async (name: string) => {
    const address = new URL(name, url);
    address.search = new URL(url).search;
    const { status, bytes } = await fetchElsewhere(address.href, headers);
    if (status === 404) return undefined;
    if (status !== 200) throw new Error(`${name} was answered with status ${status}.`);
    return bytes;
  };
  return { name: url, isCarried: false, get };
}

/** The files in a tar archive, by name. */
function entriesOf(bytes: Uint8Array): Map<string, Uint8Array> {
  const text = (from: number, size: number) =>
    new TextDecoder().decode(bytes.subarray(from, from + size)).replace(/\0.*/s, "");
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0;) {
    const size = text(at + 124, 12).trim();
    if (text(at + 257, 5) !== "ustar" || !/^[0-7]+$/.test(size)) {
      throw new Error("This is not a file that snapshot export wrote.");
    }
    const [begin, end] = [at + BLOCK, at + BLOCK + parseInt(size, 8)];
    if (end > bytes.length) throw new Error("The file is cut off: copy it again.");
    if (["0", "\0"].includes(String.fromCharCode(bytes[at + 156] ?? 0))) {
      files.set(text(at, 100).replace(/^\.\//, ""), bytes.subarray(begin, end));
    }
    at = begin + Math.ceil((end - begin) / BLOCK) * BLOCK;
  }
  return files;
}

/** The id that the head gives its feed, and its heartbeat; rejects with a message if it is none. */
export async function headOf(files: FeedFiles): Promise<{ feed: string; heartbeat: Uint8Array }> {
  const text = await files.get("head");
  if (text === undefined) throw new Error("There is no head at this address.");
  try {
    const { feed, heartbeat } = JSON.parse(new TextDecoder().decode(text));
    return { feed: String(feed), heartbeat: Uint8Array.from(atob(heartbeat), (one) => one.charCodeAt(0)) };
  } catch (error) {
    throw new Error(`This is not the head of a feed: ${messageOf(error)}`);
  }
}

/** Of a tar archive. */
const BLOCK = 512;
const MAX_BYTES = 256 * 1024 * 1024;

// The vectors of the snapshot format: verifier-wasm/snapshot/vectors, with what vectors.json says of them.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { ROOT, sign } from "./fixture.mjs";

const FOLDER = `${ROOT}verifier-wasm/snapshot/vectors/`;

/** What vectors.json says. */
export const golden = JSON.parse(readFileSync(`${FOLDER}vectors.json`, "utf8"));

/** The bytes of one file. */
export const bytesOf = (file) => new Uint8Array(readFileSync(FOLDER + file));

/** The files as they are made today, by name. @returns {Record<string, Buffer>} */
export function made() {
  const { defaults, files } = golden;
  const { snapshots } = sign(files.map(({ order }) => ({ ...defaults, ...order })));
  const entry = ({ file, edit = {} }, at) => [file, edited(snapshots[at], edit)];
  return Object.fromEntries(files.map(entry));
}

/** A snapshot with something changed after it was signed. */
function edited(bytes, { version, add = 0, cut = 0 }) {
  const whole = Buffer.concat([bytes, Buffer.alloc(add)]);
  if (version !== undefined) whole[4] = version;
  return whole.subarray(0, whole.length - cut);
}

// Run by itself it writes the files. They are made once, and a new version of the format gets new
// ones: what is written here today must be read for ever.
if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const [file, bytes] of Object.entries(made())) writeFileSync(FOLDER + file, bytes);
}

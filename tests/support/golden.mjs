// The vectors of the snapshot format: verifier-wasm/snapshot/vectors, with their description in vectors.json.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { ROOT, sign } from "./fixture.mjs";

const FOLDER = `${ROOT}verifier-wasm/snapshot/vectors/`;

/** The content of vectors.json. */
export const golden = JSON.parse(readFileSync(`${FOLDER}vectors.json`, "utf8"));

/** The bytes of one file. */
export const bytesOf = (file) => new Uint8Array(readFileSync(FOLDER + file));

/** The files as the builder makes them today, by name. @returns {Record<string, Buffer>} */
export function made() {
  const { defaults, files } = golden;
  const { snapshots } = sign(files.map(({ order }) => ({ ...defaults, ...order })));
  const entry = ({ file, edit = {} }, at) => [file, edited(snapshots[at], edit)];
  return Object.fromEntries(files.map(entry));
}

/** A snapshot with a change after its signature. */
function edited(bytes, { version, add = 0, cut = 0 }) {
  const whole = Buffer.concat([bytes, Buffer.alloc(add)]);
  if (version !== undefined) whole[4] = version;
  return whole.subarray(0, whole.length - cut);
}

// Run directly, it writes the files. They are written once, and a new version of the format gets new ones:
// every later version must be able to read the files of today.
if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const [file, bytes] of Object.entries(made())) writeFileSync(FOLDER + file, bytes);
}

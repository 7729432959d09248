// Loads a base of a million entries and verifies tokens against it: time and memory, for `cargo xtask bench load`.

import { Verifier } from "offswitch";
import { AUDIENCE, ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";
import { figure, readOrder, section } from "./order.mjs";

const { scale: { entries, rounds: count } } = readOrder();
const { publicKey, snapshots: [bytes] } = sign([{ to: 1, extra: entries }]);
const key = await signingKey("EdDSA");
const token = await mint(key);
const rounds = [];
for (let round = 0; round < count; round += 1) {
  const verifier = new Verifier({
    issuer: ISSUER, audience: AUDIENCE, keys: { keys: [key.jwk] },
    feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey] },
  });
  const before = verifier.status().instance.memoryBytes;
  const began = performance.now();
  const result = verifier.apply(bytes);
  const loaded = performance.now();
  const verdict = verifier.verifySync(token);
  const verified = performance.now();
  if (result.applied !== "replaced" || verdict.code !== "valid") throw new Error(verdict.code);
  rounds.push({ load: loaded - began, first: verified - loaded, grown: verifier.status().instance.memoryBytes - before });
  verifier.close();
}
const of = (name) => rounds.map((one) => one[name]);
const nanoseconds = (name) => of(name).map((milliseconds) => milliseconds * 1e6);
const grown = of("grown")[0];
const row = (what, unit, all, more = "") => figure("load", [what], unit, all, [more]);
console.log(JSON.stringify({
  sections: [section("A base of a million entries in wasm, Node",
    "A verifier holds 2.2 times its base at rest and 3.2 times while it is replaced ([docs/scale.md](docs/scale.md)).", ["what", "more"], [
      row("load", "nanoseconds", nanoseconds("load"), `the first ${rounds[0].load.toFixed(1)} ms`),
      row("the first verdict after it", "nanoseconds", nanoseconds("first")),
      row("bits an entry", "bits", [(bytes.length * 8) / entries], `${bytes.length.toLocaleString("en")} bytes`),
      row("growth of wasm memory, compared with the base", "ratio", [grown / bytes.length], `${grown.toLocaleString("en")} bytes`),
    ])],
}));

// The answers to requests while wasm fails, with real traps. It does not depend on the runtime.

import { WasmVerifier, initSync } from "../../verifier-wasm/pkg/offswitch.js";

/**
 * @param {any} offswitch
 * @param {ReturnType<typeof import("./expected-failures.mjs").makeFailures>} given
 * @returns the result of each step, and whether the runtime had the memory for all of them
 */
export async function provokeFailures({ Verifier, verifyJws }, given) {
  const { options, now, base, delta, tokens } = given;
  const make = () => new Verifier({ ...options, clock: () => now });
  const [verifier, bystander] = [make(), make()];
  verifier.apply(decode(base));
  verifier.apply(decode(delta));
  bystander.apply(decode(base));
  /** @type {[string, unknown][]} */
  const steps = [];
  const step = (name, found) => void steps.push([name, found]);
  const verdicts = () =>
    [tokens.good, tokens.gone].map((token) => verifier.verifySync(token).code).join();
  const replaced = () => verifier.status().instance.replaced;
  const began = replaced();
  step("held", verdicts());

  for (const [name, token] of Object.entries(hostileTokens(tokens.good))) {
    step(name, `${verifier.verifySync(token).code}, ${(await verifier.verify(token)).code}`);
  }
  step("250,000 nested arrays for a key set",
    isRefused(() => verifyJws("[".repeat(250_000), tokens.good)));
  step("a million nested arrays for a key set",
    isRefused(() => verifyJws("[".repeat(1_000_000), tokens.good)));
  step("traps by hostile input", replaced() - began);
  step("after hostile input", verdicts());

  let canHoldTooMuch = true;
  try {
    step("a snapshot that no memory can hold", verifier.apply(new Uint8Array(2 ** 31)).error);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    canHoldTooMuch = false;
    step("a snapshot that no memory can hold", "snapshot_malformed");
  }
  failOnce("apply");
  step("a trap in apply", verifier.apply(decode(delta)).error);
  step("after that", verdicts());
  failOnce("verify");
  step("a trap in verifySync", codeOf(verifier.verifySync(tokens.first)));
  step("the next request", verdicts());
  failOnce("candidate");
  step("a trap in verify", codeOf(await verifier.verify(tokens.second)));
  step("the next request with the host", codeOf(await verifier.verify(tokens.second)));
  failOnce("judge");
  step("a trap on the remembered path", codeOf(verifier.verifySync(tokens.second)));
  step("the next of the same", codeOf(verifier.verifySync(tokens.second)));
  step("traps", replaced() - began);
  step("position", [verifier.since(), bystander.since()].join());
  step("another verifier of the same instance", codeOf(bystander.verifySync(tokens.good)));
  step("and its revocations", bystander.verifySync(tokens.gone).code);

  // E03: an instance that fails repeatedly is paused for a while, and recovers without help.
  let last;
  for (let count = 0; count < MAX_TRAPS && !isResting(last); count += 1) {
    failOnce("verify");
    last = verifier.verifySync(tokens.third);
    restoreAll();
  }
  // The trap over the limit is handled like the others; the next request gets the pause.
  last = verifier.verifySync(tokens.good);
  step("after too many traps", `${codeOf(last)}, ${isResting(last)}`);
  const resting = replaced();
  step("the host is of no help", codeOf(await verifier.verify(tokens.good)));
  step("a snapshot meanwhile", verifier.apply(decode(delta)).error);
  step("a round of the feed meanwhile", await roundOf(verifier));
  step("new instances while it rests", replaced() - resting);
  step("after the rest", await untilValid(verifier, tokens.good));
  step("held after the rest", verdicts());
  step("the delta after the rest", verifier.apply(decode(delta)).applied);
  failOnce("verifyVouchedFor");
  step("a trap after the host", codeOf(await verifier.verify(tokens.third)));
  step("the next after the host", codeOf(await verifier.verify(tokens.third)));

  exhaustStack(() => verifier.verifySync(tokens.good));
  step("after an exhausted stack", await untilValid(verifier, tokens.good));
  step("held after an exhausted stack", verdicts());
  verifier.close();
  bystander.close();
  return { steps, canHoldTooMuch };
}

/** V13, X20, X21: input that must be refused without a trap. */
function hostileTokens(good) {
  const [header, payload, signature] = good.split(".");
  const arrays = btoa("[".repeat(1_000_000)).replaceAll("=", "");
  return {
    "a million nested arrays as claims": `${header}.${arrays}.${signature}`,
    "a million nested arrays as header": `${arrays}.${payload}.${signature}`,
    "as many as a header holds": `${btoa("[".repeat(3000))}.${payload}.${signature}`,
    "ten million dots": ".".repeat(10_000_000),
    "half surrogate pairs": "\ud800.\udc00.\ud800",
    "an open end": `${header}.${payload}.${"A".repeat(16_000_000)}`,
  };
}

/** A thrown error must be a plain refusal. */
function isRefused(call) {
  try {
    return call() === undefined ? "refused" : "accepted";
  } catch (error) {
    return error instanceof WebAssembly.RuntimeError || error instanceof RangeError
      ? "trapped" : "refused";
  }
}

/** The result of a round; it must not throw. */
async function roundOf(verifier) {
  try {
    return (await verifier.refresh()).error;
  } catch (error) {
    return `thrown: ${error.message}`;
  }
}

/** Makes the next call of one kind read memory that does not exist. @param {string} method */
function failOnce(method) {
  const { prototype } = WasmVerifier;
  if (typeof prototype[method] !== "function") throw new Error(`there is no ${method}`);
  kept.set(method, prototype[method]);
  prototype[method] = () => {
    restoreAll();
    return initSync().wasmverifier_verify(WILD, 0, 0, 0, 0);
  };
}

function restoreAll() {
  for (const [method, original] of kept) WasmVerifier.prototype[method] = original;
  kept.clear();
}

/** Calls with almost no stack left, then with more, until it is enough. @param {() => any} call */
function exhaustStack(call) {
  const descend = () => {
    try {
      descend();
    } catch {
      call();
    }
  };
  descend();
}

/** The verdict once it is valid, within half a minute. */
async function untilValid(verifier, token) {
  for (let tries = 0; tries < 300; tries += 1) {
    if (verifier.verifySync(token).code === "valid") return "valid";
    // A Worker's clock advances only while it waits.
    await new Promise((resume) => setTimeout(resume, 100));
  }
  return verifier.verifySync(token).code;
}

const isResting = (verdict) => verdict?.outcome === "undecided" && /retrying/.test(verdict.detail);
const codeOf = ({ outcome, code }) => `${outcome} ${code}`;
const decode = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** The calls of wasm that were replaced. @type {Map<string, Function>} */
const kept = new Map();
/** An address beyond all memory. */
const WILD = 0x7ffffff8;
/** More traps than the instance may have. */
const MAX_TRAPS = 20;

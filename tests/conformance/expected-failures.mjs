// The input of failures.mjs, and the required result of each of its steps.

import { NOW, makeKey, token } from "./cases/keys.mjs";
import { Verifiers, signSnapshots } from "./cases/verifiers.mjs";

export function makeFailures() {
  const key = makeKey("ES256", "key");
  const snapshots = signSnapshots();
  const verifiers = new Verifiers(snapshots);
  const { options } = verifiers.made[verifiers.add("failing", [key.jwk])];
  const [base, delta] = [snapshots.good, snapshots.delta].map((bytes) => bytes.toString("base64"));
  const names = ["good", "gone", "first", "second", "third"];
  const tokens = Object.fromEntries(names.map((jti) => [jti, token(key, { jti })]));
  return { now: NOW, options, base, delta, tokens };
}

const HELD = "valid,revoked_token";

/** The results by step. */
export const AFTER_FAILURES = {
  "held": HELD,
  "a million nested arrays as claims": "malformed, malformed",
  "a million nested arrays as header": "malformed, malformed",
  "as many as a header holds": "malformed, malformed",
  "ten million dots": "malformed, malformed",
  "half surrogate pairs": "malformed, malformed",
  "an open end": "malformed, malformed",
  "250,000 nested arrays for a key set": "refused",
  "a million nested arrays for a key set": "refused",
  "traps by hostile input": 0,
  "after hostile input": HELD,
  "a snapshot that no memory can hold": "snapshot_malformed",
  "a trap in apply": "verifier_failed",
  "after that": HELD,
  "a trap in verifySync": "undecided verifier_failed",
  "the next request": HELD,
  "a trap in verify": "undecided verifier_failed",
  "the next request with the host": "valid valid",
  "a trap on the remembered path": "undecided verifier_failed",
  "the next of the same": "valid valid",
  "traps": 4,
  "position": "1.2,1.1",
  "another verifier of the same instance": "valid valid",
  "and its revocations": "valid",
  "after too many traps": "undecided verifier_failed, true",
  "the host is of no help": "undecided verifier_failed",
  "a snapshot meanwhile": "verifier_failed",
  "a round of the feed meanwhile": "verifier_failed",
  "new instances while it rests": 0,
  "after the rest": "valid",
  "held after the rest": HELD,
  "the delta after the rest": "ignored",
  "a trap after the host": "undecided verifier_failed",
  "the next after the host": "valid valid",
  "after an exhausted stack": "valid",
  "held after an exhausted stack": HELD,
};

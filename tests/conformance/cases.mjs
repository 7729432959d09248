// Makes the cases: tokens by an independent implementation, each with its required verdict.

import { algorithmCases } from "./cases/algorithms.mjs";
import { claimCases } from "./cases/claims.mjs";
import { confusionCases } from "./cases/confusion.mjs";
import { headerCases } from "./cases/headers.mjs";
import { issuerCases } from "./cases/issuers.mjs";
import { makeKeys } from "./cases/keys.mjs";
import { nameCases } from "./cases/names.mjs";
import { revocationCases } from "./cases/revocations.mjs";
import { rsaCases } from "./cases/rsa.mjs";
import { signatureCases } from "./cases/signatures.mjs";
import { spellingCases } from "./cases/spelling.mjs";
import { timeCases } from "./cases/times.mjs";
import { Verifiers, addCommon, signSnapshots } from "./cases/verifiers.mjs";

/** @returns {{ verifiers: Verifiers["made"], cases: import("./cases/expected.mjs").Case[] }} */
export function makeCases() {
  const verifiers = new Verifiers(signSnapshots());
  const keys = makeKeys();
  addCommon(verifiers, keys);
  const kinds = [
    algorithmCases, confusionCases, headerCases, nameCases, claimCases, timeCases, issuerCases,
    revocationCases,
    signatureCases, rsaCases, spellingCases,
  ];
  return { verifiers: verifiers.made, cases: kinds.flatMap((make) => make(verifiers, keys)) };
}

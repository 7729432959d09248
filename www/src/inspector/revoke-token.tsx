// Revokes the decoded token with the API key of the console.

import { Confirm } from "../shared/confirm";
import type { Accepted } from "../shared/answers";
import { isTime, utcTime } from "../shared/format";
import { visible } from "../shared/invisible";
import { Outcome } from "../shared/outcome";
import { ask, hasText } from "../shared/request";
import { useSignIn } from "../shared/sign-in";
import { useSubmit } from "../shared/submit";
import type { Decoded } from "./decode";
import { numberMember, textMember } from "./json";

interface Props {
  decoded: Decoded;
  /** Whether the verdict in view shows that the signature is good. */
  isVerified: boolean;
}

export function RevokeToken({ decoded, isVerified }: Props) {
  const signIn = useSignIn();
  const { isBusy, answer, send } = useSubmit<Accepted>();
  if (decoded.form !== "jws") return null;
  if (signIn === null) return <a class="button" href="#console">Sign in to revoke</a>;
  if (!signIn.scopes.includes("revocations:write")) return null;
  const entry = entryOf(decoded, signIn.issuer);
  if (entry === null) {
    return <span class="quiet small">It cannot be revoked by its jti: jti, exp or iss is missing.</span>;
  }
  const body = JSON.stringify({ ...entry, reason: "revoked in the inspector" });
  const revoke = () => send(body, (idempotencyKey) => ask<Accepted>("/v1/revocations", {
    method: "POST", body, idempotencyKey, apiKey: signIn.apiKey, isRight: hasText("position"),
  }));
  return (
    <>
      {answer?.ok !== true && (
        <Confirm text="Revoke" look="danger" yes="Yes, revoke it" isDisabled={isBusy} onYes={revoke}
          question={questionFor(entry, isVerified)} />
      )}
      {answer !== null && <div class="wide"><Outcome answer={answer} done="The token is revoked." /></div>}
    </>
  );
}

/** Nothing but the claims says which token of another issuer it is, so the question names them. */
function questionFor(entry: Entry, isVerified: boolean): string {
  if ("token" in entry) {
    return "The token is sent to this control plane, and every verifier will refuse it, for good.";
  }
  const { jti, exp, issuer } = entry;
  const until = isTime(exp) ? utcTime(exp) : String(exp);
  const warning = isVerified ? "" : " The signature is not verified: anyone can write these claims.";
  return `The jti “${visible(jti)}” of ${visible(issuer)}, with the exp ${until}, is sent to this control `
    + `plane, and every verifier will refuse that token, for good.${warning}`;
}

/** An own token is sent whole, so that the control plane checks it; of another issuer's, its jti. */
function entryOf({ token, claims }: Decoded, ownIssuer: string): Entry | null {
  const [issuer, jti] = [textMember(claims, "iss"), textMember(claims, "jti")];
  if (issuer === ownIssuer) return { token };
  const exp = numberMember(claims, "exp");
  if (issuer === undefined || jti === undefined || exp === undefined) return null;
  return { jti, exp: Math.ceil(exp), issuer };
}

type Entry = { token: string } | { jti: string; exp: number; issuer: string };

// Copies of the token for other tools, and, on request, a link that contains it.

import { useState } from "preact/hooks";
import { Card } from "../shared/card";
import { apiUrlOf, asCurl, asJson, asTestVector } from "./copies";
import { CopyButton } from "../shared/copy-button";
import { Field } from "../shared/field";
import type { Decoded } from "./decode";
import { linkWith } from "./link";
import type { Verified } from "./use-verification";

interface Props {
  decoded: Decoded;
  verified: Verified;
  /** False in other sites' pages, whose address bar is theirs. */
  hasLink: boolean;
}

export function Share({ decoded, verified, hasLink }: Props) {
  const [url, setUrl] = useState<string>();
  const isEmpty = decoded.form === "empty";
  const apiUrl = url ?? apiUrlOf(decoded);
  const vector = () =>
    asTestVector(decoded, verified.verification?.keys, verified.judgement);
  return (
    <Card title="Copy">
      <div class="copies">
        <CopyButton label="Decoded JSON" text={() => asJson(decoded)} isDisabled={isEmpty} />
        <CopyButton label="Test vector" text={vector} isDisabled={isEmpty} />
        <CopyButton label="curl" text={() => asCurl(decoded.token, apiUrl)} isDisabled={isEmpty} />
        {hasLink && <Link token={decoded.token} />}
      </div>
      <Field label="Address for curl" type="url" value={apiUrl} onInput={setUrl}
        hint={`The curl line and the test vector contain the token. The vector also contains the keys it
          was verified with, and a shared secret if that is one of them. Anyone who has it can use the
          token until it expires or is revoked.`} />
    </Card>
  );
}

/** A link is made only after a warning. */
function Link({ token }: { token: string }) {
  const [asked, ask] = useState<string>();
  const [isMade, make] = useState(false);
  // The warning is shown again for another token.
  const isAsked = asked === token && token !== "";
  if (!isAsked) {
    const begin = () => {
      ask(token);
      make(false);
    };
    return (
      <button type="button" disabled={token === ""} onClick={begin}>Link with this token</button>
    );
  }
  if (isMade) return <CopyButton label="Copy the link" text={() => linkWith(token)} />;
  return (
    <div class="notice unknown" role="group" aria-label="Link with this token">
      <p>The link contains the token: anyone who finds it, in a chat or a history, has the token.</p>
      <div class="row">
        <button type="button" class="danger" onClick={() => make(true)}>Make the link</button>
        <button type="button" onClick={() => ask(undefined)}>Cancel</button>
      </div>
    </div>
  );
}

// Copies of the token for other tools, and a link with it for who asks for one.

import { useState } from "preact/hooks";
import { apiUrlOf, asCurl, asJson, asTestVector } from "./copies";
import { CopyButton } from "../shared/copy-button";
import type { Decoded } from "./decode";
import { linkWith } from "./link";
import type { Verified } from "./use-verification";

interface Props {
  decoded: Decoded;
  verified: Verified;
  /** False where the address bar is somebody else's. */
  hasLink: boolean;
}

export function Share({ decoded, verified, hasLink }: Props) {
  const [url, setUrl] = useState<string>();
  const isEmpty = decoded.form === "empty";
  const apiUrl = url ?? apiUrlOf(decoded);
  const vector = () =>
    asTestVector(decoded, verified.verification?.keys, verified.judgement);
  return (
    <section class="card" aria-labelledby="share-title">
      <h2 id="share-title">Copy</h2>
      <div class="copies">
        <CopyButton label="Decoded JSON" text={() => asJson(decoded)} isDisabled={isEmpty} />
        <CopyButton label="Test vector" text={vector} isDisabled={isEmpty} />
        <CopyButton label="curl" text={() => asCurl(decoded.token, apiUrl)} isDisabled={isEmpty} />
        {hasLink && <Link token={decoded.token} />}
      </div>
      <label for="curl-url">Address for curl</label>
      <input
        id="curl-url" type="url" value={apiUrl} autocomplete="off" spellcheck={false}
        onInput={({ currentTarget }) => setUrl(currentTarget.value)}
      />
      <p class="quiet small">
        The curl line and the test vector hold the token, and the vector the keys it was verified
        with, a shared secret included. Who has them can use it until it ends or is revoked.
      </p>
    </section>
  );
}

/** The token goes into a link only after it was said what that means. */
function Link({ token }: { token: string }) {
  const [asked, ask] = useState<string>();
  const [isMade, make] = useState(false);
  // Another token, another question.
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
      <p>The link is the token: whoever finds it, in a chat or a history, has the token.</p>
      <div class="row">
        <button type="button" class="danger" onClick={() => make(true)}>Make the link</button>
        <button type="button" onClick={() => ask(undefined)}>Cancel</button>
      </div>
    </div>
  );
}

// What a token is verified with: the keys, and what the API would expect.

import { useMemo } from "preact/hooks";
import type { Decoded } from "./decode";
import { AS_THE_TOKEN_SAYS, type Change, type Form } from "./form";
import { textMember } from "./json";
import { formOf, readKeys } from "./keys";
import { ShownText } from "../shared/shown-text";
import type { KeysFetch } from "./use-bench";
import type { Expected } from "./verification";

interface KeysProps {
  form: Form;
  decoded: Decoded;
  change: Change;
  fetching: KeysFetch;
  onFetch: (address: string) => void;
}

export function KeysFields({ form, decoded, change, fetching, onFetch }: KeysProps) {
  const isSecret = formOf(form.keysText) === "secret";
  const read = useMemo(
    () => readKeys(form.keysText, form.secretEncoding, {}),
    [form.keysText, form.secretEncoding],
  );
  const issuer = form.keysFrom ?? textMember(decoded.claims, "iss") ?? "";
  return (
    <fieldset>
      <legend>Keys</legend>
      <label for="keys-from">Issuer</label>
      <div class="with-button">
        <input
          id="keys-from" type="url" value={issuer} autocomplete="off" spellcheck={false}
          placeholder="https://issuer.example" aria-describedby="keys-from-hint"
          onInput={({ currentTarget }) => change({ keysFrom: currentTarget.value })}
        />
        <button type="button" disabled={fetching.isBusy} onClick={() => onFetch(issuer)}>
          {fetching.isBusy ? "Asking …" : "Fetch keys and verify"}
        </button>
      </div>
      <p id="keys-from-hint" class="quiet small">
        Only its address is asked, by its metadata or <code>/.well-known/jwks.json</code>. The token
        stays here.
      </p>
      <div role="status">
        {fetching.problem !== undefined && (
          <p class="notice bad small"><ShownText text={fetching.problem} keepsLines /></p>
        )}
        {fetching.found !== undefined && (
          <p class="small good">Keys taken from <ShownText text={fetching.found} />.</p>
        )}
      </div>
      <label for="keys">Or paste them: JWK, JWK set, PEM or shared secret</label>
      <textarea
        id="keys" rows={5} value={form.keysText} spellcheck={false} autocomplete="off"
        autocapitalize="off"
        onInput={({ currentTarget }) => change({ keysText: currentTarget.value })}
      />
      <div role="alert">
        {"isPrivate" in read && <p class="notice bad small">{read.problem}</p>}
      </div>
      {isSecret && <SecretEncodings form={form} change={change} />}
    </fieldset>
  );
}

function SecretEncodings({ form, change }: { form: Form; change: Change }) {
  return (
    <div class="row small" role="radiogroup" aria-label="How the secret is written">
      <span>A shared secret, written as</span>
      {(["text", "base64url"] as const).map((encoding) => (
        <label class="check" key={encoding}>
          <input
            type="radio" name="secret-encoding" checked={form.secretEncoding === encoding}
            onChange={() => change({ secretEncoding: encoding })}
          /> {encoding}
        </label>
      ))}
    </div>
  );
}

interface ExpectedProps {
  form: Form;
  expected: Expected;
  change: Change;
}

export function ExpectedFields({ form, expected, change }: ExpectedProps) {
  const isOwn = [form.issuer, form.audience, form.types].some((typed) => typed !== undefined);
  const reset = () => change(AS_THE_TOKEN_SAYS);
  return (
    <fieldset>
      <legend>What the API would expect</legend>
      <p class="quiet small">Taken from the token until you change it.</p>
      <div class="fields">
        <div>
          <label for="issuer">Issuer</label>
          <input
            id="issuer" value={expected.issuer} autocomplete="off" spellcheck={false}
            onInput={({ currentTarget }) => change({ issuer: currentTarget.value })}
          />
        </div>
        <div>
          <label for="audience">Audience</label>
          <textarea
            id="audience" value={expected.audience} autocomplete="off" spellcheck={false}
            rows={Math.min(expected.audience.split("\n").length, 5)} placeholder="unchecked"
            onInput={({ currentTarget }) => change({ audience: currentTarget.value })}
          />
        </div>
        <div>
          <label for="type">Type</label>
          <input
            id="type" value={expected.types} autocomplete="off" spellcheck={false}
            placeholder="none: a token without typ"
            onInput={({ currentTarget }) => change({ types: currentTarget.value })}
          />
        </div>
        <div>
          <label for="leeway">Leeway, seconds</label>
          <input
            id="leeway" inputMode="numeric" value={expected.leewaySeconds} autocomplete="off"
            onInput={({ currentTarget }) => change({ leewaySeconds: currentTarget.value })}
          />
        </div>
      </div>
      {isOwn && (
        <button type="button" class="quiet-button" onClick={reset}>As the token says</button>
      )}
    </fieldset>
  );
}

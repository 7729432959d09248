// What a token is verified with: the keys, and what the API expects.

import type { ComponentChildren } from "preact";
import { useId, useMemo } from "preact/hooks";
import { Field } from "../shared/field";
import { ShownText } from "../shared/shown-text";
import { AS_THE_TOKEN_SAYS, type Change, type FetchedKeys, type Form } from "./form";
import { formOf, hasPrivateKey } from "./keys";
import type { KeysFetch } from "./use-bench";
import type { Expected } from "./verification";

interface KeysProps {
  form: Form;
  change: Change;
  fetching: KeysFetch;
  fetched?: FetchedKeys;
}

export function KeysFields({ form, change, fetching, fetched }: KeysProps) {
  const id = useId();
  const isSecret = formOf(form.keysText) === "secret";
  const isPrivate = useMemo(() => hasPrivateKey(form.keysText), [form.keysText]);
  return (
    <>
      <label for={id}>Keys</label>
      <textarea
        id={id} rows={3} value={form.keysText} spellcheck={false} autocomplete="off"
        autocapitalize="off" aria-describedby={`${id}-hint`}
        placeholder="Empty: the keys that the issuer publishes"
        onInput={({ currentTarget }) => change({ keysText: currentTarget.value })}
      />
      <p id={`${id}-hint`} class="quiet small">
        Leave it empty, or paste a JWK, a JWK set or its address, PEM, or a shared secret. Only keys are
        fetched; the token stays here.
      </p>
      <div role="alert">
        {isPrivate && <p class="notice bad small">{PRIVATE}</p>}
      </div>
      {isSecret && <SecretEncodings form={form} change={change} />}
      <div role="status">
        {fetching.problem !== undefined && (
          <p class="notice bad small"><ShownText text={fetching.problem} keepsLines /></p>
        )}
        {fetched !== undefined && (
          <p class="small good">Keys fetched from <ShownText text={fetched.from} />.</p>
        )}
      </div>
      {fetched !== undefined && (
        <details class="small"><summary>The fetched key set</summary>
          <pre class="raw"><ShownText text={fetched.text} keepsLines /></pre>
        </details>
      )}
    </>
  );
}

function SecretEncodings({ form, change }: { form: Form; change: Change }) {
  const name = useId();
  return (
    <div class="row small" role="radiogroup" aria-label="Encoding of the secret">
      <span>A shared secret, written as</span>
      {(["text", "base64url"] as const).map((encoding) => (
        <label class="check" key={encoding}>
          <input
            type="radio" name={name} checked={form.secretEncoding === encoding}
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
  const audiences = expected.audience.split("\n").length;
  return (
    <Group title="What the API expects" aside={isOwn && (
      <button type="button" class="small" onClick={() => change(AS_THE_TOKEN_SAYS)}>
        As the token says
      </button>
    )}>
      <p class="quiet small">Taken from the token until you change it.</p>
      <div class="fields">
        <Field label="Issuer" value={expected.issuer} placeholder="https://issuer.example"
          onInput={(issuer) => change({ issuer })} />
        <Field label="Audience" value={expected.audience} placeholder="unchecked"
          {...(audiences > 1 && { rows: Math.min(audiences, 5) })}
          onInput={(audience) => change({ audience })} />
        <Field label="Type" value={expected.types} placeholder="none: a token without typ"
          onInput={(types) => change({ types })} />
        <Field label="Leeway, seconds" inputMode="numeric" value={form.leewaySeconds}
          onInput={(leewaySeconds) => change({ leewaySeconds })} />
      </div>
    </Group>
  );
}

interface GroupProps {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}

export function Group({ title, aside, children }: GroupProps) {
  const id = useId();
  return (
    <div role="group" class="group" aria-labelledby={id}>
      <div class="heading"><h3 id={id}>{title}</h3>{aside}</div>
      {children}
    </div>
  );
}

const PRIVATE = "This is a private key: anyone who has it can make tokens. It was not used. Remove it "
  + "from here, and replace it if it was ever pasted elsewhere.";

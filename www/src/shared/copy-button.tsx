// Copies text. If the browser forbids the clipboard, the text is shown to be copied by hand.

import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  label: string;
  /** What is copied, where the label alone does not say it to a screen reader. */
  name?: string;
  text: () => string;
  isDisabled?: boolean;
  isSmall?: boolean;
}

export function CopyButton({ label, name, text, isDisabled = false, isSmall = false }: Props) {
  const [state, setState] = useState("");
  const [byHand, setByHand] = useState<string>();
  const fullName = name === undefined ? label : `${label} ${name}`;
  const copy = async () => {
    const made = text();
    try {
      await navigator.clipboard.writeText(made);
      setByHand(undefined);
      setState("Copied.");
      setTimeout(() => setState(""), SHOWN_MS);
    } catch {
      setByHand(made);
      setState("The clipboard is not available here: copy the text by hand.");
    }
  };
  const isSaid = state !== "" || !isSmall;
  return (
    <div class={isSmall ? "copy small" : "copy"}>
      <div class="row">
        <button type="button" disabled={isDisabled} onClick={copy}
          aria-label={name === undefined ? undefined : fullName}>{label}</button>
        {isSaid && <span role="status" class="small quiet">{state}</span>}
      </div>
      {byHand !== undefined && <ByHand text={byHand} label={`${fullName}, by hand`} />}
    </div>
  );
}

function ByHand({ text, label }: { text: string; label: string }) {
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current?.select(), [text]);
  return <textarea ref={field} readOnly rows={4} value={text} aria-label={label} />;
}

const SHOWN_MS = 4000;

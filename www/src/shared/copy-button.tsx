// Copies text; where the clipboard refuses, the text is shown to be copied by hand.

import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  label: string;
  text: () => string;
  isDisabled?: boolean;
}

export function CopyButton({ label, text, isDisabled = false }: Props) {
  const [told, tell] = useState("");
  const [byHand, setByHand] = useState<string>();
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current?.select(), [byHand]);
  useEffect(() => {
    if (told === "") return undefined;
    const timer = setTimeout(() => tell(""), 4000);
    return () => clearTimeout(timer);
  }, [told]);
  const copy = async () => {
    const made = text();
    try {
      await navigator.clipboard.writeText(made);
      tell("Copied.");
      setByHand(undefined);
    } catch {
      tell("The clipboard cannot be written here: copy it by hand.");
      setByHand(made);
    }
  };
  return (
    <div class="copy">
      <div class="row">
        <button type="button" disabled={isDisabled} onClick={copy}>{label}</button>
        <span role="status" class="small quiet">{told}</span>
      </div>
      {byHand !== undefined && (
        <textarea ref={field} readOnly rows={4} value={byHand} aria-label={`${label}, by hand`} />
      )}
    </div>
  );
}

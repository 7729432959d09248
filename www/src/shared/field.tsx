import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface Shown {
  label: ComponentChildren;
  /** Beside the label, in parentheses. */
  note?: string;
  value: string;
  placeholder?: string;
  /** A name or a number that is compared to the letter. */
  isExact?: boolean;
  /** More than one line. */
  rows?: number;
  onInput(value: string): void;
}

/** A text with its label. No browser is to remember or correct it. */
export function Field({ label, note, value, placeholder, isExact, rows, onInput }: Shown) {
  const id = useId();
  const shared = { id, value, placeholder, autocomplete: "off", spellcheck: false } as const;
  return (
    <>
      <label for={id}>{label}{note && <span class="quiet"> ({note})</span>}</label>
      {rows === undefined
        ? <input {...shared} class={isExact ? "mono" : ""} autocapitalize="off"
            onInput={(event) => onInput(event.currentTarget.value)} />
        : <textarea {...shared} rows={rows}
            onInput={(event) => onInput(event.currentTarget.value)} />}
    </>
  );
}

import type { ComponentChildren, Ref } from "preact";
import { useId } from "preact/hooks";

interface Props {
  label: ComponentChildren;
  /** After the label, in parentheses. */
  note?: string;
  /** Under the field. */
  hint?: ComponentChildren;
  value: string;
  placeholder?: string;
  /** A name or a number that is compared exactly. */
  isExact?: boolean;
  /** The control plane refused its value. */
  isWrong?: boolean;
  /** More than one line. */
  rows?: number;
  type?: "date" | "datetime-local" | "password" | "text" | "url";
  inputMode?: "numeric";
  fieldRef?: Ref<HTMLInputElement>;
  onInput(value: string): void;
}

/** A text field with its label. Browsers do not store or correct what is typed. */
export function Field(props: Props) {
  const { label, note, hint, value, placeholder, isExact, isWrong, rows, type = "text", inputMode, onInput } = props;
  const id = useId();
  const shared = {
    id, value, placeholder, autocomplete: "off", autocapitalize: "off", spellcheck: false,
    "aria-invalid": isWrong,
    "aria-describedby": hint === undefined ? undefined : `${id}-hint`,
  } as const;
  return (
    <div class="field">
      <label for={id}>{label}{note && <span class="quiet"> ({note})</span>}</label>
      {rows === undefined
        ? <input {...shared} ref={props.fieldRef} type={type as "text"} inputMode={inputMode}
            class={isExact ? "mono" : ""}
            onInput={(event) => onInput(event.currentTarget.value)} />
        : <textarea {...shared} rows={rows}
            onInput={(event) => onInput(event.currentTarget.value)} />}
      {hint !== undefined && <p id={`${id}-hint`} class="quiet small">{hint}</p>}
    </div>
  );
}

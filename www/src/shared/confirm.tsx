// A button that asks for confirmation in its own place.

import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  /** On the button. */
  text: string;
  /** What the button is for, where its text alone does not say. */
  label?: string;
  question: string;
  /** On the button that does it. */
  yes: string;
  look?: "" | "danger" | "primary";
  isDisabled?: boolean;
  /** Runs before the question is asked; false asks nothing. */
  onAsk?(): boolean;
  onYes(): void;
}

export function Confirm(props: Props) {
  const { text, label, question, yes, look = "", isDisabled = false, onAsk, onYes } = props;
  const [isAsking, ask] = useState(false);
  const first = useRef<HTMLButtonElement>(null);
  const sure = useRef<HTMLButtonElement>(null);
  const wasAsking = useRef(false);
  useEffect(() => {
    if (isAsking) sure.current?.focus();
    else if (wasAsking.current) first.current?.focus();
    wasAsking.current = isAsking;
  }, [isAsking]);
  if (!isAsking) {
    return (
      <button type="button" ref={first} class={look} disabled={isDisabled} aria-label={label}
        onClick={() => (onAsk?.() ?? true) && ask(true)}>{text}</button>
    );
  }
  const close = (event: KeyboardEvent) => event.key === "Escape" && ask(false);
  return (
    <div class="confirm" role="group" aria-label={question} onKeyDown={close}>
      <p class="tight">{question}</p>
      <div class="row">
        <button type="button" ref={sure} class="danger" disabled={isDisabled}
          onClick={() => { ask(false); onYes(); }}>{yes}</button>
        <button type="button" onClick={() => ask(false)}>Cancel</button>
      </div>
    </div>
  );
}

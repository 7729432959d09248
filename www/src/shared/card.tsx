import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface Props {
  title: ComponentChildren;
  /** Next to the title. */
  aside?: ComponentChildren;
  look?: string;
  children?: ComponentChildren;
}

/** A part of a view with a title, which is also its name for screen readers. */
export function Card({ title, aside, look = "", children }: Props) {
  const id = useId();
  return (
    <section class={`card ${look}`} aria-labelledby={id}>
      {aside === undefined ? <h2 id={id}>{title}</h2> : (
        <div class="heading"><h2 id={id}>{title}</h2>{aside}</div>
      )}
      {children}
    </section>
  );
}

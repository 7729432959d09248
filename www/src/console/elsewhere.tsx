// Shown if the page is not served by a control plane.

import { useId, useState } from "preact/hooks";

export function Elsewhere() {
  const [text, setText] = useState("");
  const id = useId();
  const address = consoleAt(text);
  return (
    <section class="card narrow" aria-labelledby={`${id}-title`}>
      <h1 id={`${id}-title`} class="as-h2">The console is served by the control plane</h1>
      <p>This page comes from <code>{location.origin}</code>, and that is not a control plane: an
        edge worker serves the same page for its inspector. The console sends requests to its own origin
        only, so open it at the address of your control plane.</p>
      <label for={id}>Address of the control plane</label>
      <input id={id} type="url" value={text} placeholder="http://127.0.0.1:8400" autocomplete="off"
        spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} />
      <p class="row submit" role="status">
        {address !== null && <a class="button" href={address} rel="noreferrer">Open {address}</a>}
        {address === null && text !== "" && (
          <span class="bad">This is not an address that begins with http:// or https://.</span>
        )}
      </p>
    </section>
  );
}

/** Only http addresses become links: anything else could be a script. */
export function consoleAt(text: string): string | null {
  try {
    const url = new URL(text.trim());
    if (!["http:", "https:"].includes(url.protocol) || url.username || url.password) return null;
    return `${url.origin}${url.pathname.replace(/\/$/, "")}/#console`;
  } catch {
    return null;
  }
}

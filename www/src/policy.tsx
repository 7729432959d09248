/** The Content Security Policy that is in force, as the browser was given it. */
export function Policy() {
  const meta = document.querySelector<HTMLMetaElement>('meta[http-equiv="Content-Security-Policy"]');
  return (
    <details class="policy">
      <summary>This tab may talk to its own origin only. The policy that the browser enforces:</summary>
      <pre><code>{meta?.content.replaceAll("; ", ";\n")}</code></pre>
    </details>
  );
}

/** The Content Security Policy in force, as the page states it. */
export function Policy() {
  const meta = document.querySelector<HTMLMetaElement>('meta[http-equiv="Content-Security-Policy"]');
  return (
    <details class="policy">
      <summary>This tab can send requests to its own origin only. The policy that the browser enforces:</summary>
      <pre><code>{meta?.content.replaceAll("; ", ";\n")}</code></pre>
    </details>
  );
}

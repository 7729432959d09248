// `<offswitch-inspector>`: the inspector for other sites' pages, in a shadow tree of its own. The policy
// of the page around it decides where it may fetch from.

import { h, render } from "preact";
import pageCss from "../page.css?inline";
import { Inspector } from "./inspector";
import inspectorCss from "./inspector.css?inline";
import type { FetchElsewhere } from "./issuer-keys";

class OffswitchInspector extends HTMLElement {
  static readonly observedAttributes = ["token", "keys-url"];
  private readonly root = this.attachShadow({ mode: "closed" });

  connectedCallback(): void {
    this.root.adoptedStyleSheets = [sheet()];
    this.show();
  }

  disconnectedCallback(): void {
    render(null, this.root);
  }

  attributeChangedCallback(): void {
    if (this.isConnected) this.show();
  }

  private show(): void {
    const inspector = h(Inspector, {
      isShown: true,
      ownsPage: false,
      fetchElsewhere: fetchDirectly,
      token: this.getAttribute("token") ?? undefined,
      keysUrl: this.getAttribute("keys-url") ?? undefined,
    });
    render(inspector, this.root);
  }
}

const fetchDirectly: FetchElsewhere = async (url, headers = {}) => {
  const response = await fetch(url, {
    headers,
    cache: "no-store",
    credentials: "omit",
    referrerPolicy: "no-referrer",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) };
};

/** All elements of a page share it. Rules for the root of a page apply to the element here. */
function sheet(): CSSStyleSheet {
  if (shared === undefined) {
    shared = new CSSStyleSheet();
    shared.replaceSync(`${pageCss}\n${inspectorCss}`.replaceAll(":root", ":host"));
  }
  return shared;
}

let shared: CSSStyleSheet | undefined;
const TIMEOUT_MS = 15_000;

if (customElements.get("offswitch-inspector") === undefined) {
  customElements.define("offswitch-inspector", OffswitchInspector);
}

import { render } from "preact";
import { Page } from "./page";

const root = document.getElementById("page");
if (root !== null) render(<Page />, root);
if ("serviceWorker" in navigator && import.meta.env.PROD) {
  // Without it the page works too, but cannot be loaded offline.
  navigator.serviceWorker.register("offline.js").catch(() => {});
}

import { render } from "preact";
import { Page } from "./page";

const root = document.getElementById("page");
if (root !== null) render(<Page />, root);
if ("serviceWorker" in navigator && import.meta.env.PROD) {
  // Without it the page works all the same, as long as it is not loaded anew offline.
  navigator.serviceWorker.register("offline.js").catch(() => {});
}

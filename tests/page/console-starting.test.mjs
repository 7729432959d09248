// The console while its control plane starts: a stand-in answers like control-plane's starting.rs, for as long
// as the test needs.

import assert from "node:assert/strict";
import { consoleOf } from "./console.mjs";
import { serveFiles } from "./files.mjs";
import { openBrowser, says } from "./open.mjs";

/** The answer of `/readyz`; once it is ready, the status of an API key is known, too. */
let readiness;
const STATUS = { key: { id: "1", name: "kept", scopes: ["feed:read"], expires_at: null }, version: "0.1.0",
  durability: "synced", issuer: "https://issuer.test" };
const url = await serveFiles((request, response) => {
  const isReadiness = request.url === "/readyz";
  const problem = { type: "about:blank", title: "Service Unavailable", status: 503, code: "starting",
    detail: "the process still reads the log; /readyz says how far it is" };
  const isKnown = isReadiness || request.url === "/v1/status";
  const status = isKnown && readiness.ready ? 200 : 503;
  const body = JSON.stringify(isReadiness ? readiness : status === 200 ? STATUS : problem);
  response.writeHead(status, { "content-type": "application/json" }).end(body);
});
const pageTest = await openBrowser(url);
const READY = { ready: true, position: "1.3000000", store_reachable: true, findings: [] };
const loading = (read, of) => ({ ready: false, loading: { read, of } });
const STARTING = { at: `${url}/#console`, expects: [/status of 503 /] };
readiness = loading(0, 0);

// Reading a long log takes minutes: the page must show neither an outage nor an error in the meantime.
pageTest("the page shows that a control plane starts, and its progress", async (page) => {
  const it = consoleOf(page);
  const first = await says(it.state, /Starting[\s\S]*The control plane is reading its log\./);
  assert.doesNotMatch(first, /records|No answer|Not ready|HTTP|Next attempt/);
  readiness = loading(1_200_000, 3_000_000);
  await says(it.state, /is reading its log: 1,200,000 of 3,000,000 records\./);
  await it.use("osk_any");
  await it.go("Revoke");
  await it.part("Revoke").getByRole("radio", { name: "User", exact: true }).check();
  await it.field("Revoke", "User (sub)").fill("alice");
  await it.confirm("Revoke", "Yes, revoke", "Revoke");
  await says(it.part("Revoke"), /The control plane is starting\. Nothing was done\./);
  for (const name of ["Live", "Users", "Bulk", "Keys", "API keys", "Red button"]) await it.go(name);
  assert.doesNotMatch(await page.getByRole("main").innerText(), /undefined|NaN|null/);
  readiness = READY;
  const ready = await says(it.state, /Ready[\s\S]*position 1\.3000000/);
  assert.doesNotMatch(ready, /Starting|is reading its log/);
  readiness = loading(3, 7);
  await says(it.state, /Starting[\s\S]*3 of 7 records\.[\s\S]*last known state/);
}, STARTING);

// A key that could not be checked is not a wrong key.
pageTest("a reload during the start keeps the stored key, and signs in once the control plane is ready", async (page) => {
  readiness = loading(1, 2);
  const it = consoleOf(page);
  await page.getByRole("checkbox", { name: /^Stay signed in until this tab is closed/ }).check();
  await it.use("osk_kept");
  for (const reload of [1, 2]) {
    await page.reload();
    await says(it.state, /Starting/);
    const kept = await page.evaluate(() => Object.values(sessionStorage));
    assert.deepEqual(kept, ["osk_kept"], `after reload ${reload}`);
  }
  readiness = READY;
  await says(it.state, /Signed in as kept/);
  await says(it.scopes, /granted:\s+feed:read/);
  await says(it.scopes, /not granted:\s+red-button/);
}, STARTING);

// The console's live part: charts, the log, hostile values in it, and a control plane that dies.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { consoleOf, consoleTests, logIn, newestOf, register } from "./console.mjs";
import { becomes, says, servePage } from "./open.mjs";

const { plane, pageTest } = await servePage();
const consoleTest = consoleTests(pageTest, plane);
/** The lines of the exported log. */
async function exported(it, page) {
  const [download] = await Promise.all([
    page.waitForEvent("download"), it.button("Export what is listed (CSV)").click(),
  ]);
  return (await readFile(await download.path(), "utf8")).split("\r\n");
}

await register(plane, "idp", "https://idp.example");
const revoke = (sub, reason) => plane.call("POST", "/v1/revocations", { sub, reason });

// Each chart is an image with a text that describes it, drawn on a canvas.
consoleTest("charts appear, and the rate moves when something is revoked", async (it, page) => {
  const chart = (title) => page.getByRole("img", { name: new RegExp(`^${title} in the last`) });
  const label = (title) => chart(title).getAttribute("aria-label");
  const within = (title, pattern) =>
    becomes(async () => pattern.test(await label(title)), true);
  await within("Revocations per second", /now 0, between 0 and 0\./);
  for (let count = 0; count < 20; count += 1) await revoke(`user-${count}`, "load");
  await within("Revocations per second", /between 0 and (?!0\.$)[\d.]+\.$/);
  // A new log begins with the lifetime of its own tokens and the issuer.
  await within("Records of the log", /now 22,/);
  await within("Snapshot size", /now \d+(\.\d)? (B|KiB),/);
  await within("Snapshot age", /now \d+ (s|min)/);
  await within("Revoke to publish", /p50: now \d+(\.\d+)? (ms|µs|s), .*p99: now/);
  await says(it.part("Last five minutes"), /20 revocations since the process started[\s\S]*collected in this page since/);
  await says(it.state, new RegExp(`position\\s+${(await positionOf()).text}`));
  const drawn = await chart("Revocations per second").locator("canvas").evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value !== 0);
  });
  assert.ok(drawn, "the canvas is not empty");
});

// A client follows the feed as a stream, and disconnects.
consoleTest("a follower of the feed is counted", async (it, page) => {
  const name = /^Followers in the last five minutes\. streams: now 1,/;
  const ending = new AbortController();
  const following = await fetch(`${plane.url}/v1/feed/stream`, {
    headers: { authorization: `Bearer ${plane.apiKey}` }, signal: ending.signal,
  });
  assert.equal(following.status, 200);
  await page.getByRole("img", { name }).waitFor();
  ending.abort();
  await page.getByRole("img", { name: /^Followers .* streams: now 0,/ }).waitFor();
});

// Older pages are fetched on request; the newest entry is first.
consoleTest("the log shows actor, selector and reason, newest first", async (it, page) => {
  for (let count = 0; count < 30; count += 1) await revoke(`logged-${count}`, `reason ${count}`);
  const { by, position } = await newestOf(plane);
  const rows = page.getByRole("table", { name: /newest first/ }).getByRole("row");
  const first = await says(rows.nth(1), /logged-29/);
  for (const part of ["user", "reason 29", by, position]) assert.ok(first.includes(part), first);
  await says(rows.nth(2), /logged-28[\s\S]*reason 28/);
  assert.equal(await rows.count(), 1 + 20);
  await it.button("More").click();
  await says(rows.nth(30), /logged-0\b/);
  await revoke("last of all", "seen immediately");
  await says(rows.nth(1), /last of all[\s\S]*seen immediately/);
});

// D64: the server searches the log; the listed entries can be exported.
consoleTest("the log is searched by user and by issuer, names its API keys, and is exported", async (it, page) => {
  for (let round = 0; round < 3; round += 1) await revoke("searched", `found ${round}`);
  await plane.call("POST", "/v1/revocations", { sub: "searched", issuer: "https://idp.example" });
  await revoke("=cmd()", "a formula");
  const rows = page.getByRole("table", { name: /newest first/ }).getByRole("row");
  await says(rows.nth(1), /=cmd\(\)[\s\S]*a formula[\s\S]*admin/);
  await page.getByText("Search the log").first().click();
  const search = page.getByRole("form", { name: "Search the log" });
  await search.getByRole("button", { name: "Search", exact: true }).click();
  await says(it.part("Recent log"), /Enter something to search for first/);
  await search.getByRole("textbox", { name: "Its exact name" }).fill("searched");
  await search.getByRole("button", { name: "Search", exact: true }).click();
  await becomes(() => rows.count(), 1 + 4);
  await search.getByRole("textbox", { name: "Issuer" }).fill("https://idp.example");
  await search.getByRole("button", { name: "Search", exact: true }).click();
  await becomes(() => rows.count(), 1 + 1);
  await says(rows.nth(1), /of https:\/\/idp\.example/);
  await search.getByRole("button", { name: "End the search" }).click();
  await says(rows.nth(1), /=cmd\(\)/);
  const [head, first] = await exported(it, page);
  assert.equal(head, '"time","kind","name","issuer","reason","by","position"');
  assert.match(first, /^"\d{4}-.*Z","user","'=cmd\(\)",/);
});

// The log lists the first 100 entries of a request, and their total number.
consoleTest("an export says how much of a bulk request the log does not list", async (it, page) => {
  const revocations = Array.from({ length: 130 }, (_, index) => ({ sub: `bulk-${index}` }));
  await plane.call("POST", "/v1/revocations", { revocations, reason: "bulk" });
  const rows = page.getByRole("table", { name: /newest first/ }).getByRole("row");
  await says(rows.nth(1), /Show 100 of 130/);
  const [, ...lines] = await exported(it, page);
  assert.match(lines[99], /"user","bulk-99",/);
  assert.match(lines[100], /^"\d{4}-.*Z","more","30 more of this request, not listed","","bulk",/);
});

// A spreadsheet that splits at semicolons or tabs finds cells inside a field.
consoleTest("no cell of an export begins like a formula, wherever a spreadsheet splits it", async (it, page) => {
  const hostile = ["=a()", "＝b()", "x;=c()", "x; @d", "x\t+e", "x\n-f", "x;＋g", "x; \"=h()", "x;plain", "-id"];
  for (const sub of hostile) await revoke(sub, "hostile");
  const rows = page.getByRole("table", { name: /newest first/ }).getByRole("row");
  await says(rows.nth(1), /-id/);
  const names = (await exported(it, page)).join("\r\n").match(/(?<="user",")(?:[^"]|"")*(?=",)/g);
  assert.deepEqual(names.slice(0, hostile.length).reverse(),
    ["'=a()", "'＝b()", "x;'=c()", "x; '@d", "x\t'+e", "x\n'-f", "x;'＋g", 'x; ""\'=h()', "x;plain", "-id"]);
});

// Other people chose all these values: they are shown as text, and cannot reorder the text around them.
consoleTest("hostile values in the log and of devices are shown as text", async (it, page) => {
  page.on("dialog", (dialog) => assert.fail(dialog.message()));
  const isText = async (place) => {
    const text = await says(place, /onerror/);
    assert.ok(text.includes(SHOWN), text);
    assert.doesNotMatch(text, /[\0\u202E\u2066\u2069\u200B]/);
    assert.equal(await place.locator("img, script, h1").count(), 0);
  };
  await logIn(plane, HOSTILE, { device: HOSTILE, scope: "<h1>" });
  await plane.call("POST", "/v1/revocations", {
    session_id: HOSTILE, issuer: "https://idp.example", reason: HOSTILE,
  });
  await plane.call("POST", "/v1/revocations", { sub: HOSTILE, reason: HOSTILE });
  const { by } = await newestOf(plane);
  const rows = page.getByRole("table", { name: /newest first/ }).getByRole("row");
  await says(rows.nth(1), new RegExp(`user[\\s\\S]*${by}`));
  await says(rows.nth(2), /session/);
  for (const row of [rows.nth(1), rows.nth(2)]) {
    await isText(row.getByRole("cell").nth(0));
    await isText(row.getByRole("cell").nth(1));
  }
  await logIn(plane, HOSTILE, { device: HOSTILE, scope: "<h1>" });
  await it.go("Users");
  const user = it.part("Users and their devices").getByRole("textbox");
  await user.fill(HOSTILE);
  await user.press("Enter");
  await isText(page.getByRole("table", { name: /^Active sessions/ }).getByRole("rowheader"));
  await isText(it.part("Users and their devices").getByRole("heading", { level: 3 }));
});

// A crash, and the process again on the same port and folder, without any action in the page.
consoleTest("a dead control plane is reported, and so is its return", async (it, page) => {
  await says(it.state, /Ready/);
  await plane.kill();
  const text = await says(it.state, /No answer/);
  assert.match(text, /No response: the control plane or the network is down\./);
  assert.match(text, /last known state/);
  await says(it.state, /Next attempt in \d+ s\./);
  // The page still works: parts open, and an attempt gets an error message.
  await it.go("Users");
  await it.list("alice");
  await says(it.part("Users and their devices"), /No response/);
  await it.go("Revoke");
  await it.part("Revoke").getByRole("radio", { name: "User", exact: true }).check();
  await it.field("Revoke", "User (sub)").fill("alice");
  await it.confirm("Revoke", "Yes, revoke", "Revoke");
  await says(it.part("Revoke"), /It is unknown whether this was done; you can repeat it safely\./);
  await plane.start();
  await says(it.state, /Ready/, 30);
  assert.doesNotMatch(await it.state.innerText(), /No answer|No response/);
  await it.confirm("Revoke", "Yes, revoke", "Revoke");
  await it.recorded("Revoke", /Revoked\./);
  await it.go("Live");
  await says(page.getByRole("table", { name: /newest first/ }).getByRole("row").nth(1), /alice/);
}, { expects: [/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE/] });

// A hidden console sends no requests; a visible one continues.
consoleTest("the console sends no requests while the inspector is shown", async (it, page) => {
  await says(it.state, /Ready/);
  await page.getByRole("link", { name: "Inspector" }).click();
  await page.getByRole("heading", { name: "Token inspector" }).waitFor();
  const asked = [];
  page.on("request", (request) => void asked.push(new URL(request.url()).pathname));
  // There is no event to wait for; two rounds would have begun. One that had begun may still end.
  await page.waitForTimeout(2500);
  assert.ok(!asked.includes("/readyz"), asked.join());
  await page.getByRole("link", { name: "Console" }).click();
  await page.waitForResponse((response) => response.url().endsWith("/readyz"));
  await says(consoleOf(page).state, /Ready/);
});

async function positionOf() {
  const { position } = await (await fetch(`${plane.url}/readyz`)).json();
  return { text: position, seq: Number(position.split(".")[1]) };
}

const HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script><h1>\"'&amp;{{7*7}}"
  + "\u202Egnp.exe\u2066\u200B\u2069\u0007</td></table>";
const SHOWN = "<img src=x onerror=alert(1)><script>alert(2)</script><h1>\"'&amp;{{7*7}}"
  + "U+202Egnp.exeU+2066U+200BU+2069U+0007</td></table>";

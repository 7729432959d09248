// The console's bulk revocation: files of ids, correct ones and garbage, which the page sends unchanged.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ISSUER, mint, now, signingKey } from "../support/fixture.mjs";
import { until } from "../support/feed.mjs";
import { consoleTests, follow, newestOf, register } from "./console.mjs";
import { says, servePage } from "./open.mjs";

const { plane, pageTest } = await servePage();
const consoleTest = consoleTests(pageTest, plane);
await register(plane, "issuer", ISSUER);
const key = await signingKey("EdDSA");
const { verifier } = await follow(plane, {
  issuer: ISSUER, keys: { keys: [key.jwk] }, requiredClaims: ["exp", "iat", "sub", "jti"],
});
const REGION = "Bulk revoke";
const EXP = now() + 600;

/** Chooses a file like a user. */
const choose = (page, name, content) => page.getByLabel("Drop a file here, or choose one")
  .setInputFiles({ name, mimeType: "text/plain", buffer: Buffer.from(content) });

/** The verifier's verdict on each of these once it is at `position`. */
async function codesOf(tokens, position) {
  const seq = (text) => Number(text.split(".")[1]);
  assert.ok(await until(() => seq(verifier.status().position ?? "0.0") >= seq(position)));
  return tokens.map((token) => verifier.verifySync(token).code);
}

const tokensOf = (jtis) => Promise.all(jtis.map((jti) => mint(key, { jti, exp: EXP })));

// 2,500 rows, three of which are wrong: one has no time in exp, one an exp that only the control plane refuses,
// one an extra field.
consoleTest("2,500 ids of a CSV are sent, and three bad lines reported", async (it, page) => {
  const jtis = Array.from({ length: 2500 }, (_, index) => `csv-${index}`);
  const bad = { 100: "soon", 1200: "8000000000", 2400: `${EXP},"two, fields"` };
  const rows = jtis.map((jti, index) => `${jti},${bad[index] ?? EXP}`);
  const tokens = await tokensOf(jtis);
  await it.go("Bulk");
  await choose(page, "leaked.csv", `\uFEFFjti,exp\r\n${rows.join("\r\n")}\r\n`);
  await says(it.part(REGION), /leaked\.csv[\s\S]*CSV[\s\S]*csv-0[\s\S]*csv-4/);
  await it.field(REGION, "Issuer, where a row has none").fill(ISSUER);
  await it.field(REGION, "Reason, where a row has none").fill("leaked");
  await it.confirm("Revoke all of it", "Yes, revoke all");
  const text = await says(it.part(REGION), /Done/, 30);
  assert.match(text, /100 %[\s\S]*revoked\s+2,497\s+failed\s+3\b/);
  const failed = page.getByRole("table", { name: "The first rows that failed" });
  assert.equal(await failed.getByRole("row").count(), 1 + 3);
  const shown = await failed.innerText();
  assert.match(shown, /^102\s+csv-100\s+invalid_row\s+exp: is neither unix seconds nor a date/m);
  assert.match(shown, /^1202\s+jti csv-1200\s+invalid_revocation\s+exp: \d+ is too far/m);
  assert.match(shown, /^2402\s+invalid_row\s+has 3 fields where there are 2 columns/m);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download report (CSV)" }).click(),
  ]);
  const report = (await readFile(await download.path(), "utf8")).split("\r\n");
  assert.equal(report[0], '"line","kind","id","code","detail"');
  const lines = report.slice(1, -1).map((line) => line.split(",")[0]);
  assert.deepEqual(lines.sort(), ['"102"', '"1202"', '"2402"']);
  const codes = await codesOf(tokens, /Position\s+(\S+)/.exec(text)[1]);
  const alive = codes.flatMap((code, index) => (code === "revoked_token" ? [] : [[index, code]]));
  assert.deepEqual(alive, Object.keys(bad).map((index) => [Number(index), "valid"]));
  assert.equal((await newestOf(plane)).reason, "leaked");
}, { expects: [/status of 400 .*\/v1\/revocations/] });

// One object per line, as the API accepts it; each may have its own reason.
consoleTest("an NDJSON file is sent, and bad lines are reported", async (it, page) => {
  const jtis = Array.from({ length: 40 }, (_, index) => `json-${index}`);
  const lines = jtis.map((jti, index) =>
    JSON.stringify({ jti, exp: EXP, issuer: ISSUER, reason: `batch ${index % 2}` }));
  lines.splice(7, 0, "{not json", '{"jti":"x","unknown":"name"}');
  lines.push(JSON.stringify({ claims: { sub: "by-claims", jti: "by-claims" }, issuer: ISSUER }));
  lines.push('{"claims":{"tenant":9007199254740993}}', '{"claims":{"a":"b"},"sub":"x"}');
  const tokens = await tokensOf(jtis);
  const byClaims = await mint(key, { sub: "by-claims", jti: "by-claims" });
  await it.go("Bulk");
  await choose(page, "leaked.ndjson", lines.join("\n"));
  await says(it.part(REGION), /NDJSON/);
  await it.confirm("Revoke all of it", "Yes, revoke all");
  const text = await says(it.part(REGION), /Done/, 30);
  assert.match(text, /revoked\s+41\s+failed\s+4\s+requests\s+3\b/);
  const failed = page.getByRole("table", { name: "The first rows that failed" });
  await says(failed, /^8\s+invalid_row\s+is not JSON/m);
  await says(failed, /^9\s+invalid_row\s+unknown: is not a name that the API knows/m);
  await says(failed, /^44\s+invalid_row\s+claims: is not an object with one to four texts/m);
  await says(failed, /^45\s+invalid_row\s+sub: is not allowed with claims/m);
  const codes = await codesOf(tokens, /Position\s+(\S+)/.exec(text)[1]);
  assert.deepEqual(codes.filter((code) => code !== "revoked_token"), []);
  assert.equal(verifier.verifySync(byClaims).code, "revoked_claims");
});

// Far beyond the rows of the preview: a row in another encoding would be another id.
consoleTest("a row that is not UTF-8 is reported, and not sent", async (it, page) => {
  const blank = "\n".repeat(300_000);
  const start = Buffer.from(`jti,exp,issuer\nutf-8,${EXP},${ISSUER}\n${blank}`);
  const end = Buffer.from(`zo\xEB,${EXP},${ISSUER}\n`, "latin1");
  await it.go("Bulk");
  await choose(page, "mixed.csv", Buffer.concat([start, end]));
  await it.confirm("Revoke all of it", "Yes, revoke all");
  await says(it.part(REGION), /Done[\s\S]*revoked\s+1\s+failed\s+1\b/);
  await says(it.part(REGION), /^300003\s+unreadable_row\s+has bytes that are not UTF-8/m);
});

// A file without column names: the user chooses the column's meaning.
consoleTest("a single column of ids is sent as the chosen kind", async (it, page) => {
  const tokenOf = (sub) => mint(key, { sub, jti: `of-${sub}` });
  const tokens = await Promise.all(["one", "two"].map(tokenOf));
  await it.go("Bulk");
  await choose(page, "users.txt", "one\ntwo\n");
  await it.field(REGION, "exp, where a row has none (optional)").fill("soon");
  await it.button("Revoke all of it").click();
  await says(it.part(REGION), /exp: is neither unix seconds nor a date/);
  await it.field(REGION, "exp, where a row has none (optional)").fill("");
  await page.getByLabel("The column holds").selectOption("sub");
  await it.field(REGION, "Issuer, where a row has none").fill(ISSUER);
  await it.confirm("Revoke all of it", "Yes, revoke all");
  const text = await says(it.part(REGION), /Done[\s\S]*revoked\s+2\s/);
  const codes = await codesOf(tokens, /Position\s+(\S+)/.exec(text)[1]);
  assert.deepEqual(codes, ["revoked_user", "revoked_user"]);
});

// Other parts work while 100 requests are sent; rows that were sent before the cancellation stay revoked.
consoleTest("100,000 lines do not block the page, and can be cancelled", async (it, page) => {
  const rows = Array.from({ length: 100_000 }, (_, index) => `many-${index},${EXP},${ISSUER}`);
  await it.go("Bulk");
  await choose(page, "many.csv", `jti,exp,issuer\n${rows.join("\n")}\n`);
  await it.field(REGION, "Reason, where a row has none").fill("many");
  await page.evaluate(() => {
    window.longest_ms = 0;
    let last = performance.now();
    setInterval(() => {
      window.longest_ms = Math.max(window.longest_ms, performance.now() - last);
      last = performance.now();
    }, 20);
  });
  await it.confirm("Revoke all of it", "Yes, revoke all");
  await says(it.part(REGION), /Revoking…[\s\S]*^revoked\s+[1-9]/m);
  const bar = page.getByRole("progressbar", { name: "How much of the file was sent" });
  const share = await bar.evaluate(({ value }) => value);
  assert.ok(share > 0 && share < 1, `${share}`);
  await it.go("Users");
  await page.getByLabel("Device (optional)").fill("typed meanwhile");
  await it.go("Bulk");
  await says(it.part(REGION), /Revoking…/);
  await it.button("Pause").click();
  await says(it.part(REGION), /Paused/);
  await it.button("Resume").click();
  await says(it.part(REGION), /Revoking…/);
  // A request is in progress during the cancellation: the number is final only after it has ended.
  let release;
  const released = new Promise((resolve) => (release = resolve));
  const begun = new Promise((resolve) => {
    page.route("**/v1/revocations", async (route) => {
      resolve();
      await released;
      await route.continue();
    }, { times: 1 });
  });
  await begun;
  await it.button("Cancel").click();
  await says(it.part(REGION), /Cancelling…/);
  release();
  const text = await says(it.part(REGION), /Cancelled: what was revoked stays revoked/);
  const longest_ms = await page.evaluate(() => window.longest_ms);
  assert.ok(longest_ms < 2000, `the page was blocked for ${longest_ms} ms`);
  // The request in progress has ended and counts: the log has exactly the displayed number.
  const count = Number(/^revoked\s+([\d,]+)/m.exec(text)[1].replaceAll(",", ""));
  assert.equal(await loggedOf("many"), count);
  assert.ok(count > 0 && count < 100_000, text);
  const samples = await tokensOf(["many-0", `many-${count - 1}`, `many-${count}`, "many-99999"]);
  assert.deepEqual(await codesOf(samples, (await newestOf(plane)).position),
    ["revoked_token", "revoked_token", "valid", "valid"]);
});

/** The number of revocations in the log with this reason. */
async function loggedOf(reason) {
  const { requests } = await plane.call("GET", "/v1/revocations?limit=100");
  const its = requests.filter((request) => request.reason === reason);
  return its.reduce((sum, { count }) => sum + count, 0);
}

// Files that cannot be used: each is refused with the reason, and nothing is sent.
for (const [what, name, content, pattern] of [
  ["an empty file", "empty.csv", "", /The file is empty\./],
  ["blank lines", "blank.csv", "\n\n \n", /The file has no rows\./],
  ["a header alone", "header.csv", "jti,exp\n", /column names and no rows/],
  ["binary", "photo.csv", Buffer.from(`\x89PNG\r\n${"\xFF\0".repeat(9)}`, "latin1"), /not a text/],
  ["binary without an ending", "photo", randomBytes(50_000), /not a text/],
  ["UTF-16", "utf16.csv", Buffer.from("jti,exp\na,1\n", "utf16le"), /not a text/],
  ["one line of 5 MB", "line.csv", "x".repeat(5_000_000), /longer than 32,768 characters/],
  ["one line of 5 MB of JSON", "line.ndjson", `{"jti":"${"x".repeat(5_000_000)}"}`, /longer than/],
  ["columns without names", "columns.csv", "a,b\nc,d\n", /the first row must name them/],
  ["a column that appears twice", "twice.csv", "jti,jti\na,b\n", /appears twice/],
  ["a JSON array", "array.json", '[{"jti":"a","exp":1}]', /This is a JSON array/],
]) {
  consoleTest(`${what} is refused in words`, async (it, page) => {
    const before = await newestOf(plane);
    await it.go("Bulk");
    await choose(page, name, content);
    await says(it.part(REGION), pattern);
    const send = it.button("Revoke all of it");
    if (await send.isVisible()) {
      await send.click();
      await it.button("Yes, revoke all").click();
      await says(it.part(REGION), /Done[\s\S]*revoked\s+0\s+failed\s+1\b/);
    }
    assert.deepEqual(await newestOf(plane), before);
  });
}

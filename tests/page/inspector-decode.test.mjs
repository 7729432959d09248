// The inspector's view of unverified tokens: broken ones, hostile ones, huge ones.

import assert from "node:assert/strict";
import { becomes, says, servePage } from "./open.mjs";
import { inspectorOf, plainClaims, segment, unsigned } from "./inspector.mjs";
import { now, signingKey } from "../support/fixture.mjs";

const { pageTest } = await servePage();
const HEADER = segment({ alg: "EdDSA", kid: "k", typ: "at+jwt" });
const SIGNATURE = segment("no signature");
const PAYLOAD = segment({ sub: "alice", jti: "one" });
const whole = (payload) => `${HEADER}.${segment(payload)}.${SIGNATURE}`;

/** The pasted text, the message, and the members that can still be read. */
const BROKEN = {
  "a token with what was copied around it": [
    `"Authorization: Bearer ${HEADER}.\n  ${PAYLOAD}.${SIGNATURE}"`,
    /Ignored in the pasted text: (?=.*the header name)(?=.*quotes)(?=.*“Bearer”)(?=.*white space and line breaks)/,
    ["kid", "sub"],
  ],
  "a token without a signature": [
    `${HEADER}.${PAYLOAD}`, /2 of 3 segments: the signature is missing/, ["kid", "sub"],
  ],
  "a token with an empty signature": [
    `${HEADER}.${PAYLOAD}.`, /signature: empty: the token is not signed/, ["kid", "sub"],
  ],
  "a header alone": [HEADER, /1 of 3 segments: payload and signature are missing/, ["kid"]],
  "a token with a fourth segment": [
    `${HEADER}.${PAYLOAD}.${SIGNATURE}.eA`, /4 segments instead of 3: everything after the third is surplus/,
    ["kid", "sub"],
  ],
  "an encrypted token": [
    `${segment({ alg: "RSA-OAEP", enc: "A256GCM" })}.eA.eA.eA.eA`,
    /five segments: an encrypted token \(JWE\)\. Only its header can be read/, ["enc"],
  ],
  "base64 instead of base64url": [
    `${HEADER}.${Buffer.from('{"sub":"???>>>"}').toString("base64").replace(/=+$/, "")}.${SIGNATURE}`,
    /payload: base64 instead of base64url: “[+/]” at offset \d+/, ["kid", "sub"],
  ],
  "padding": [
    `${HEADER}.${Buffer.from('{"sub":"a"}').toString("base64")}.${SIGNATURE}`,
    /payload: padded with “=”, which a JWT never is/, ["sub"],
  ],
  "a character that is not base64url": [
    `${HEADER}.${PAYLOAD.slice(0, 4)}*${PAYLOAD.slice(4)}.${SIGNATURE}`,
    /payload: not base64url: “\*” at offset 4/, ["kid", "sub"],
  ],
  "a segment that was cut off": [
    `${HEADER}.${segment('{"sub":"alice","jti":"on')}A.${SIGNATURE}`,
    /payload: truncated: one character is left over.*\n.*payload: not JSON/, ["sub"],
  ],
  "bytes that are not UTF-8": [
    whole(Buffer.from('{"sub":"\xff"}', "latin1")), /payload: not UTF-8 at byte 8/,
    ["sub"],
  ],
  "text that is not JSON": [
    whole('{"sub":"alice",}'),
    /payload: not JSON: at character 15 of the decoded text, a member name in double quotes is missing/,
    ["sub"],
  ],
  "text that begins no JSON": [
    whole("user=alice"), /payload: not JSON: at character 0 of the decoded text/, ["kid"],
  ],
  "JSON that is no object": [
    `${segment([1])}.${segment("7")}.${SIGNATURE}`,
    /header: JSON, but an array instead of an object[^]*payload: JSON, but a number instead/, [],
  ],
  "a refresh token": ["osr_abc", /a refresh token of Offswitch: it has nothing to decode/, []],
  "an opaque token": ["2YotnFZFEjr1zCsicMWpAA", /no dots and no header: an opaque token/, []],
};
for (const [what, [pasted, reason, readable]] of Object.entries(BROKEN)) {
  // Readable parts are shown, unreadable ones are marked with the reason, and nothing looks verified.
  pageTest(`${what} is read as far as possible, and the reason is shown`, async (page) => {
    const { row, state, token, tokenCard } = inspectorOf(page);
    await token.fill(pasted);
    await says(tokenCard, reason);
    for (const name of readable) await row(name).waitFor();
    assert.doesNotMatch((await state.allInnerTexts()).join(), /Valid\b|Signed|are good/);
    // The mark is for the eye; it is there wherever a segment has a problem.
    const marks = await page.locator("mark.broken").count();
    if (/^(header|payload|signature):/.test(reason.source)) assert.ok(marks > 0, "marked");
  });
}

// RFC 8259 does not define which one counts, so two readers may see different tokens.
pageTest("names that appear twice and numbers that lose digits are pointed out", async (page) => {
  const { row, token, warnings } = inspectorOf(page);
  await token.fill(whole('{"sub":"alice","sub":"mallory","n":12345678901234567890,"a":{"b":1,"b":2}}'));
  await says(warnings, /“sub” appears twice in the payload/);
  await says(warnings, /“a\.b” appears twice in the payload/);
  await says(warnings, /The number “n” has more digits than JavaScript/);
  await becomes(() => row("sub").count(), 2);
  await says(row("sub"), /alice[^]*mallory/);
  await says(row("n"), /12345678901234567890/);
});

pageTest("text that is no JSON is shown unchanged", async (page) => {
  const { claims, token } = inspectorOf(page);
  await token.fill(whole("user=alice&admin=<b>no</b>"));
  await says(claims, /The decoded text as it is\s+user=alice&admin=<b>no<\/b>/);
});

// Every registered name has a description; an unregistered name has none.
pageTest("claims are shown with their meaning and their times", async (page) => {
  const { row, token } = inspectorOf(page);
  const exp = now() + 3725;
  await token.fill(unsigned(plainClaims({
    exp, nbf: now() - 90, auth_time: 1, sid: "s", ver: 1, scope: "read", client_id: "c", azp: "c",
    acr: "1", amr: ["pwd"], nonce: "n", cnf: { jkt: "x" }, act: { sub: "desk" }, events: {},
    roles: ["editor"], groups: [], entitlements: [], email: "alice@example.test", own: 1,
  }), { alg: "EdDSA", kid: "k", typ: "at+jwt", cty: "JWT", x5t: "x" }));
  const meanings = {
    iss: /The issuer/, sub: /The subject/, aud: /The audience/, exp: /The end/, nbf: /The start/,
    iat: /was issued/, jti: /The token's id/, sid: /The session/, ver: /user's version/,
    scope: /What the client may do/, client_id: /OAuth client/, azp: /authorized party/,
    acr: /How strongly/, amr: /By what methods/, auth_time: /When the user authenticated/,
    nonce: /binds an ID token/, cnf: /prove to have/, act: /on behalf/, events: /security event/,
    roles: /roles of the user/, groups: /groups of the user/, entitlements: /entitled/,
    email: /e-mail/, alg: /The algorithm/, typ: /What kind of token/, kid: /name of the key/,
    cty: /media type/, x5t: /SHA-1 fingerprint/,
  };
  for (const [name, meaning] of Object.entries(meanings)) await says(row(name), meaning);
  await says(row("act"), /\{\s+"sub": "desk"\s+\}/);
  const utc = new Date(exp * 1000).toISOString().replace("T", " ").replace(".000Z", " UTC");
  const first = await says(row("exp"), new RegExp(`in 1 h [12] min[^]*${utc}`));
  assert.match(first, new RegExp(String(new Date(exp * 1000).getFullYear())), "local time");
  await says(row("nbf"), /1 min \d+ s ago/);
  const before = await row("nbf").innerText();
  await becomes(async () => before === await row("nbf").innerText(), false);
  assert.equal(await row("own").locator("p").count(), 0);
});

/** Claims and header, and the notice about them. */
const warned = () => ({
  "alg none": [{}, { alg: "none", typ: "at+jwt", kid: "k" }, /danger\s+alg is “none”: unsigned/],
  "no alg": [{}, { typ: "at+jwt" }, /danger\s+No alg[^]*No kid/],
  "a shared secret": [{}, { alg: "HS256", typ: "at+jwt", kid: "k" }, /HS256 is a shared secret/],
  "a weak algorithm": [{}, { alg: "RS1", typ: "at+jwt", kid: "k" }, /RS1 is weak/],
  "no jti, exp or iat": [
    { jti: undefined, exp: undefined, iat: undefined }, undefined, /No exp[^]*No jti[^]*No iat/,
  ],
  "a life of two hours": [{ exp: now() + 7230 }, undefined, /notice\s+Lives for 2 h/],
  "a life of two days": [{ exp: now() + 172_830 }, undefined, /warning\s+Lives for 2 days/],
  "an end that is past": [{ exp: now() - 5 }, undefined, /warning\s+Expired \d+ s ago/],
  "a start to come": [{ nbf: now() + 500 }, undefined, /Not yet valid: nbf is in 8 min/],
  "milliseconds": [{ exp: Date.now() + 60_000 }, undefined, /danger\s+exp is in milliseconds/],
  "a type of its own": [{}, { alg: "EdDSA", kid: "k", typ: "JWT" }, /typ is “JWT”, not “at\+jwt”/],
  "no type": [{}, { alg: "EdDSA", kid: "k" }, /No typ/],
  "crit": [{}, { alg: "EdDSA", kid: "k", typ: "at+jwt", crit: ["x"] }, /crit in the header/],
  "keys that it brings": [
    {}, { alg: "EdDSA", kid: "k", typ: "at+jwt", jku: "https://x.test", x5u: "x", jwk: {} },
    /jku in the header[^]*jwk in the header[^]*x5u in the header/,
  ],
  "personal data": [{ email: "a@b.test", phone_number: "1" }, undefined, /Personal data \(email, phone_number\)/],
  "more than 4 KB": [{ pad: "x".repeat(3500) }, undefined, /notice\s+4\.\d KiB/],
  "more than 8 KB": [{ pad: "x".repeat(7000) }, undefined, /warning\s+9\.\d KiB/],
  "more than 16 KB": [{ pad: "x".repeat(14_000) }, undefined, /danger\s+18\.\d KiB: the verifier refuses/],
});
pageTest("each oddity has its warning, and a token without any has none", async (page) => {
  const { token, warnings } = inspectorOf(page);
  for (const [what, [claims, header, warning]] of Object.entries(warned())) {
    await token.fill(unsigned(plainClaims(claims), header));
    await says(warnings, warning).catch((error) => assert.fail(`${what}: ${error.message}`));
  }
  await token.fill(unsigned(plainClaims()));
  await says(warnings, /Nothing is odd\. That does not make it genuine\./);
});

// An attacker can write any token; its content must stay text.
pageTest("hostile claims are shown as text, their invisible characters as chips", async (page) => {
  const { row, state, token } = inspectorOf(page);
  const html = '<img src=x onerror="document.title=\'hacked\'"><script>document.title="hacked"</script>';
  const turned = "user\u202egnp.exe\u0000\u200b\ufeff";
  const claims = Object.fromEntries(
    ["iss", "sub", "aud", "jti", "sid", "scope", html].map((name) => [name, `${html}${turned}`]),
  );
  const header = { alg: `${html}${turned}`, kid: `${html}${turned}`, typ: `${html}${turned}` };
  const hostile = unsigned({ ...claims, act: { [turned]: [html] } }, header);
  await token.fill(hostile);
  for (const name of ["iss", "sub", "alg", "kid", html]) {
    const shown = await says(row(name), /U\+202E/);
    for (const chip of ["U+0000", "U+200B", "U+FEFF", "<script>"]) assert.ok(shown.includes(chip));
  }
  await says(row("act"), /U\+202E/);
  // All other views of the token's content: verdict, notes, comparison.
  await inspectorOf(page).verify({ token: hostile, keys: "a secret" });
  await says(state, /not verified|Refused/);
  await page.getByText("Compare with another token").click();
  await inspectorOf(page).field("The other token").fill(unsigned({ [html]: turned }));
  await says(page.getByRole("row"), /removed/);
  const made = await page.evaluate(() => ({
    title: document.title,
    found: document.querySelectorAll("main img, main script, main iframe, main object").length,
    raw: [...document.querySelectorAll("main :is(td, th, p, li, pre, strong)")]
      .some(({ textContent }) => /[\u202a-\u202e\u2066-\u2069\u200b\ufeff]/.test(textContent)),
  }));
  assert.deepEqual(made, { title: "Offswitch", found: 0, raw: false });
});

// The verifier's limit is 16 KB; the inspector may read larger tokens.
pageTest("a token of 16 KB is decoded whole", async (page) => {
  const { row, token, warnings } = inspectorOf(page);
  const pad = "x".repeat(12_000);
  const large = unsigned(plainClaims({ pad }));
  assert.ok(large.length > 16_000 && large.length < 16_384, String(large.length));
  await token.fill(large);
  await says(row("pad"), /x{12000}/);
  await says(warnings, /15\.\d KiB/);
});

pageTest("10,000 claims are shown on request, and the verifier refuses them", async (page) => {
  const { button, claims, state, verify } = inspectorOf(page);
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`claim${at}`, at]));
  await verify({
    token: unsigned(many),
    keys: { ...(await signingKey("EdDSA", "k")).jwk },
  });
  await says(state, /Refused[^]*malformed/);
  assert.equal(await claims.getByRole("row").count(), 101, "100 and the header row");
  await button("Show all 10,000").click();
  // The page responds while the rest is added.
  await page.getByRole("link", { name: "Console" }).click();
  await page.getByRole("link", { name: "Inspector" }).click();
  await claims.waitFor();
  await becomes(() => page.evaluate(() => document.querySelectorAll("table.members tbody tr").length), 10_003, 40);
  await says(inspectorOf(page).row("claim9999"), /9999/);
});

for (const [what, pasted, reason] of [
  ["a token of 1 MB", () => unsigned(plainClaims({ pad: "x".repeat(750_000) })), /refuses more than 16 KiB/],
  ["1 MB that is no base64url", () => `ey${"é*".repeat(500_000)}`, /not base64url: U\+00E9/],
  ["1 MB without a dot", () => "a".repeat(1 << 20), /no dots and no header/],
  ["3 MB", () => `ey${"a".repeat(3 << 20)}`, /longer than 2,000,000 characters: not decoded/],
]) {
  // The page still works after a file was pasted by mistake.
  pageTest(`${what} gets a clear message, and the page stays alive`, async (page) => {
    const { row, token } = inspectorOf(page);
    await token.fill(pasted());
    await says(page.getByRole("main"), reason, 30);
    await page.getByRole("link", { name: "Console" }).click();
    await page.getByRole("heading", { name: "Console" }).waitFor();
    await page.getByRole("link", { name: "Inspector" }).click();
    await token.fill(unsigned(plainClaims({ sub: "afterwards" })));
    await says(row("sub"), /afterwards/);
  });
}

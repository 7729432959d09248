// Writes what is made of presets.json: js/presets/table.js, the types in js/index.d.ts, and the table in
// docs/reference/presets.md. With --check it writes nothing, and fails if a file is not what it would write.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const presets = JSON.parse(readFileSync(path("../presets.json"), "utf8"));
const isCheck = process.argv.includes("--check");
const stale = [];

put("../js/presets/table.js", () => table());
put("../js/index.d.ts", (text) => between(text, "// presets.json begins", "// presets.json ends", types()));
put("../../docs/reference/presets.md", (text) =>
  between(text, "<!-- presets.json begins -->", "<!-- presets.json ends -->", documents()));
if (stale.length > 0) {
  console.error(`not what presets.json says: ${stale.join(", ")}; run node verifier-wasm/build/presets.mjs`);
  process.exitCode = 1;
}

function put(name, make) {
  const file = path(name);
  const before = readFileSync(file, { encoding: "utf8", flag: "a+" });
  const text = make(before);
  if (text === before) return;
  if (isCheck) stale.push(name.replace(/^(\.\.\/)+/, ""));
  else writeFileSync(file, text);
}

/** What of each preset the package needs. */
function table() {
  const needed = ({ parameters, issuer, jwks, audience, algorithms, types, requiredClaims, requiredValues }) =>
    ({ parameters: rules(parameters), issuer, jwks, audience, algorithms, types, requiredClaims, requiredValues });
  const entries = Object.entries(presets).map(([name, one]) => `  ${JSON.stringify(name)}: ${JSON.stringify(needed(one))},`);
  return `// Made of presets.json by build/presets.mjs.

/**
 * @typedef {{ kind: string, default?: string, optional?: boolean }} Parameter
 *
 * @typedef {object} Preset
 * @property {Record<string, Parameter>} parameters
 * @property {string} issuer @property {string} jwks @property {string} audience
 * @property {any} algorithms @property {any} types @property {any} requiredClaims
 * @property {Record<string, string | string[]>} [requiredValues]
 */

/** @type {Record<string, Preset>} */
export const TABLE = {
${entries.join("\n")}
};
`;
}

/** The rules for parameters, without the words about them. */
function rules(parameters) {
  return Object.fromEntries(Object.entries(parameters).map(([name, { about, ...rule }]) => [name, rule]));
}

function types() {
  const one = ([name, { title, about, parameters }]) => [
    `  /** ${title}: ${about} */`,
    `  ${JSON.stringify(name)}: {`,
    ...Object.entries(parameters).flatMap(([parameter, { kind, default: otherwise, optional, about: words }]) => [
      `    /** ${words}${otherwise === undefined ? "" : ` Default \`${otherwise}\`.`} */`,
      `    ${parameter}${otherwise === undefined && !optional ? "" : "?"}: ${kind === "text" ? "string | string[]" : "string"};`,
    ]),
    "  };",
  ];
  return ["export interface PresetParameters {", ...Object.entries(presets).flatMap(one), "}"].join("\n");
}

function documents() {
  const code = (text) => `\`${text}\``;
  const list = (texts) => texts.map((text) => (text === null ? "none" : code(text))).join(", ");
  const one = ([name, preset]) => {
    const { title, about, parameters, issuer, jwks, audience, algorithms, types, claims, notes, sources } = preset;
    const required = [
      ...preset.requiredClaims.map(code),
      ...Object.entries(preset.requiredValues ?? {}).map(([claim, value]) => `${code(claim)} = ${list([value].flat())}`),
    ];
    const ids = Object.entries(claims).map(([what, claim]) => `${what} ${claim === null ? "none" : code(claim)}`);
    return [
      `### ${name}`, "", `${title}. ${about}${notes && ` ${notes}`}`, "",
      "| | |", "|---|---|",
      ...Object.entries(parameters).map(([parameter, { kind, default: otherwise, optional, about: words }]) =>
        `| parameter ${code(parameter)} | ${kind}${otherwise === undefined ? "" : `, default ${code(otherwise)}`}${optional ? ", optional" : ""}. ${words} |`),
      `| \`iss\` | ${code(issuer)} |`, `| key set | ${code(jwks)} |`, `| \`aud\` | ${code(audience)} |`,
      `| algorithms | ${list(algorithms)} |`, `| \`typ\` | ${list(types)} |`, `| required | ${required.join(", ")} |`,
      `| ids | ${ids.join(", ")} |`, `| scopes | ${preset.scope === null ? "none" : code(preset.scope)} |`,
      `| horizon | ${preset.horizonSeconds} s |`,
      `| source | ${sources.map((source) => `<${source}>`).join(" ")} |`, "",
    ].join("\n");
  };
  return `\n${Object.entries(presets).map(one).join("\n")}`;
}

/** The text with what is between the marks replaced. */
function between(text, begin, end, inside) {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the marks "${begin}" and "${end}" are not found`);
  return `${text.slice(0, from + begin.length)}\n${inside}\n${text.slice(to)}`;
}

// The options of an issuer from the name of a provider. The details of each provider are in presets.json, and
// table.js has the part that is needed here; the Rust crate in ../../presets reads the same file.

import { TABLE } from "./table.js";

/**
 * @typedef {Record<string, string | string[]>} Values
 *
 * @typedef {[pattern: RegExp, expected: string]} Kind
 */

/**
 * @param {string} name @param {any} parameters
 * @returns {import("../index.d.ts").IssuerOptions}
 */
export function preset(name, parameters) {
  const found = Object.hasOwn(TABLE, name) ? TABLE[name] : undefined;
  if (found === undefined) {
    const names = Object.keys(TABLE).join(", ");
    throw invalid("unknown_preset", `the preset is ${shown(name)}, expected one of ${names}`);
  }
  const { parameters: _, issuer, jwks, audience, requiredValues = {}, ...others } = found;
  const values = read(name, found, parameters);
  const required = Object.entries(requiredValues).map(([claim, value]) => [claim, filled(value, values)]);
  const present = required.filter(([, value]) => value !== undefined);
  return structuredClone({
    issuer: text(issuer, values),
    keys: text(jwks, values),
    audience: filled(audience, values),
    ...others,
    ...(present.length > 0 && { requiredValues: Object.fromEntries(present) }),
  });
}

/**
 * Checks the parameters, and adds those that have a default.
 *
 * @param {string} name @param {import("./table.js").Preset} preset @param {any} given
 * @returns {Values}
 */
function read(name, { parameters }, given) {
  /** @type {string[]} */
  const problems = [];
  /** @type {Values} */
  const values = {};
  const isObject = typeof given === "object" && given !== null;
  const unknown = isObject ? Object.keys(given).filter((key) => !Object.hasOwn(parameters, key)) : [];
  for (const key of unknown) problems.push(`${shown(key)} is unknown`);
  for (const [key, { kind, default: otherwise, optional }] of Object.entries(parameters)) {
    const value = isObject ? given[key] : undefined;
    const expected = kind === "text" ? TEXT : KINDS[kind][1];
    if (value === undefined) {
      if (otherwise !== undefined) values[key] = text(otherwise, values);
      else if (!optional) problems.push(`${key} is missing: it must be ${expected}`);
    } else if (!isKind(kind, value)) {
      problems.push(`${key} is ${shown(value)}, it must be ${expected}`);
    } else {
      values[key] = kind === "url" ? value.replace(/\/$/, "") : value;
    }
  }
  if (problems.length > 0) throw invalid("invalid_preset", `the preset ${name}: ${problems.join("; ")}`);
  return values;
}

/** @param {string} kind @param {any} value */
function isKind(kind, value) {
  if (kind !== "text") return isText(value) && KINDS[kind][0].test(value);
  const all = [value].flat();
  return all.length > 0 && all.length <= MAX_TEXTS && all.every((one) => isText(one) && PLAIN.test(one));
}

/** @param {any} value */
const isText = (value) => typeof value === "string" && value.length <= MAX_CHARACTERS;

/** A template with the values in it. @param {string} template @param {Values} values */
const text = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));

/**
 * The value of a template, which may be a single parameter; undefined if that was not given.
 *
 * @param {string | string[]} template @param {Values} values @returns {any}
 */
function filled(template, values) {
  const name = typeof template === "string" ? /^\{(\w+)\}$/.exec(template)?.[1] : undefined;
  return name === undefined ? template : values[name];
}

/** @param {string} code @param {string} message */
const invalid = (code, message) => Object.assign(new TypeError(message), { code });

/** A value in a message: shortened, and without confusing characters. @param {any} value */
function shown(value) {
  if (typeof value !== "string") return Array.isArray(value) ? "an array" : String(typeof value);
  return JSON.stringify(value.slice(0, 80)).replace(/[^ -~]/g, "?");
}

const HOST = "(?:[a-z0-9]+(?:-+[a-z0-9]+)*\\.)*[a-z0-9]+(?:-+[a-z0-9]+)*";
const PATH = "(?:/(?!\\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*/?";
const URLS = new RegExp(`^(?:https://${HOST}|http://(?:localhost|127\\.0\\.0\\.1|\\[::1\\]))(?::[0-9]{1,5})?${PATH}$`);
const ADDRESS = "an https URL (http on this machine) without user, query, fragment, escapes and dot segments";
/** The rules for parameters; presets.rs has the same. @type {Record<string, Kind>} */
const KINDS = {
  guid: [/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "a GUID in lower case"],
  host: [new RegExp(`^(?=.*\\.)${HOST}$`), "a host name in lower case, without scheme, port and path"],
  issuer: [URLS, ADDRESS],
  segment: [/^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$/, "one segment of a path: letters, digits and - . _ ~, no dot first"],
  url: [URLS, ADDRESS],
};
const TEXT = "a string or an array of up to 16 strings, none of them empty or with control characters";
const PLAIN = /^[^\p{Cc}]+$/u;
const MAX_TEXTS = 16;
const MAX_CHARACTERS = 256;

// A member name that appears twice, at any depth and in any spelling, is refused.

import { refused, valid } from "./expected.mjs";
import { claimsText, compact, headerText } from "./keys.mjs";
import { CLAIMS } from "./verifiers.mjs";

// V07, X13
export function nameCases(_, keys) {
  return [
    ...["EdDSA", "ES256"].flatMap((alg) => doubledMembers(keys[alg])),
    ...["EdDSA", "HS256"].flatMap((alg) => doubledAnywhere(keys[alg])),
  ];
}

function doubledMembers(key) {
  const header = JSON.parse(headerText(key));
  const claims = JSON.parse(claimsText({ nbf: 0 }));
  const twins = (object, names) => names.flatMap((name) => {
    const text = JSON.stringify(object);
    const values = [JSON.stringify(object[name]), "null", '"other"'];
    const members = [JSON.stringify(name), escaped(name)].flatMap((spelled) =>
      values.map((value) => `${spelled}:${value}`));
    const [inside, before] = [text.slice(1), text.slice(0, -1)];
    return members.flatMap((twin) => [`{${twin},${inside}`, `${before},${twin}}`]);
  });
  return [
    ...twins(header, ["alg", "kid", "typ"]).map((text, index) =>
      refused("malformed", key.alg, `${key.alg}: header with a twin ${index}`,
        compact(key, text, claimsText()), DUPLICATE)),
    ...twins(claims, CLAIMS).map((text, index) =>
      refused("malformed", key.alg, `${key.alg}: claims with a twin ${index}`,
        compact(key, headerText(key), text), DUPLICATE)),
  ];
}

function doubledAnywhere(key) {
  const many = Array.from({ length: 300 }, (_, index) => `"${index}":0`);
  const bad = [
    '{"a":1,"a":1}', '{"a":1,"\\u0061":1}', '{"":0,"":0}', '[[{"a":1,"b":2,"a":3}]]',
    '{"a":{"b":{"c":1,"c":2}}}', '[{"y":[{"a":1,"b":2,"a":1}]}]', '{"\\ud83d\\udd11":1,"🔑":2}',
    '{"__proto__":1,"__proto__":2}', '{"a":1,"a":{}}', `{${many},"150":1}`,
    `{${Array.from({ length: 13 }, () => '"a":0')}}`,
  ];
  const good = [
    '{"a":{"a":[{"a":1}]}}', '[{"a":1},{"a":1}]', '{"a":1,"A":2,"ａ":3}', '{"é":1,"e\u0301":2}',
    '{"a":1,"a ":2,"a\\u0000":3}', `{${many}}`,
  ];
  const inHeader = (value) =>
    compact(key, `${headerText(key).slice(0, -1)},"x":${value}}`, claimsText());
  const inClaims = (value) =>
    compact(key, headerText(key), `${claimsText().slice(0, -1)},"x":${value}}`);
  return [inHeader, inClaims].flatMap((inside, place) => [
    ...bad.map((value, index) => refused("malformed", key.alg,
      `${key.alg}: a twin below ${place} ${index}`, inside(value), DUPLICATE)),
    ...good.map((value, index) =>
      valid(key.alg, `${key.alg}: no twin below ${place} ${index}`, inside(value))),
  ]);
}

function escaped(name) {
  const unit = (character) => character.charCodeAt(0).toString(16).padStart(4, "0");
  return `"${Array.from(name, (character) => `\\u${unit(character)}`).join("")}"`;
}

const DUPLICATE = { jose: "a name that appears twice" };

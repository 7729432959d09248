// The types of the console's answers, compared with the description of the API.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/fixture.mjs";

const { components } = JSON.parse(await readFile(join(ROOT, "control-plane/openapi.json"), "utf8"));
const source = await readFile(join(ROOT, "www/src/shared/answers.ts"), "utf8");

/** The schema of each interface; null if the description only says that it is an object. */
const SCHEMAS = {
  Accepted: "Accepted", ApiKey: "ApiKeyListed", ApiKeyList: "ApiKeyList", DroppedFeedKey: "Dropped",
  Check: "Check", Examined: "Examined", FeedKey: "FeedKey", Finding: null, Issuer: "IssuerListed", IssuerChanged: "IssuerChanged",
  IssuerList: "IssuerList", LogEntry: null, LogPage: "RevocationList",
  BackchannelLogout: "BackchannelLogout", ReceiverFailure: "ReceiverErrorState", Receivers: "Receivers",
  ReceiverState: "ReceiverState", EventReceiver: "EventReceiver", Webhook: "Webhook",
  GlobalRevocation: "GlobalRevocation", StreamState: "StreamState", PollingState: "PollingState", Poll: "Poll",
  EventStream: "EventStream", FollowerList: "Followers", Follower: "Follower", Behind: "Behind", Examined: "Examined", Check: "Check",
  LogRequest: "RevocationListed", NoticeFailure: "NoticeError", RelyingParty: "RelyingPartyListed",
  RelyingPartyList: "RelyingPartyList", NewApiKey: "CreatedApiKey", NewFeedKey: "NewFeedKey", NewKey: "NewKey",
  Pressed: "Pressed", Readiness: "Readiness", Session: "SessionListed", SigningKey: "TokenKey",
  SigningKeys: "Keys", Status: "Status", Tokens: "Tokens",
};

/** Every interface with its own members, as they are written. */
function interfacesOf(text) {
  const found = text.matchAll(/export interface (\w+)(?: extends \w+)? \{\n([^]*?)\n\}/g);
  return [...found].map(([, name, body]) => [name, [...body.matchAll(/^  (\w+)(\?)?: (.+);$/gm)]]);
}

/** All properties of a schema, including those of the schemas that it includes. */
function propertiesOf(schema) {
  if (schema.$ref) return propertiesOf(components.schemas[schema.$ref.split("/").at(-1)]);
  const parts = [...(schema.allOf ?? []), ...(schema.oneOf ?? [])].map(propertiesOf);
  return Object.assign({}, ...parts, schema.properties);
}

/** The JSON types that a schema allows. */
function jsonTypesOf(schema) {
  if (schema.$ref) return jsonTypesOf(components.schemas[schema.$ref.split("/").at(-1)]);
  if (schema.oneOf) return schema.oneOf.flatMap(jsonTypesOf);
  return [schema.type ?? "object"].flat().map((type) => (type === "integer" ? "number" : type));
}

/** The JSON types that a TypeScript type allows. */
function jsonTypesOfType(type) {
  return type.split(" | ").flatMap((one) => {
    if (one.endsWith("[]")) return ["array"];
    if (["boolean", "null", "number", "string"].includes(one)) return [one];
    return ["object"];
  });
}

for (const [name, members] of interfacesOf(source)) {
  test(`${name} has the members that the API describes, with their types`, () => {
    assert.ok(name in SCHEMAS, "SCHEMAS has no schema for it");
    if (SCHEMAS[name] === null) return;
    const properties = propertiesOf({ $ref: `#/components/schemas/${SCHEMAS[name]}` });
    assert.ok(members.length > 0);
    for (const [, member, , type] of members) {
      assert.ok(member in properties, `${member} is not described`);
      if (type.startsWith("{")) continue;
      const allowed = jsonTypesOfType(type);
      for (const one of jsonTypesOf(properties[member])) {
        assert.ok(allowed.includes(one), `${member} may be ${one}, the type is ${type}`);
      }
    }
  });
}

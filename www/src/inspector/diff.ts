// The differences between two tokens, member by member.

import { formatJson, type JsonObject } from "./json";

export interface Difference {
  name: string;
  state: "added" | "changed" | "removed" | "same";
  before?: string;
  after?: string;
}

/** In the order of `before`, then the members that only `after` has. */
export function differencesOf(before?: JsonObject, after?: JsonObject): Difference[] {
  const [old, young] = [membersOf(before), membersOf(after)];
  const names = new Set([...old.keys(), ...young.keys()]);
  return [...names].map((name) => {
    const [was, is] = [old.get(name), young.get(name)];
    return { name, before: was, after: is, state: stateOf(was, is) };
  });
}

function stateOf(before?: string, after?: string): Difference["state"] {
  if (before === undefined) return "added";
  if (after === undefined) return "removed";
  return before === after ? "same" : "changed";
}

/** As text; a repeated name has all its values. */
function membersOf(object?: JsonObject): Map<string, string> {
  const members = new Map<string, string>();
  for (const [name, value] of object?.members ?? []) {
    const own = value.kind === "string" ? value.value : formatJson(value);
    const known = members.get(name);
    members.set(name, known === undefined ? own : `${known}\n${own}`);
  }
  return members;
}

// A tolerant reader of JSON: it keeps what is before an error, finds repeated member names, and keeps
// all digits of numbers. JSON.parse does none of that.

export type Json =
  | { kind: "array"; items: Json[] }
  | { kind: "literal"; value: boolean | null }
  | { kind: "number"; raw: string }
  | JsonObject
  | { kind: "string"; value: string };

export interface JsonObject {
  kind: "object";
  /** In the order of the text; a repeated name is there as often as it was written. */
  members: Array<[name: string, value: Json]>;
}

export interface JsonReading {
  /** What could be read; undefined if not even the beginning could. */
  value?: Json;
  /** The first error, at a character of the text; the text after it may have been read or not. */
  error?: { at: number; reason: string };
  /** Paths of the member names that appear more than once in one object. */
  repeated: string[];
  /** Paths of the numbers that JavaScript, like most JSON readers, cannot hold exactly. */
  imprecise: string[];
}

export function readJson(text: string): JsonReading {
  const reader = new Reader(text);
  let value: Json | undefined;
  let stop: Stop | undefined;
  try {
    reader.value("", 0, (begun) => { value ??= begun; });
    reader.end();
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    stop = error;
  }
  const { repeated, imprecise, overlooked = stop } = reader;
  const error = overlooked && { at: overlooked.at, reason: overlooked.reason };
  return { value, error, repeated, imprecise };
}

/** The member that JSON.parse would keep: the last one of that name. */
export function member(object: Json | undefined, name: string): Json | undefined {
  if (object?.kind !== "object") return undefined;
  return object.members.findLast(([own]) => own === name)?.[1];
}

/** The text of a member that is a string. */
export function textMember(object: Json | undefined, name: string): string | undefined {
  const found = member(object, name);
  return found?.kind === "string" ? found.value : undefined;
}

/** The number that a member is. */
export function numberMember(object: Json | undefined, name: string): number | undefined {
  const found = member(object, name);
  return found?.kind === "number" ? Number(found.raw) : undefined;
}

/** Formats a value for people, with repeated names and all digits. */
export function formatJson(json: Json, indent = ""): string {
  const deeper = `${indent}  `;
  switch (json.kind) {
    case "array": {
      if (json.items.length === 0) return "[]";
      const items = json.items.map((item) => deeper + formatJson(item, deeper));
      return `[\n${items.join(",\n")}\n${indent}]`;
    }
    case "literal": return String(json.value);
    case "number": return json.raw;
    case "object": {
      if (json.members.length === 0) return "{}";
      const members = json.members.map(
        ([name, value]) => `${deeper}${JSON.stringify(name)}: ${formatJson(value, deeper)}`,
      );
      return `{\n${members.join(",\n")}\n${indent}}`;
    }
    case "string": return JSON.stringify(json.value);
  }
}

class Stop extends Error {
  constructor(readonly at: number, readonly reason: string) {
    super(reason);
  }
}

/** A reader of one text; it collects its findings in its fields. */
class Reader {
  readonly repeated: string[] = [];
  readonly imprecise: string[] = [];
  /** An error that did not end the reading. */
  overlooked: { at: number; reason: string } | undefined;
  private at = 0;

  constructor(private readonly text: string) {}

  /** Reads one value; `begun` gets it before its members are read, because those may be broken. */
  value(path: string, depth: number, begun?: (value: Json) => void): Json {
    if (depth > MAX_DEPTH) this.stop(`nested deeper than ${MAX_DEPTH} levels`);
    this.space();
    const next = this.text[this.at];
    if (next === "{") return this.object(path, depth, begun);
    if (next === "[") return this.array(path, depth, begun);
    const value = next === '"' ? this.string() : this.scalar(path);
    begun?.(value);
    return value;
  }

  end(): void {
    this.space();
    if (this.at < this.text.length) this.stop("something follows the end of the JSON value");
  }

  private object(path: string, depth: number, begun?: (value: Json) => void): Json {
    const object: JsonObject = { kind: "object", members: [] };
    begun?.(object);
    const names = new Set<string>();
    this.at += 1;
    if (this.take("}")) return object;
    do {
      this.space();
      if (this.text[this.at] !== '"') this.stop("a member name in double quotes is missing");
      const name = this.string().value;
      const own = path === "" ? name : `${path}.${name}`;
      if (names.has(name)) this.note(this.repeated, own);
      names.add(name);
      if (!this.take(":")) this.stop("a colon is missing after the member name");
      this.value(own, depth + 1, (value) => object.members.push([name, value]));
    } while (this.take(","));
    if (!this.take("}")) this.stop("a comma or } is missing");
    return object;
  }

  private array(path: string, depth: number, begun?: (value: Json) => void): Json {
    const array: Json = { kind: "array", items: [] };
    begun?.(array);
    this.at += 1;
    if (this.take("]")) return array;
    do {
      const own = `${path}[${array.items.length}]`;
      this.value(own, depth + 1, (value) => array.items.push(value));
    } while (this.take(","));
    if (!this.take("]")) this.stop("a comma or ] is missing");
    return array;
  }

  private string(): Extract<Json, { kind: "string" }> {
    const start = this.at;
    this.at += 1;
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (Number.isNaN(code)) this.stop("the text ends within a string");
      if (code === 0x22) break;
      if (code < 0x20) {
        const reason = "a control character in a string is not escaped";
        this.overlooked ??= { at: this.at, reason };
      }
      this.at += code === 0x5c ? this.escape() : 1;
    }
    this.at += 1;
    const raw = this.text.slice(start, this.at).replace(CONTROLS, escaped);
    return { kind: "string", value: JSON.parse(raw) };
  }

  /** How long the escape sequence here is. */
  private escape(): number {
    ESCAPE.lastIndex = this.at;
    const found = ESCAPE.exec(this.text);
    if (found === null) this.stop("a backslash begins no escape that JSON knows");
    return found[0].length;
  }

  private scalar(path: string): Json {
    SCALAR.lastIndex = this.at;
    const raw = SCALAR.exec(this.text)?.[0];
    if (raw === undefined) {
      const isAtEnd = this.at >= this.text.length;
      this.stop(isAtEnd ? "the text ends where a value is expected" : "this does not begin a JSON value");
    }
    this.at += raw.length;
    if (raw === "null") return { kind: "literal", value: null };
    if (raw === "true" || raw === "false") return { kind: "literal", value: raw === "true" };
    if (isImprecise(raw)) this.note(this.imprecise, path);
    return { kind: "number", raw };
  }

  private take(character: string): boolean {
    this.space();
    if (this.text[this.at] !== character) return false;
    this.at += 1;
    return true;
  }

  private space(): void {
    SPACE.lastIndex = this.at;
    this.at += SPACE.exec(this.text)?.[0].length ?? 0;
  }

  private note(list: string[], path: string): void {
    if (list.length < MAX_NOTED && !list.includes(path)) list.push(path);
  }

  private stop(reason: string): never {
    const isAtEnd = this.at >= this.text.length && !reason.startsWith("the text ends");
    throw new Stop(this.at, isAtEnd ? `the text ends: ${reason}` : reason);
  }
}

function escaped(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function isImprecise(raw: string): boolean {
  const value = Number(raw);
  if (!Number.isFinite(value) || raw.length > MAX_DIGITS) return true;
  if (/^-?\d+$/.test(raw)) return !Number.isSafeInteger(value);
  return significant(raw).length > 15 && significant(raw) !== significant(String(value));
}

function significant(number: string): string {
  const digits = number.replace(/e.*$/i, "").replace(/[-.]/g, "");
  return digits.replace(/^0+/, "").replace(/0+$/, "");
}

const MAX_DEPTH = 128;
const MAX_DIGITS = 400;
const MAX_NOTED = 20;
const CONTROLS = /[\u0000-\u001f]/g;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const SPACE = /[ \t\r\n]*/y;

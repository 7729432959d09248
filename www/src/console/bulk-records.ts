// Reads a file of records in pieces: lines of NDJSON, or rows of CSV (RFC 4180). Only one piece of the
// file and one record are in memory at a time.

export type Format = "csv" | "ndjson";

/** A record, and the line it begins in. */
export interface FileRecord {
  line: number;
  /** The row's fields, or the line as a single one. */
  fields: string[];
  /** Why it cannot be read. */
  complaint?: string;
  /** About how many bytes of the file were read so far. */
  taken: number;
}

/** By the name, else by the first character. */
export function formatOf(name: string, start: string): Format {
  if (/\.(ndjson|jsonl)$/i.test(name)) return "ndjson";
  if (/\.csv$/i.test(name)) return "csv";
  return start.trimStart().startsWith("{") ? "ndjson" : "csv";
}

/** Empty lines are skipped. Throws what the stream throws. */
export async function* recordsOf(
  stream: ReadableStream<Uint8Array>,
  format: Format,
): AsyncGenerator<FileRecord> {
  const decoder = new TextDecoder();
  const parser = format === "csv" ? new CsvParser() : new LineParser();
  const reader = stream.getReader();
  let beforeBytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const sizeBytes = value?.byteLength ?? 0;
      const text = done ? decoder.decode() : decoder.decode(value, { stream: true });
      // Large pieces are cut, so that the page stays responsive.
      for (let at = 0; at < text.length || at === 0; at += PIECE_CHARS) {
        parser.push(text.slice(at, at + PIECE_CHARS));
        const share = Math.min(1, (at + PIECE_CHARS) / Math.max(1, text.length));
        yield* parser.complete(beforeBytes + Math.round(sizeBytes * share));
        if (at > 0) await new Promise((resolve) => setTimeout(resolve));
      }
      beforeBytes += sizeBytes;
      if (!done) continue;
      parser.end();
      yield* parser.complete(beforeBytes);
      return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Collects complete records until they are read. */
abstract class Parser {
  protected line = 1;
  protected start = 1;
  #complete: Omit<FileRecord, "taken">[] = [];

  abstract push(text: string): void;
  abstract end(): void;

  *complete(taken: number): Generator<FileRecord> {
    const complete = this.#complete;
    this.#complete = [];
    for (const record of complete) yield { ...record, taken };
  }

  protected add(fields: string[], complaint?: string) {
    const isEmpty = fields.every((field) => field.trim() === "") && complaint === undefined;
    const record = { line: this.start, fields };
    if (!isEmpty) this.#complete.push(complaint === undefined ? record : { ...record, complaint });
  }
}

class LineParser extends Parser {
  #text = "";
  #isTooLong = false;

  push(text: string) {
    const lines = (this.#text + text).split("\n");
    this.#text = lines.pop() ?? "";
    for (const line of lines) this.#finish(line);
    if (this.#text.length > MAX_RECORD_CHARS) {
      this.#isTooLong = true;
      this.#text = "";
    }
  }

  end() {
    if (this.#text !== "" || this.#isTooLong) this.#finish(this.#text);
    this.#text = "";
  }

  #finish(line: string) {
    this.start = this.line;
    const isTooLong = this.#isTooLong || line.length > MAX_RECORD_CHARS;
    this.add(isTooLong ? [] : [line.trim()], isTooLong ? TOO_LONG : undefined);
    this.#isTooLong = false;
    this.line += 1;
  }
}

/** Quoted fields may hold commas, doubled quotes and line breaks. */
class CsvParser extends Parser {
  #fields: string[] = [];
  #field = "";
  #chars = 0;
  #state: "plain" | "quoted" | "closed" | "skipping" = "plain";

  push(text: string) {
    for (const char of text) this.#take(char);
  }

  end() {
    if (this.#state === "quoted") this.#fail("a quote is never closed");
    else if (this.#state !== "skipping") this.#endRecord();
  }

  #take(char: string) {
    if (char === "\n") this.line += 1;
    if (this.#state === "skipping") {
      if (char === "\n") this.#begin();
      return;
    }
    this.#chars += 1;
    if (this.#chars > MAX_RECORD_CHARS) {
      this.#fail(TOO_LONG);
      this.#state = char === "\n" ? "plain" : "skipping";
      return;
    }
    if (this.#state === "quoted") {
      if (char === '"') this.#state = "closed";
      else this.#field += char;
    } else if (char === ",") {
      this.#endField();
    } else if (char === "\n") {
      this.#endRecord();
    } else if (this.#state === "closed") {
      // A doubled quote is one; what else follows a quote is a carriage return or a mistake.
      if (char === '"') this.#state = "quoted";
      if (char.trim() !== "") this.#field += char;
    } else if (char === '"' && this.#field.trim() === "") {
      this.#field = "";
      this.#state = "quoted";
    } else {
      this.#field += char;
    }
  }

  #endField() {
    this.#fields.push(this.#state === "closed" ? this.#field : this.#field.trim());
    this.#field = "";
    this.#state = "plain";
  }

  #endRecord() {
    this.#endField();
    this.add(this.#fields);
    this.#begin();
  }

  #fail(complaint: string) {
    this.add([], complaint);
    this.#begin();
  }

  #begin() {
    this.#fields = [];
    this.#field = "";
    this.#chars = 0;
    this.#state = "plain";
    this.start = this.line;
  }
}

const TOO_LONG = "is longer than 32,768 characters, or a quote is never closed";
const MAX_RECORD_CHARS = 32_768;
const PIECE_CHARS = 65_536;

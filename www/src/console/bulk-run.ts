// Sends many revocations, a thousand at a time. A run can be paused, resumed and cancelled, and it
// collects what failed.
//
// A request is accepted as a whole or not at all. The control plane names the first entry that it
// refuses. The entries before it are then sent alone, and after them the rest.

import type { Accepted } from "../shared/answers";
import { isRow, refused, type Failure, type Row } from "./bulk-rows";
import { delayMs } from "./polling";
import { freshIdempotencyKey, type Answer, type Problem } from "../shared/request";

export type Send = (body: string, idempotencyKey: string) => Promise<Answer<Accepted>>;
/** The rows to send, and how much of the file was read for each. */
export type Source = AsyncIterable<{ row: Row | Failure; taken: number }>;

export interface Progress {
  /** It is `cancelling` until the current request has ended. */
  phase: "running" | "waiting" | "paused" | "done" | "cancelling" | "cancelled";
  /** Rows read. */
  rows: number;
  taken: number;
  accepted: number;
  failed: number;
  requests: number;
  /** The newest answer: every accepted row is revoked from this position on. */
  last: Accepted | null;
  /** Why it waits, or paused automatically. */
  problem: Problem | null;
}

export class BulkRun {
  /** The first 50,000 in the order in which they failed. */
  readonly failures: Failure[] = [];
  #progress: Progress = {
    phase: "running", rows: 0, taken: 0, accepted: 0, failed: 0, requests: 0,
    last: null, problem: null,
  };
  readonly #send: Send;
  readonly #onProgress: (progress: Progress) => void;
  #wake = () => {};
  #refusedInARow = 0;
  #patience = MANY_REFUSALS;

  constructor(send: Send, onProgress: (progress: Progress) => void) {
    this.#send = send;
    this.#onProgress = onProgress;
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** Runs to the end, and never throws. */
  async run(source: Source): Promise<void> {
    // A request has one reason, so that rows are gathered by theirs.
    const batches = new Map<string, Row[]>();
    try {
      for await (const { row, taken } of source) {
        const { rows } = this.#progress;
        this.#note({ rows: rows + 1, taken });
        if (isRow(row)) await this.#gather(batches, row);
        else this.#fail(row);
        if (this.#isCancelled) break;
      }
      for (const batch of batches.values()) await this.#deliver(batch);
    } catch {
      const detail = "The file could not be read to its end. Did it change or move?";
      this.#note({ problem: { status: 0, code: "unreadable_file", detail } });
    }
    this.#set({ phase: this.#isCancelled ? "cancelled" : "done" });
  }

  pause() {
    if (["running", "waiting"].includes(this.#progress.phase)) this.#set({ phase: "paused" });
  }

  resume() {
    if (this.#progress.phase === "paused") this.#set({ phase: "running", problem: null });
    this.#wake();
  }

  /** What was accepted stays revoked; the current request ends first. */
  cancel() {
    if (!["done", "cancelled"].includes(this.#progress.phase)) this.#set({ phase: "cancelling" });
    this.#wake();
  }

  async #gather(batches: Map<string, Row[]>, row: Row) {
    const batch = batches.get(row.reason) ?? [];
    batch.push(row);
    batches.set(row.reason, batch);
    if (batch.length < BATCH && batches.size <= MAX_BATCHES) return;
    const largest = [...batches.values()].reduce((a, b) => (b.length > a.length ? b : a));
    batches.delete(largest[0]?.reason ?? "");
    await this.#deliver(largest);
  }

  /** Sends the rows until each is accepted or has failed. */
  async #deliver(batch: Row[]) {
    const parts = [batch];
    for (let rows = parts.shift(); rows !== undefined; rows = parts.shift()) {
      if (rows.length === 0) continue;
      const answer = await this.#insist(rows);
      if (answer === null) return;
      if (answer.ok) {
        this.#refusedInARow = 0;
        const accepted = this.#progress.accepted + rows.length;
        this.#note({ accepted, last: answer.value, problem: null });
        continue;
      }
      parts.unshift(...this.#afterRefusal(rows, answer.problem));
    }
  }

  /** Takes out the row that was refused; returns what to send instead. */
  #afterRefusal(rows: Row[], problem: Problem): Row[][] {
    const { code, detail, status } = problem;
    const index = indexOf(problem) ?? (rows.length === 1 ? 0 : -1);
    const row = rows[index];
    if (row === undefined) {
      const half = Math.ceil(rows.length / 2);
      return [rows.slice(0, half), rows.slice(half)];
    }
    this.#fail(refused(row, code, withoutPlace(detail, index)));
    this.#refusedInARow += 1;
    if (this.#refusedInARow === this.#patience && !this.#isCancelled) {
      this.#patience *= 10;
      const why = `${this.#refusedInARow} rows were refused in a row, the last one with: ${detail}`;
      this.#set({ phase: "paused", problem: { status, code, detail: why } });
    }
    return [rows.slice(0, index), rows.slice(index + 1)];
  }

  /** Repeats with the same idempotency key until there is a final answer; null if cancelled. */
  async #insist(rows: Row[]): Promise<Answer<Accepted> | null> {
    const reason = rows[0]?.reason ?? "";
    const revocations = rows.map(({ entry }) => entry);
    const body = JSON.stringify({ revocations, ...(reason !== "" && { reason }) });
    const key = freshIdempotencyKey();
    for (let failures = 0; ; ) {
      await this.#turn();
      if (this.#isCancelled) return null;
      const answer = await this.#send(body, key);
      this.#note({ requests: this.#progress.requests + 1 });
      if (answer.ok || isFinal(answer.problem)) return answer;
      failures += 1;
      const { problem } = answer;
      const isHopeless = [401, 403].includes(problem.status) || failures >= MAX_ATTEMPTS;
      if (this.#isCancelled) return null;
      if (isHopeless) {
        failures = 0;
        this.#set({ phase: "paused", problem });
      } else if (this.#is("running")) {
        this.#set({ phase: "waiting", problem });
        await this.#sleep(delayMs(failures));
        if (this.#is("waiting")) this.#set({ phase: "running" });
      }
    }
  }

  /** Waits while it is paused. */
  async #turn() {
    while (this.#is("paused")) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #sleep(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, waitMs);
    });
  }

  get #isCancelled(): boolean {
    return this.#is("cancelling");
  }

  #is(phase: Progress["phase"]): boolean {
    return this.#progress.phase === phase;
  }

  #fail(failure: Failure) {
    if (this.failures.length < MAX_FAILURES) this.failures.push(failure);
    this.#note({ failed: this.#progress.failed + 1 });
  }

  #set(change: Partial<Progress>) {
    this.#note(change);
    this.#onProgress(this.#progress);
  }

  /** Only remembered: the view reads it a few times a second. */
  #note(change: Partial<Progress>) {
    this.#progress = { ...this.#progress, ...change };
  }
}

/** The entry that a problem is about: `/revocations/17/exp` is in the entry 17. */
function indexOf({ pointer = "" }: Problem): number | undefined {
  const [, list, index] = pointer.split("/");
  return list === "revocations" && index !== undefined ? Number(index) : undefined;
}

/** The report names the line, so the place in the request would confuse. */
function withoutPlace(detail: string, index: number): string {
  const place = `revocations[${index}]`;
  return detail.startsWith(place) ? detail.slice(place.length + 1).trim() : detail;
}

/** Whether repeating the request cannot change the answer. */
function isFinal({ status }: Problem): boolean {
  return status >= 400 && status < 500 && ![401, 403, 408, 425, 429].includes(status);
}

const BATCH = 1000;
/** How many reasons are collected at the same time. */
const MAX_BATCHES = 50;
const MAX_ATTEMPTS = 8;
/** After this many refusals without a success the run pauses for a person to look. */
const MANY_REFUSALS = 20;
export const MAX_FAILURES = 50_000;

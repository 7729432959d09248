// One submit at a time, each with an idempotency key: a second click records nothing twice.

import { useRef, useState } from "preact/hooks";
import { freshIdempotencyKey, type Answer } from "./request";

export interface Submit<T> {
  isBusy: boolean;
  /** The newest answer. */
  answer: Answer<T> | null;
  /** Sends `content`; null if another submit is under way. */
  send(content: string, call: Call<T>): Promise<Answer<T> | null>;
  clear(): void;
}

export function useSubmit<T>(): Submit<T> {
  const [isBusy, setBusy] = useState(false);
  const [answer, setAnswer] = useState<Answer<T> | null>(null);
  const underWay = useRef(false);
  const named = useRef<Named | null>(null);
  return {
    isBusy,
    answer,
    clear: () => setAnswer(null),
    async send(content, call) {
      if (underWay.current) return null;
      underWay.current = true;
      setBusy(true);
      const request = nameFor(named.current, content, performance.now());
      named.current = request;
      const received = await call(request.key);
      const isOpen = !received.ok && (received.problem.status === 0 || received.problem.status >= 500);
      request.goodUntilMs = isOpen ? Infinity : performance.now() + SECOND_CLICK_MS;
      underWay.current = false;
      setBusy(false);
      setAnswer(received);
      return received;
    },
  };
}

/** The same content keeps its key while the outcome is unknown, and for a second click after it. */
function nameFor(before: Named | null, content: string, nowMs: number): Named {
  if (before !== null && before.content === content && nowMs < before.goodUntilMs) return before;
  return { content, key: freshIdempotencyKey(), goodUntilMs: Infinity };
}

type Call<T> = (idempotencyKey: string) => Promise<Answer<T>>;

interface Named {
  content: string;
  key: string;
  goodUntilMs: number;
}

/** Revoking the same user again later is another request: the user may have new tokens. */
const SECOND_CLICK_MS = 2000;

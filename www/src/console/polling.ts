// One round after the other while the console is in view, and fewer of them when they fail.

import { useEffect, useRef, useState } from "preact/hooks";

export interface Polling {
  /** When the next attempt begins after a failed one, milliseconds since 1970. */
  retryAtMs: number | null;
  /** Begins it now. */
  retry(): void;
}

/** Runs `round` every second while `isActive`; `round` resolves with whether it succeeded. */
export function usePolling(isActive: boolean, round: () => Promise<boolean>): Polling {
  const isVisible = useVisibility();
  const newest = useRef(round);
  newest.current = round;
  const [retryAtMs, setRetryAt] = useState<number | null>(null);
  const wake = useRef(() => {});
  const isRunning = isActive && isVisible;
  useEffect(() => {
    if (!isRunning) return;
    let isOver = false;
    const loop = async () => {
      // The round of a loop before this one may still be under way.
      await pending;
      for (let failures = 0; !isOver; ) {
        const began = performance.now();
        pending = newest.current().catch(() => false);
        failures = (await pending) ? 0 : failures + 1;
        if (isOver) return;
        const waitMs = delayMs(failures) - (failures > 0 ? 0 : performance.now() - began);
        setRetryAt(failures > 0 ? Date.now() + waitMs : null);
        await new Promise<void>((resolve) => {
          wake.current = resolve;
          setTimeout(resolve, waitMs);
        });
      }
    };
    loop();
    return () => {
      isOver = true;
      wake.current();
    };
  }, [isRunning]);
  return { retryAtMs, retry: () => wake.current() };
}

/** 1, 2, 4, 8 and then 15 seconds. */
export function delayMs(failures: number): number {
  return failures === 0 ? 1000 : Math.min(15_000, 1000 * 2 ** (failures - 1));
}

/** The time, updated every second while it is needed. */
export function useSecondHand(isNeeded: boolean): number {
  const [nowMs, setNow] = useState(Date.now());
  useEffect(() => {
    if (!isNeeded) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [isNeeded]);
  return nowMs;
}

function useVisibility(): boolean {
  const [isVisible, setVisible] = useState(!document.hidden);
  useEffect(() => {
    const follow = () => setVisible(!document.hidden);
    document.addEventListener("visibilitychange", follow);
    return () => document.removeEventListener("visibilitychange", follow);
  }, []);
  return isVisible;
}

/** The current round: there is never more than one. */
let pending: Promise<boolean> = Promise.resolve(true);

// One round after the other while somebody looks, and fewer of them when they fail.

import { useEffect, useRef, useState } from "preact/hooks";

export interface Polling {
  /** When the next attempt begins after one that failed, milliseconds since 1970. */
  retryAtMs: number | null;
  /** Begins it now. */
  retry(): void;
}

/** Runs `round` every second while `isActive`; it says whether it succeeded. */
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
        const wait_ms = delay_ms(failures) - (failures > 0 ? 0 : performance.now() - began);
        setRetryAt(failures > 0 ? Date.now() + wait_ms : null);
        await new Promise<void>((resolve) => {
          wake.current = resolve;
          setTimeout(resolve, wait_ms);
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
export function delay_ms(failures: number): number {
  return failures === 0 ? 1000 : Math.min(15_000, 1000 * 2 ** (failures - 1));
}

/** The time, anew every second while it is needed. */
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

/** The round under way: there is never more than one. */
let pending: Promise<boolean> = Promise.resolve(true);

// The timer of the inspector. It calls its listeners once a second, and stops while the view is
// hidden.

import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";

export class Clock {
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setInterval> | undefined;

  /** Calls back every second until the returned function is called. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  start(): void {
    if (this.timer !== undefined) return;
    this.beat();
    this.timer = setInterval(() => this.beat(), 1000);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private beat(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

export const Beats = createContext(new Clock());

/** Unix seconds, updated every second while the view is shown. */
export function useNow(): number {
  const clock = useContext(Beats);
  const [now, renew] = useState(unixSeconds);
  useEffect(() => clock.listen(() => renew(unixSeconds())), [clock]);
  return now;
}

export function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

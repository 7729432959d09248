// A bulk run for a view, which reads its progress a few times a second.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Access } from "./access";
import type { Failure } from "./bulk-rows";
import { BulkRun, type Progress, type Source } from "./bulk-run";

export interface Bulk {
  progress: Progress | null;
  /** What `progress.taken` counts up to. */
  total: number;
  /** It has begun, and has neither finished nor been cancelled. */
  isActive: boolean;
  begin(source: Source, total: number): void;
  pause(): void;
  resume(): void;
  cancel(): void;
  clear(): void;
  failures(): readonly Failure[];
}

export function useBulkRun(access: Access): Bulk {
  const run = useRef<BulkRun | null>(null);
  const [progress, setProgress] = useState<Progress | null>(null);
  const [total, setTotal] = useState(0);
  // After another sign-in during a pause the run continues with the new key.
  const plane = useRef(access.plane);
  plane.current = access.plane;
  const isActive = progress !== null && !["done", "cancelled"].includes(progress.phase);
  useEffect(() => {
    if (!isActive) return;
    const timer = setInterval(() => setProgress(run.current?.progress ?? null), LOOK_EVERY_MS);
    const warn = (event: Event) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => {
      clearInterval(timer);
      removeEventListener("beforeunload", warn);
    };
  }, [isActive]);
  useEffect(() => () => run.current?.cancel(), []);
  const begin = (source: Source, its: number) => {
    const made = new BulkRun(
      (body, key) => plane.current.revoke(body, key),
      (now) => made === run.current && setProgress(now),
    );
    run.current?.cancel();
    run.current = made;
    setTotal(its);
    setProgress(made.progress);
    made.run(source);
  };
  return {
    progress,
    total,
    isActive,
    begin,
    pause: () => run.current?.pause(),
    resume: () => run.current?.resume(),
    cancel: () => run.current?.cancel(),
    clear: () => {
      run.current = null;
      setProgress(null);
    },
    failures: () => run.current?.failures ?? [],
  };
}

const LOOK_EVERY_MS = 250;

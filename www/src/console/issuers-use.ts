// The registered issuers, as the parts of the console share them.

import { useEffect, useState } from "preact/hooks";
import type { Issuer, IssuerList } from "../shared/answers";
import type { Answer, Problem } from "../shared/request";
import type { Access } from "./access";

export interface Issuers {
  /** By name. */
  list: readonly Issuer[];
  problem: Problem | null;
  reload(): Promise<void>;
}

/** Requests the issuers whenever a part that needs them comes into view. */
export function useIssuers(access: Access, isNeeded: boolean): Issuers {
  const [answer, setAnswer] = useState<Answer<IssuerList> | null>(null);
  const { plane, refusal } = access;
  const canAsk = plane.hasKey && refusal === null;
  const reload = async () => setAnswer(await plane.issuers());
  useEffect(() => {
    if (isNeeded && canAsk) void reload();
  }, [isNeeded, canAsk, plane]);
  return {
    list: canAsk && answer?.ok ? answer.value.issuers : [],
    problem: canAsk && answer?.ok === false ? answer.problem : null,
    reload,
  };
}

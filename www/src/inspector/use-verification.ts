// Keeps the verdict on one subject, and clears it as soon as the subject changes.

import { useContext, useEffect, useRef, useState } from "preact/hooks";
import { Beats } from "./clock";
import { pollFeed, type FeedState } from "./feed-poll";
import type { FetchElsewhere } from "./issuer-keys";
import { prepare, type Judgement, type Subject, type Verification } from "./verification";

/** What is known about the subject that is shown. */
export interface Verified {
  isBusy: boolean;
  problem?: string;
  verification?: Verification;
  judgement?: Judgement;
  feed?: FeedState;
}

export function useVerification(
  subject: Subject,
  isShown: boolean,
  fetchElsewhere: FetchElsewhere,
): { verified: Verified; verify: () => Promise<void> } {
  const [held, hold] = useState<Verified & { subject?: Subject }>({ isBusy: false });
  const latest = useRef<Subject | undefined>(subject);
  latest.current = subject;
  const verified = held.subject === subject ? held : NOTHING;

  useEffect(() => () => { latest.current = undefined; }, []);
  const verify = async () => {
    hold({ subject, isBusy: true });
    const found = await prepare(subject, fetchElsewhere);
    const isSuperseded = latest.current !== subject;
    if ("problem" in found) {
      if (!isSuperseded) hold({ subject, isBusy: false, problem: found.problem });
    } else if (isSuperseded) {
      found.close();
    } else {
      hold({ subject, isBusy: false, verification: found, judgement: found.judge() });
    }
  };
  useFollowing(verified.verification, subject, isShown, fetchElsewhere, (news) =>
    hold((known) => (known.subject === subject ? { ...known, ...news } : known)));
  return { verified, verify };
}

/** Judges again with every beat and every snapshot, while shown. */
function useFollowing(
  verification: Verification | undefined,
  { feed }: Subject,
  isShown: boolean,
  fetchElsewhere: FetchElsewhere,
  report: (news: Partial<Verified>) => void,
): void {
  const clock = useContext(Beats);
  useEffect(() => () => verification?.close(), [verification]);
  useEffect(() => {
    if (verification === undefined || !isShown) return undefined;
    let last = "";
    const judge = () => {
      const judgement = verification.judge();
      const { code, evidence } = judgement.verdict;
      const seen = JSON.stringify([code, evidence]);
      // Without a change nothing is rendered again.
      if (seen === last) return;
      last = seen;
      report({ judgement });
    };
    judge();
    const stopBeats = clock.listen(judge);
    const stopPolls = feed && pollFeed(feed, verification, fetchElsewhere, (state) => {
      report({ feed: state });
      judge();
    });
    return () => {
      stopBeats();
      stopPolls?.();
    };
  }, [verification, isShown, clock]);
}

const NOTHING: Verified = { isBusy: false };

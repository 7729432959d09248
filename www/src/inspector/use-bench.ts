// What the inspector's form holds, and what can be done with it.

import { useEffect, useMemo, useState } from "preact/hooks";
import { unixSeconds } from "./clock";
import { decode, type Decoded } from "./decode";
import { makeExample } from "./example";
import {
  AS_THE_TOKEN_SAYS, EMPTY_FORM, exampleForm, subjectOf, type Change, type Form,
} from "./form";
import { fetchJwks, findIssuerKeys, messageOf, type FetchElsewhere } from "./issuer-keys";
import { useVerification } from "./use-verification";

export interface Given {
  isShown: boolean;
  fetchElsewhere: FetchElsewhere;
  ownsPage: boolean;
  /** A token that was handed in; each time another object. */
  given?: { token: string };
  keysUrl?: string;
}

export interface KeysFetch {
  isBusy: boolean;
  problem?: string;
  /** Where the keys came from. */
  found?: string;
}

export function useBench({ isShown, fetchElsewhere, ownsPage, given, keysUrl }: Given) {
  const [form, setForm] = useState<Form>(() => ({ ...EMPTY_FORM, ...given, keysFrom: keysUrl }));
  const [fetching, setFetching] = useState<KeysFetch>({ isBusy: false });
  const [problem, setProblem] = useState("");
  const [wishes, wish] = useState(0);
  const change: Change = (fields) => {
    // What was said of other keys, or of another issuer, is said no more.
    if ("keysText" in fields || "keysFrom" in fields) setFetching({ isBusy: false });
    setForm((known) => ({ ...known, ...fields }));
  };
  const decoded = useMemo(() => decode(form.token), [form.token]);
  const subject = useSubject(form, decoded);
  const { verified, verify } = useVerification(subject, isShown, fetchElsewhere);
  useEffect(() => {
    // What was expected of another token is not expected of one that is handed in.
    if (given !== undefined) setForm((known) => ({ ...known, ...AS_THE_TOKEN_SAYS, ...given }));
  }, [given]);
  useEffect(() => {
    if (wishes > 0) void verify();
  }, [wishes]);
  useOwnFeed(ownsPage && isShown, (feedUrl) =>
    setForm((known) => (known.feedUrl === "" ? { ...known, feedUrl } : known)));
  const fetchKeys = async (address: string) => {
    setFetching({ isBusy: true });
    try {
      const isKeySet = address === keysUrl || /\.json$/.test(address);
      const found = await (isKeySet ? fetchJwks : findIssuerKeys)(address, fetchElsewhere);
      change({ keysText: found.text });
      setFetching({ isBusy: false, found: found.jwksUrl });
      wish((known) => known + 1);
    } catch (error) {
      setFetching({ isBusy: false, problem: messageOf(error) });
    }
  };
  useEffect(() => {
    if (keysUrl !== undefined && given !== undefined) void fetchKeys(keysUrl);
  }, [keysUrl, given]);
  const tryExample = async () => {
    try {
      const example = await makeExample(unixSeconds());
      change(exampleForm(example));
      wish((known) => known + 1);
      setProblem("");
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return {
    form, change, decoded, subject, verified, verify, fetching, fetchKeys, problem, tryExample,
  };
}

/** The same object until something that a verdict depends on is another. */
function useSubject(form: Form, decoded: Decoded) {
  return useMemo(() => subjectOf(form, decoded), [
    decoded, form.keysText, form.secretEncoding, form.issuer, form.audience, form.types,
    form.leewaySeconds, form.followsFeed, form.feedUrl, form.feedPublicKeys, form.feedId,
    form.apiKey,
  ]);
}

/** A control plane that serves the page itself has the feed as well. */
function useOwnFeed(isWanted: boolean, found: (feedUrl: string) => void): void {
  useEffect(() => {
    if (!isWanted || !location.protocol.startsWith("http")) return;
    fetch("/.well-known/jwks.json", { credentials: "omit" })
      .then((response) => (response.ok ? response.json() : undefined))
      .then((answer) => {
        if (Array.isArray(answer?.keys)) found(`${location.origin}/v1/feed`);
      })
      // Whoever else serves the page has no feed, and the field stays empty.
      .catch(() => {});
  }, [isWanted]);
}

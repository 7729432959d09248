// The state of the inspector's form, and what can be done with it.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { messageOf } from "../shared/message";
import { useSignIn } from "../shared/sign-in";
import { unixSeconds } from "./clock";
import { decode, type Decoded } from "./decode";
import { makeExample } from "./example";
import {
  AS_THE_TOKEN_SAYS, EMPTY_FORM, exampleForm, fetchedOf, keysAddressOf, subjectOf, type Change,
  type Form,
} from "./form";
import { fetchJwks, findIssuerKeys, type FetchElsewhere } from "./issuer-keys";
import { formOf } from "./keys";
import { useVerification } from "./use-verification";
import type { FeedSource } from "./verification";

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
}

export function useBench({ isShown, fetchElsewhere, ownsPage, given, keysUrl = "" }: Given) {
  const [form, setForm] = useState<Form>(() => ({ ...EMPTY_FORM, ...given, keysText: keysUrl }));
  const [fetching, setFetching] = useState<KeysFetch>({ isBusy: false });
  const [problem, setProblem] = useState("");
  const [wishes, wish] = useState(0);
  /** Counts what makes the result of an earlier fetch unwanted. */
  const turn = useRef(0);
  const change: Change = (fields) => {
    turn.current += 1;
    setFetching({ isBusy: false });
    setForm((known) => ({ ...known, ...fields }));
  };
  const decoded = useMemo(() => decode(form.token), [form.token]);
  const ownFeed = useOwnFeed(ownsPage);
  const subject = useSubject(form, decoded, ownFeed);
  const { verified, verify: judge } = useVerification(subject, isShown, fetchElsewhere);
  useEffect(() => {
    // What was expected of the token before is not expected of one that is handed in.
    if (given !== undefined) setForm((known) => ({ ...known, ...AS_THE_TOKEN_SAYS, ...given }));
  }, [given]);
  useEffect(() => {
    if (wishes > 0) void judge();
  }, [wishes]);
  useFeedHere(ownsPage && isShown, (feedUrl) =>
    setForm((known) => (known.feedUrl === "" ? { ...known, feedUrl } : known)));
  const fetchKeys = async (address: string) => {
    setFetching({ isBusy: true });
    const mine = (turn.current += 1);
    try {
      const isKeySet = formOf(form.keysText) === "address";
      const found = await (isKeySet ? fetchJwks : findIssuerKeys)(address, fetchElsewhere);
      if (mine !== turn.current) return;
      const fetched = { for: address, from: found.jwksUrl, text: found.text };
      setForm((known) => ({ ...known, fetched }));
      setFetching({ isBusy: false });
      wish((known) => known + 1);
    } catch (error) {
      if (mine !== turn.current) return;
      setForm((known) => ({ ...known, fetched: undefined }));
      setFetching({ isBusy: false, problem: messageOf(error) });
    }
  };
  /** Fetches the keys where none were pasted, then verifies. */
  const verify = async () => {
    const address = keysAddressOf(form, decoded);
    const canFetch = address !== undefined && decoded.form === "jws" && !fetching.isBusy;
    await (canFetch ? fetchKeys(address) : judge());
  };
  const isGiven = given !== undefined && form.token === given.token;
  useEffect(() => {
    if (keysUrl !== "" && isGiven) void verify();
  }, [keysUrl, isGiven && given]);
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
    form, change, decoded, subject, verified, verify, fetching, problem, tryExample, ownFeed,
    fetched: fetchedOf(form, decoded),
  };
}

/** The same object until something changes that a verdict depends on. */
function useSubject(form: Form, decoded: Decoded, ownFeed: FeedSource | undefined) {
  return useMemo(() => subjectOf(form, decoded, ownFeed), [
    decoded, ownFeed, form.keysText, form.fetched, form.secretEncoding, form.issuer, form.audience,
    form.types, form.leewaySeconds, form.followsFeed, form.usesOtherFeed, form.feedUrl,
    form.feedPublicKeys, form.feedId, form.apiKey, form.feedFile,
  ]);
}

/** The feed of the control plane that the console is signed in to. */
function useOwnFeed(ownsPage: boolean): FeedSource | undefined {
  const signIn = useSignIn();
  return useMemo(() => {
    const canFollow = ["feed:read", "keys:read"].every((scope) => signIn?.scopes.includes(scope));
    if (!ownsPage || signIn === null || !canFollow) return undefined;
    return { url: `${location.origin}/v1/feed`, id: signIn.issuer, apiKey: signIn.apiKey };
  }, [ownsPage, signIn]);
}

/** A control plane that serves the page has a feed, too: its address is a good first guess. */
function useFeedHere(isWanted: boolean, found: (feedUrl: string) => void): void {
  useEffect(() => {
    if (!isWanted || !location.protocol.startsWith("http")) return;
    fetch("/.well-known/jwks.json", { credentials: "omit" })
      .then((response) => (response.ok ? response.json() : undefined))
      .then((answer) => {
        if (Array.isArray(answer?.keys)) found(`${location.origin}/v1/feed`);
      })
      // Another server of the page has no feed, and the field stays empty.
      .catch(() => {});
  }, [isWanted]);
}

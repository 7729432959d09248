// The inspector shows what a token says, and separately whether it is valid. The token and everything
// that is typed here stay in the memory of this tab.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { fetchOutside } from "./outside";
import { Beats, Clock } from "./clock";
import { clearAddress, takeTokenFromAddress } from "./link";
import type { FetchElsewhere } from "./issuer-keys";
import { Workbench } from "./workbench";
import "./inspector.css";

interface Props {
  isShown: boolean;
  /** How other origins are reached; the page has a frame for that. */
  fetchElsewhere?: FetchElsewhere;
  /** True in the page, whose address may bring a token and whose origin may have a feed. */
  ownsPage?: boolean;
  /** What an embedding page hands in. */
  token?: string;
  keysUrl?: string;
}

export function Inspector({
  isShown,
  fetchElsewhere = fetchOutside,
  ownsPage = true,
  token,
  keysUrl,
}: Props) {
  const clock = useMemo(() => new Clock(), []);
  const [cleared, setCleared] = useState(0);
  const [given, setGiven] = useState(() => handOver(ownsPage ? takeTokenFromAddress() : token));
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (!isShown) return undefined;
    clock.start();
    return () => clock.stop();
  }, [isShown, clock]);
  useEffect(() => {
    if (ownsPage) return followTokens((found) => setGiven({ token: found }));
    setGiven(handOver(token));
    return undefined;
  }, [ownsPage, token]);
  useEffect(() => {
    if (cleared > 0) field.current?.focus();
  }, [cleared]);
  const clear = () => {
    if (ownsPage) clearAddress();
    setGiven(undefined);
    setCleared(cleared + 1);
  };
  return (
    <Beats.Provider value={clock}>
      <div class="inspector">
        <h1>Token inspector</h1>
        {/* Another key removes everything that was typed, and the field's undo list. */}
        <Workbench
          key={cleared} isShown={isShown} fetchElsewhere={fetchElsewhere} ownsPage={ownsPage}
          given={given} keysUrl={keysUrl} onClear={clear} fieldRef={field}
        />
        <p class="visually-hidden" role="status">{cleared > 0 && `Everything was cleared (${cleared}).`}</p>
      </div>
    </Beats.Provider>
  );
}

/** The same token handed over again is another object: it replaces what was typed since. */
function handOver(token: string | undefined): { token: string } | undefined {
  return token === undefined ? undefined : { token };
}

/** Tokens arrive by a link that is opened later, or from another view. */
function followTokens(take: (token: string) => void): () => void {
  const byAddress = () => {
    const token = takeTokenFromAddress();
    if (token !== undefined) take(token);
  };
  const byView = (event: Event) => {
    const token = (event as CustomEvent<{ token?: unknown }>).detail?.token;
    if (typeof token === "string") take(token);
  };
  addEventListener("hashchange", byAddress);
  addEventListener("offswitch:inspect", byView);
  return () => {
    removeEventListener("hashchange", byAddress);
    removeEventListener("offswitch:inspect", byView);
  };
}

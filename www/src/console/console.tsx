// The console of the control plane that serves this page.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import "./console.css";
import type { Readiness } from "../shared/answers";
import { SignInForm, useAccess, type Access } from "./access";
import { ApiKeys } from "./api-keys";
import { Boundary } from "./boundary";
import { Bulk } from "./bulk";
import { Elsewhere } from "./elsewhere";
import { count } from "../shared/format";
import { Followers } from "./followers";
import { Issuers } from "./issuers";
import { useIssuers } from "./issuers-use";
import { Keys } from "./keys";
import { Charts, Health } from "./live";
import { useLive, type Live } from "./live-use";
import { RecentLog } from "./log";
import { useSecondHand } from "./polling";
import { RedButton } from "./red-button";
import { RelyingParties } from "./relying-parties";
import type { Loading } from "../shared/request";
import { Revoke } from "./revoke";
import { RevokeClaims } from "./revoke-claims";
import { Users } from "./users";

export function Console({ isShown }: { isShown: boolean }) {
  return <Boundary><Inside isShown={isShown} /></Boundary>;
}

function Inside({ isShown }: { isShown: boolean }) {
  const access = useAccess();
  const live = useLive(access, isShown);
  const part = usePart();
  const { where, readiness } = live;
  if (where === null) return <p class="quiet" role="status">Connecting…</p>;
  if (readiness === null && where.place === "elsewhere") return <Elsewhere />;
  return (
    <div class="console">
      <h1 class="visually-hidden">Console</h1>
      <section class="card state" aria-label="Control plane and API key">
        <State live={live} readiness={readiness} />
        <SignInForm access={access} />
      </section>
      <nav class="parts" aria-label="Parts of the console">
        {PARTS.map(([name, text]) => (
          <a key={name} href={name === "live" ? "#console" : `#console/${name}`}
            aria-current={part === name ? "page" : undefined}>{text}</a>
        ))}
      </nav>
      {/* A sign-out removes what was fetched or typed before it. */}
      <Parts key={access.generation} access={access} live={live} part={part} isShown={isShown} />
    </div>
  );
}

interface PartsProps {
  access: Access;
  live: Live;
  part: Part;
  isShown: boolean;
}

function Parts({ access, live, part, isShown }: PartsProps) {
  const position = live.readiness?.position ?? "";
  const issuers = useIssuers(access, isShown && WITH_ISSUERS.includes(part));
  const inside: Record<Part, ComponentChildren> = {
    live: (
      <>
        <Charts access={access} history={live.history} problem={live.metricsProblem} />
        <div class="live-columns">
          <RecentLog access={access} log={live.log} problem={live.logProblem}
            onOlder={live.older} />
          {live.readiness && <Health readiness={live.readiness} status={access.status} />}
        </div>
      </>
    ),
    followers: <Followers access={access} isShown={isShown && part === "followers"} />,
    users: <Users access={access} />,
    revoke: (
      <>
        <Revoke access={access} />
        <RevokeClaims access={access} issuers={issuers} />
      </>
    ),
    bulk: <Bulk access={access} />,
    "red-button": <RedButton access={access} issuers={issuers}
      isShown={isShown && part === "red-button"} />,
    issuers: (
      <>
        <Issuers access={access} issuers={issuers} />
        <RelyingParties access={access} isShown={isShown && part === "issuers"} />
      </>
    ),
    keys: <Keys access={access} isShown={isShown && part === "keys"} position={position} />,
    "api-keys": <ApiKeys access={access} isShown={isShown && part === "api-keys"} />,
  };
  return (
    <>
      {PARTS.map(([name]) => (
        <div key={name} hidden={part !== name}><Boundary>{inside[name]}</Boundary></div>
      ))}
    </>
  );
}

function State({ live, readiness }: { live: Live; readiness: Readiness | null }) {
  const { where, polling } = live;
  const nowMs = useSecondHand(polling.retryAtMs !== null);
  const [look, word] = lightOf(where, readiness);
  const { findings = [] } = readiness ?? {};
  const leftSeconds = Math.max(0, Math.ceil(((polling.retryAtMs ?? 0) - nowMs) / 1000));
  const problem = where?.place === "silent" ? where.problem.detail
    : where?.place === "elsewhere" ? "This address is now served by something else." : null;
  return (
    <div class="state-line">
      <p class="tight row">
        <strong class={`light ${look}`} role="status">{word}</strong>
        {readiness && <span class="quiet">position <code>{readiness.position}</code></span>}
        {findings.length > 0 && (
          <a class="unknown" href="#console">
            {findings.length} {findings.length === 1 ? "finding" : "findings"}
          </a>
        )}
      </p>
      {where?.place === "starting" && (
        <p class="notice unknown tight">
          {progress(where.loading)} No other request is served until then.
          {readiness && " Below is the last known state."}
        </p>
      )}
      {problem !== null && (
        <div class="notice bad">
          <p class="tight" role="alert">
            {problem}{readiness && " Below is the last known state."}
          </p>
          <p class="row tight">
            <span class="quiet">Next attempt in {leftSeconds} s.</span>
            <button type="button" onClick={polling.retry}>Try now</button>
          </p>
        </div>
      )}
    </div>
  );
}

function lightOf(where: Live["where"], readiness: Readiness | null): [string, string] {
  if (where?.place === "starting") return ["unknown", "Starting"];
  if (where?.place !== "control_plane") return ["bad", "No answer"];
  return readiness?.ready ? ["good", "Ready"] : ["unknown", "Not ready"];
}

function progress({ read, of }: Loading): string {
  const far = of > 0 ? `: ${count(read)} of ${count(of)} records` : "";
  return `The control plane is reading its log${far}.`;
}

function usePart(): Part {
  const [part, setPart] = useState(partOf(location.hash) ?? "live");
  useEffect(() => {
    // Leaving for the inspector leaves the part as it is.
    const follow = () => setPart((before) => partOf(location.hash) ?? before);
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return part;
}

function partOf(hash: string): Part | null {
  if (!hash.startsWith("#console")) return null;
  const name = hash.slice("#console/".length);
  return PARTS.find(([one]) => one === name)?.[0] ?? "live";
}

type Part = "live" | "followers" | "users" | "revoke" | "bulk" | "issuers" | "keys" | "api-keys" | "red-button";
const PARTS: [Part, string][] = [
  ["live", "Live"],
  ["followers", "Followers"],
  ["users", "Users"],
  ["revoke", "Revoke"],
  ["bulk", "Bulk"],
  ["issuers", "Issuers"],
  ["keys", "Keys"],
  ["api-keys", "API keys"],
  ["red-button", "Red button"],
];
const WITH_ISSUERS: readonly Part[] = ["revoke", "issuers", "red-button"];

// What the control plane finds when it checks an issuer end to end.

import type { Check, Examined } from "../shared/answers";
import { ProblemNotice } from "../shared/outcome";
import type { Answer } from "../shared/request";
import { ShownText } from "../shared/shown-text";

/** `name` is the issuer that was checked, or is being checked. */
export function IssuerChecks({ name, isBusy, answer }: {
  name: string;
  isBusy: boolean;
  answer: Answer<Examined> | null;
}) {
  if (isBusy) return <p class="quiet">Checking <strong>{name}</strong>…</p>;
  if (answer === null) return null;
  if (!answer.ok) return <ProblemNotice problem={answer.problem} />;
  const { checks, result } = answer.value;
  const isGood = result === "ok";
  return (
    <div class={`notice ${isGood ? "good" : "bad"}`}>
      <strong>{name}</strong>: {isGood ? "every check is ok." : "see what to do:"}
      <ul class="plain">
        {checks.map((one, index) => <Line key={index} {...one} />)}
      </ul>
    </div>
  );
}

function Line({ check, subject, result, detail }: Check) {
  return (
    <li class="small">
      <span class={result === "ok" ? "good" : result === "failed" ? "bad" : "quiet"}>{result}</span>
      {" "}<code>{check}</code>{subject && <> <code><ShownText text={subject} /></code></>}
      : <ShownText text={detail} />
    </li>
  );
}

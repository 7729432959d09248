// The checks of the verifier, one after the other, and the result of each.

import { Card } from "../shared/card";
import { ShownText } from "../shared/shown-text";
import { nameOf, questionOf, type Step } from "./explain";
import type { Judgement } from "./verification";

export function Steps({ judgement }: { judgement?: Judgement }) {
  const steps = judgement?.steps;
  return (
    <Card title="Why, step by step">
      {judgement === undefined && (
        <p class="quiet">After verifying, all checks of the verifier are listed here in order.</p>
      )}
      {judgement !== undefined && steps === undefined && (
        <p class="quiet">The verifier failed before it could list its checks.</p>
      )}
      {steps !== undefined && (
        <ol class="steps">
          {steps.map((step, at) => (
            <OneStep key={step.check} step={step} isRepeated={isSame(step, steps[at - 1])} />
          ))}
        </ol>
      )}
    </Card>
  );
}

/** Steps in a row with the same reason show it once. */
function isSame({ code, detail, result }: Step, before?: Step): boolean {
  const isUndecided = result === "undecided" && before?.result === "undecided";
  return isUndecided && before.code === code && before.detail === detail;
}

function OneStep({ step, isRepeated }: { step: Step; isRepeated: boolean }) {
  const { check, result, code, detail, position } = step;
  const { icon, word, tone } = RESULTS[result] ?? RESULTS.not_reached;
  return (
    <li class={`step ${result}`}>
      <span class={`step-icon ${tone}`} aria-hidden="true">{icon}</span>
      <div>
        <p class="step-head">
          <strong>{nameOf(check)}</strong> <span class={tone}>{word}</span>
          {code !== undefined && !isRepeated && <> <code>{code}</code></>}
        </p>
        <p class="quiet small">{questionOf(check)}</p>
        {detail !== undefined && !isRepeated && <p class="small"><ShownText text={detail} /></p>}
        {position !== undefined && <p class="small">Known by position <code>{position}</code>.</p>}
      </div>
    </li>
  );
}

const RESULTS = {
  not_reached: { icon: "–", word: "not reached", tone: "quiet" },
  passed: { icon: "✓", word: "passed", tone: "good" },
  refused: { icon: "✕", word: "refused", tone: "bad" },
  undecided: { icon: "?", word: "undecided", tone: "unknown" },
};

// Why the edge would refuse a token, or would not: one check after the other.

import { nameOf, questionOf, type Step } from "./explain";
import { ShownText } from "../shared/shown-text";

export function Steps({ steps }: { steps?: Step[] }) {
  return (
    <section class="card" aria-labelledby="steps-title">
      <h2 id="steps-title">Why, step by step</h2>
      {steps === undefined
        ? <p class="quiet">Once it is verified, all checks of the edge are listed here in order.</p>
        : (
          <ol class="steps">
            {steps.map((step, at) => (
              <OneStep key={step.check} step={step} isRepeated={isSame(step, steps[at - 1])} />
            ))}
          </ol>
        )}
    </section>
  );
}

/** The same reason is told once for the steps that follow each other. */
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

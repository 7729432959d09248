import { useMemo } from "preact/hooks";
import { useNow } from "./clock";
import type { Decoded } from "./decode";
import { Card } from "../shared/card";
import { ShownText } from "../shared/shown-text";
import { warningsOf } from "./warnings";

/** What is odd about the token, as far as that shows without keys. */
export function WarningsList({ decoded }: { decoded: Decoded }) {
  const now = useNow();
  const warnings = useMemo(() => warningsOf(decoded, now), [decoded, now]);
  if (decoded.segments.length === 0) return null;
  return (
    <Card title={<>Warnings <span class="quiet">{warnings.length}</span></>}>
      {warnings.length === 0
        ? <p class="quiet">Nothing is odd. That does not make it genuine.</p>
        : (
          <ul class="warnings">
            {warnings.map(({ level, text }) => (
              <li>
                <span class={`pill ${TONES[level]}`}>{level}</span>
                <span><ShownText text={text} /></span>
              </li>
            ))}
          </ul>
        )}
    </Card>
  );
}

const TONES = { danger: "bad", notice: "quiet", warning: "unknown" };

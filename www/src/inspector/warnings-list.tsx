import { useMemo } from "preact/hooks";
import { useNow } from "./clock";
import type { Decoded } from "./decode";
import { ShownText } from "../shared/shown-text";
import { warningsOf } from "./warnings";

/** What a careful reader would point at, without any key. */
export function WarningsList({ decoded }: { decoded: Decoded }) {
  const now = useNow();
  const warnings = useMemo(() => warningsOf(decoded, now), [decoded, now]);
  if (decoded.segments.length === 0) return null;
  return (
    <section class="card" aria-labelledby="warnings-title">
      <h2 id="warnings-title">Worth a look <span class="quiet">{warnings.length}</span></h2>
      {warnings.length === 0
        ? <p class="quiet">Nothing stands out. That does not make it genuine.</p>
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
    </section>
  );
}

const TONES = { danger: "bad", notice: "quiet", warning: "unknown" };

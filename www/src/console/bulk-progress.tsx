// The progress of a bulk run, and the report of what failed.

import type { Failure } from "./bulk-rows";
import { MAX_FAILURES, type Progress } from "./bulk-run";
import type { Bulk } from "./bulk-use";
import { csvOf, Download } from "./download";
import { count } from "../shared/format";
import { ShownText } from "../shared/shown-text";
import { DurabilityWord, Facts, ProblemNotice } from "../shared/outcome";
import { Table } from "../shared/table";

export function BulkProgress({ bulk, onRetry }: { bulk: Bulk; onRetry(): void }) {
  const { progress, total, isActive } = bulk;
  if (progress === null) return null;
  const { phase, problem, accepted, failed, requests, last } = progress;
  const share = phase === "done" ? 1 : total > 0 ? Math.min(1, progress.taken / total) : 0;
  return (
    <div class="bulk-progress">
      <div class="heading">
        <div role="status"><h3>{HEADLINES[phase]}</h3></div>
        <span class="quiet">{Math.floor(share * 100)} %</span>
      </div>
      <progress max={1} value={share} aria-label="How much of the file was sent" />
      <dl class="numbers">
        <div><dt>revoked</dt><dd>{count(accepted)}</dd></div>
        <div><dt>failed</dt><dd class={failed > 0 ? "bad" : ""}>{count(failed)}</dd></div>
        <div><dt>requests</dt><dd>{count(requests)}</dd></div>
      </dl>
      <div role="status">{problem && <ProblemNotice problem={problem} />}</div>
      {isActive && phase !== "cancelling" && <Controls bulk={bulk} phase={phase} />}
      {last && (
        <Facts facts={[
          ["Position", <code>{last.position}</code>],
          ["Durability", <DurabilityWord level={last.durability} />],
        ]} />
      )}
      {failed > 0 && !isActive && (
        <Report failures={bulk.failures()} failed={failed} onRetry={onRetry} />
      )}
    </div>
  );
}

function Controls({ bulk, phase }: { bulk: Bulk; phase: Progress["phase"] }) {
  return (
    <p class="row">
      {phase === "paused"
        ? <button type="button" class="primary" onClick={bulk.resume}>Resume</button>
        : <button type="button" onClick={bulk.pause}>Pause</button>}
      {phase === "waiting" && <button type="button" onClick={bulk.resume}>Try now</button>}
      <button type="button" onClick={bulk.cancel}>Cancel</button>
    </p>
  );
}

function Report(
  { failures, failed, onRetry }: { failures: readonly Failure[]; failed: number; onRetry(): void },
) {
  const canRetry = failures.some(({ row }) => row !== null);
  return (
    <>
      <h3>What failed</h3>
      <div class="row">
        <Download text="Download report (CSV)" name="offswitch-failed.csv"
          content={() => csvOf(reportOf(failures))} />
        <button type="button" disabled={!canRetry} onClick={onRetry}>Retry failed</button>
      </div>
      {failed > MAX_FAILURES && (
        <p class="notice unknown">
          The report holds the first {count(MAX_FAILURES)} of {count(failed)}.
        </p>
      )}
      {!canRetry && <p class="quiet small">These rows must be corrected in the file first.</p>}
      <Table caption="The first rows that failed" columns={["Line", "Id", "Code", "Detail"]}
        rows={failures.slice(0, SHOWN).map(({ line, kind, id, code, detail }, index) => ({
          key: `${index}`,
          cells: [
            line,
            <><span class="quiet">{kind}</span> <code><ShownText text={id} /></code></>,
            <code><ShownText text={code} /></code>,
            <ShownText text={detail} />,
          ],
        }))} />
      {failures.length > SHOWN && (
        <p class="quiet small">{count(failures.length - SHOWN)} more are in the report.</p>
      )}
    </>
  );
}

function reportOf(failures: readonly Failure[]): string[][] {
  const rows = failures.map(({ line, kind, id, code, detail }) => [String(line), kind, id, code, detail]);
  return [["line", "kind", "id", "code", "detail"], ...rows];
}

const HEADLINES: Record<Progress["phase"], string> = {
  cancelling: "Cancelling…",
  cancelled: "Cancelled: what was revoked stays revoked",
  done: "Done",
  paused: "Paused",
  running: "Revoking…",
  waiting: "Waiting to try again…",
};
const SHOWN = 20;

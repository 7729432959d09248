// Revokes the ids of a file.

import { useId, useRef, useState } from "preact/hooks";
import { Needs, may, type Access } from "./access";
import { failedRows, rowsOf, sketchOf, startOf, type Start } from "./bulk-file";
import { BulkProgress } from "./bulk-progress";
import { isRow, rowOf, strangers, type Layout } from "./bulk-rows";
import { useBulkRun } from "./bulk-use";
import { Confirm } from "../shared/confirm";
import { Field } from "../shared/field";
import { bytes } from "../shared/format";
import { visible } from "../shared/invisible";
import { ShownText } from "../shared/shown-text";
import { KIND_NAMES, KINDS, entryName, isKind, reasonProblem, unixSeconds } from "./revocation";
import { Moment } from "../shared/moment";
import { Table } from "../shared/table";

export function Bulk({ access }: { access: Access }) {
  const [chosen, setChosen] = useState<{ file: File; start: Start } | null>(null);
  const [complaint, complain] = useState<string | null>(null);
  const [layout, setLayout] = useState<Layout>(EMPTY);
  const bulk = useBulkRun(access);
  const asked = useRef(0);
  const id = useId();
  const choose = async (file: File | undefined) => {
    if (file === undefined || bulk.isActive) return;
    const mine = (asked.current += 1);
    const start = await startOf(file);
    if (mine !== asked.current) return;
    bulk.clear();
    complain("complaint" in start ? start.complaint : null);
    if ("complaint" in start) return setChosen(null);
    setChosen({ file, start });
    setLayout((before) => ({ ...before, format: start.format, columns: start.columns }));
  };
  const isReady = () => {
    const problem = chosen === null ? null : layoutProblem(layout);
    complain(problem);
    return chosen !== null && problem === null;
  };
  const begin = () => {
    if (chosen !== null && isReady()) bulk.begin(rowsOf(chosen.file, layout), chosen.file.size);
  };
  return (
    <section class="card" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Bulk revoke</h2>
      <p class="quiet">A file of ids, CSV or NDJSON, of any size. It is read in pieces and sent in
        requests of 1,000; the page stores nothing of it.</p>
      <Needs access={access} scope="revocations:write" to="revoke" />
      <DropZone id={id} isDisabled={bulk.isActive} onFile={choose} />
      <div role="alert">{complaint && <p class="notice bad">{complaint}</p>}</div>
      {chosen && (
        <>
          <h3><ShownText text={chosen.file.name} /> <span class="quiet">{bytes(chosen.file.size)},
            {" "}{chosen.start.format === "csv" ? "CSV" : "NDJSON"}</span></h3>
          {!bulk.isActive && <LayoutFields id={id} start={chosen.start} layout={layout}
            onChange={(change) => setLayout((before) => ({ ...before, ...change }))} />}
          {bulk.progress === null && <Preview start={chosen.start} layout={layout} />}
          {!bulk.isActive && (
            <p class="row submit">
              <Confirm text={bulk.progress === null ? "Revoke all of it" : "Send the file again"}
                look="danger" question="Every row of the file is revoked. There is no way back."
                yes="Yes, revoke all" isDisabled={!may(access, "revocations:write")}
                onAsk={isReady} onYes={begin} />
            </p>
          )}
        </>
      )}
      {bulk.progress && <BulkProgress bulk={bulk}
        onRetry={() => bulk.begin(failedRows(bulk.failures()), bulk.failures().length)} />}
    </section>
  );
}

function DropZone(
  { id, isDisabled, onFile }: { id: string; isDisabled: boolean; onFile(file?: File): void },
) {
  const [isOver, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    if (!isDisabled) onFile(event.dataTransfer?.files[0]);
  };
  const over = (event: DragEvent) => {
    event.preventDefault();
    setOver(!isDisabled);
  };
  return (
    <div class={isOver ? "drop over" : "drop"} onDragOver={over} onDragLeave={() => setOver(false)}
      onDrop={drop}>
      <label for={`${id}-file`}>Drop a file here, or choose one</label>
      <input id={`${id}-file`} type="file" accept=".csv,.ndjson,.jsonl,.json,.txt,text/*"
        disabled={isDisabled} onChange={(event) => {
          onFile(event.currentTarget.files?.[0]);
          // The same file may be chosen again after it was changed.
          event.currentTarget.value = "";
        }} />
      <p class="quiet small">CSV: a first row that
        names <code>jti,exp,sub,session_id,kid,reason,issuer</code>, or a single column of ids.
        NDJSON: one object per line, as the API takes it.</p>
    </div>
  );
}

interface FieldsShown {
  id: string;
  start: Start;
  layout: Layout;
  onChange(change: Partial<Layout>): void;
}

function LayoutFields({ id, start, layout, onChange }: FieldsShown) {
  const { format, columns } = start;
  const needsKind = format === "csv" && columns === null;
  const takesExp = needsKind ? layout.kind === "jti"
    : (columns?.includes("jti") ?? false);
  const input = (name: "exp" | "reason" | "issuer", label: string, placeholder = "") => (
    <div>
      <Field label={label} value={layout[name]} placeholder={placeholder}
        onInput={(value) => onChange({ [name]: value })} />
    </div>
  );
  return (
    <div class="fields">
      {needsKind && (
        <div>
          <label for={`${id}-kind`}>The column holds</label>
          <select id={`${id}-kind`} value={layout.kind} onChange={(event) => {
            const { value } = event.currentTarget;
            if (isKind(value)) onChange({ kind: value });
          }}>
            {KIND_NAMES.map((kind) => (
              <option key={kind} value={kind}>{KINDS[kind]} ({kind})</option>
            ))}
          </select>
        </div>
      )}
      {takesExp && input("exp", "exp, where a row has none (optional)", "2030-01-31T12:00:00Z")}
      {input("reason", "Reason, where a row has none", "optional")}
      {format === "csv" && input("issuer", "Issuer, where a row has none", "optional")}
    </div>
  );
}

function Preview({ start, layout }: { start: Start; layout: Layout }) {
  const ignored = strangers(start.columns);
  return (
    <>
      <h3>The first rows</h3>
      {ignored.length > 0 && (
        <p class="notice unknown">
          Ignored columns: {ignored.map((name) => visible(name) || "–").join(", ")}
        </p>
      )}
      <Table caption="The first rows, as they will be sent" columns={["Line", "What", "exp", "Why"]}
        rows={start.records.map((record) => ({
          key: String(record.line), cells: cells(rowOf(record, layout)),
        }))} />
      <details class="sketch">
        <summary>What will be sent</summary>
        <pre><code>POST /v1/revocations{"\n"}{visibleLines(sketchOf(start, layout))}</code></pre>
      </details>
    </>
  );
}

function cells(row: ReturnType<typeof rowOf>) {
  if (!isRow(row)) {
    const why = <span class="bad">cannot be sent: <ShownText text={row.detail} /></span>;
    return [row.line, why, "", ""];
  }
  const [kind, name] = entryName(row.entry);
  const { exp, issuer } = row.entry;
  return [
    row.line,
    <>
      <span class="quiet">{kind}</span> <code><ShownText text={name} /></code>
      {issuer && <div class="quiet small">of <ShownText text={issuer} /></div>}
    </>,
    exp === undefined ? <span class="quiet">–</span> : <Moment at={exp} />,
    row.reason === "" ? <span class="quiet">none given</span> : <ShownText text={row.reason} />,
  ];
}

function visibleLines(text: string): string {
  return text.split("\n").map(visible).join("\n");
}

function layoutProblem(layout: Layout): string | null {
  if (layout.exp !== "") {
    const exp = unixSeconds(layout.exp);
    if (typeof exp !== "number") return exp.complaint;
  }
  return reasonProblem(layout.reason);
}

const EMPTY: Layout = {
  format: "csv", columns: null, kind: "jti", exp: "", reason: "", issuer: "",
};

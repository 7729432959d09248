import { dateOf } from "./format";
import { Foreign } from "./foreign";

/** An instant in the reader's own time zone. */
export function Moment({ at }: { at: unknown }) {
  const date = dateOf(at);
  if (date === null) return <Foreign text={at} />;
  const iso = date.toISOString();
  const isToday = date.toDateString() === new Date().toDateString();
  return <time dateTime={iso} title={iso}>{(isToday ? TIME : DAY_AND_TIME).format(date)}</time>;
}

const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DAY_AND_TIME = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
});

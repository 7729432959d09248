import { isTime, localTime, utcTime } from "./format";
import { ShownText } from "./shown-text";

/** A time in unix seconds, in the reader's time zone. */
export function Moment({ at }: { at: unknown }) {
  if (!isTime(at)) return <ShownText text={at} />;
  return <time dateTime={new Date(at * 1000).toISOString()} title={utcTime(at)}>{localTime(at)}</time>;
}

// A chart of the last five minutes. Its text alternative says the same.

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { SHOWN_SECONDS } from "./history";

export interface Line {
  label: string;
  values: (number | null)[];
  /** The newest value, as text. */
  newest: string;
}

interface Props {
  title: string;
  /** Seconds since 1970. */
  times: number[];
  lines: Line[];
  /** Writes a value at the axis. */
  format(value: number): string;
  /** Values are whole numbers. */
  isWhole?: boolean;
  /** The axis need not begin at zero. */
  isLevel?: boolean;
}

export function Chart({ title, times, lines, format, isWhole = false, isLevel = false }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const keys = useRef<HTMLElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = useTheme();
  const data = [times, ...lines.map(({ values }) => values)] as uPlot.AlignedData;
  const newest = useRef(data);
  newest.current = data;
  useEffect(() => {
    const place = host.current;
    if (place === null || keys.current === null) return;
    const look = { format, isWhole, isLevel, names: lines.map(({ label }) => label) };
    const made = new uPlot(options(place, keys.current, look), newest.current, place);
    plot.current = made;
    const resizing = new ResizeObserver(() => {
      if (place.clientWidth > 0) made.setSize({ width: place.clientWidth, height: HEIGHT });
    });
    resizing.observe(place);
    return () => {
      resizing.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [theme, lines.length]);
  useEffect(() => plot.current?.setData(data), [times]);
  const isEmpty = !lines.some(({ values }) => values.some((value) => value !== null));
  return (
    <figure class="chart">
      <figcaption ref={keys}>
        <span class="chart-title">{title}</span>
        <span class="chart-values">
          {lines.map(({ label, newest: value }, index) => (
            <span key={label} class={`line-${index}`}>
              {lines.length > 1 && <><span class="swatch" aria-hidden="true" />{label} </>}
              <strong>{value}</strong>
            </span>
          ))}
        </span>
      </figcaption>
      <div class="plot" ref={host} role="img" aria-label={summary(title, lines, format)} />
      {isEmpty && <p class="chart-empty quiet small" aria-hidden="true">no values yet</p>}
    </figure>
  );
}

/** The newest value of each line, and the range of its values. */
export function summary(title: string, lines: Line[], format: Props["format"]): string {
  const texts = lines.map(({ label, values, newest }) => {
    const known = values.filter((value) => value !== null);
    const name = lines.length > 1 ? `${label}: ` : "";
    if (known.length === 0) return `${name}no values`;
    const [low, high] = [Math.min(...known), Math.max(...known)];
    return `${name}now ${newest}, between ${format(low)} and ${format(high)}`;
  });
  return `${title} in the last five minutes. ${texts.join("; ")}.`;
}

interface Look {
  format: Props["format"];
  isWhole: boolean;
  isLevel: boolean;
  names: string[];
}

function options(place: HTMLElement, keys: HTMLElement, look: Look): uPlot.Options {
  const { format, isWhole, isLevel, names } = look;
  const { color: ink, borderTopColor: faint } = getComputedStyle(place);
  const font = `12px ${getComputedStyle(place).fontFamily}`;
  const axis = { stroke: ink, font, grid: { stroke: faint, width: 1 }, ticks: { show: false } };
  const series = names.map((label, index): uPlot.Series => {
    const key = keys.querySelector(`.line-${index}`) ?? place;
    const stroke = getComputedStyle(key).color;
    return { label, stroke, width: 2, spanGaps: false, points: { show: lonely } };
  });
  return {
    width: Math.max(place.clientWidth, 120),
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    series: [{}, ...series],
    scales: {
      x: { time: true, range: (_, __, last) => [last - SHOWN_SECONDS, last] },
      y: { range: (_, low, high) => yRange(low, high, isLevel, isWhole) },
    },
    axes: [
      { ...axis, size: 30, gap: 9, splits: (_, __, ___, last) => minutesBack(last), values: ago },
      {
        ...axis, size: 62, gap: 6, space: 32,
        ...(isWhole && { incrs: WHOLE_STEPS }),
        values: (_, splits) => splits.map((value) => (value === null ? "" : format(value))),
      },
    ],
    padding: [8, 14, 0, 0],
  };
}

/** A single value has no line: it is drawn as a point. */
function lonely(plot: uPlot, index: number): boolean {
  const values = Array.from<number | null | undefined>(plot.data[index] ?? []);
  return values.filter((value) => typeof value === "number").length === 1;
}

function yRange(low: number | null, high: number | null, isLevel: boolean, isWhole: boolean) {
  if (low === null || high === null) return [0, 4] as [number, number];
  const least = isWhole ? 4 : high > 0 ? 1e-9 : 1;
  const below = Math.max((high - low) * 0.1, isWhole ? 1 : low * 0.05);
  const from = isLevel ? Math.max(0, low - below) : 0;
  const to = Math.max(high + (high - from) * 0.1, from + least);
  return [from, to] as [number, number];
}

function minutesBack(last: number): number[] {
  return [5, 4, 3, 2, 1, 0].map((minutes) => last - minutes * 60);
}

function ago(plot: uPlot, splits: number[]): string[] {
  const isNarrow = plot.width < 360;
  return splits.map((_, index) => {
    if (index === splits.length - 1) return "now";
    return isNarrow && index % 2 === 0 ? "" : `−${splits.length - 1 - index} min`;
  });
}

/** The colours are read again when the theme changes. */
function useTheme(): boolean {
  const [isDark, setDark] = useState(DARK.matches);
  useEffect(() => {
    const follow = () => setDark(DARK.matches);
    DARK.addEventListener("change", follow);
    return () => DARK.removeEventListener("change", follow);
  }, []);
  return isDark;
}

const DARK = matchMedia("(prefers-color-scheme: dark)");
const HEIGHT = 150;
const WHOLE_STEPS = [1, 2, 5].flatMap((digit) => {
  return Array.from({ length: 13 }, (_, power) => digit * 10 ** power);
}).sort((one, other) => one - other);

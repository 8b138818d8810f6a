/** One bar chart of a report as SVG: a bar to the median, a line from least to most, a dot for each run. Pure. */
import { quantile } from '../statistics.js';
import { figure } from './comparison-table.js';

export interface Bar {
  readonly name: string;
  /** What was measured; none draws no bar. */
  readonly values: readonly number[];
  readonly isOurs: boolean;
}

const WIDTH = 520;
const LABEL_WIDTH = 128;
/** For the figure beside a bar. */
const FIGURE_WIDTH = 62;
const ROW_HEIGHT = 38;
const BAR_HEIGHT = 18;
const AXIS_HEIGHT = 26;
const MAX_LABEL = 17;
/** Gaps between grid lines at most. */
const TICKS = 5;

/** @param title read out instead of the picture */
export function barChart(title: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.flatMap(({ values }) => values), 0);
  const step = tickStep(most);
  const end = Math.max(step * Math.ceil(most / step), step);
  const room = WIDTH - LABEL_WIDTH - FIGURE_WIDTH;
  const x = (value: number): number => rounded(LABEL_WIDTH + (value / end) * room);
  const height = bars.length * ROW_HEIGHT + AXIS_HEIGHT;
  return [
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(title)}">`,
    ...grid(step, end, x, height - AXIS_HEIGHT),
    ...bars.map((bar, i) => row(bar, i * ROW_HEIGHT + ROW_HEIGHT / 2, x)),
    '</svg>',
  ].join('\n');
}

function grid(step: number, end: number, x: (value: number) => number, height: number): string[] {
  const count = Math.round(end / step);
  return Array.from({ length: count + 1 }, (_, i) => {
    const at = x(i * step);
    const line = `<line class="${i === 0 ? 'base' : 'grid'}" x1="${at}" x2="${at}" y1="0" y2="${height}"/>`;
    return `${line}<text class="tick" x="${at}" y="${height + 17}">${Number((i * step).toPrecision(6))}</text>`;
  });
}

function row({ name, values, isOurs }: Bar, middle: number, x: (value: number) => number): string {
  const short = name.length > MAX_LABEL ? `${name.slice(0, MAX_LABEL - 1)}…` : name;
  const label = `<text class="name" x="${LABEL_WIDTH - 12}" y="${middle + 4.5}">${escapeHtml(short)}</text>`;
  const group = (content: string): string => `<g class="${isOurs ? 'ours' : 'other'}">${label}${content}</g>`;
  if (values.length === 0) {
    return group(`<text class="none" x="${x(0) + 8}" y="${middle + 4.5}">no figure</text>`);
  }
  const [min, median, max] = [0, 0.5, 1].map((part) => quantile(values, part)) as [number, number, number];
  const top = middle - BAR_HEIGHT / 2;
  const dots = values.map((value) => `<circle cx="${x(value)}" cy="${middle}" r="2.2"/>`);
  return group(
    [
      `<title>${escapeHtml(name)}: ${figure(median)} (${figure(min)} to ${figure(max)})</title>`,
      `<path class="bar" d="${barPath(x(0), x(median), top)}"/>`,
      `<path class="spread" d="M${x(min)} ${middle}H${x(max)}M${x(min)} ${middle - 5}v10M${x(max)} ${middle - 5}v10"/>`,
      ...dots,
      `<path class="median" d="M${x(median)} ${top - 3}V${top + BAR_HEIGHT + 3}"/>`,
      `<text class="figure" x="${x(Math.max(median, max)) + 9}" y="${middle + 4.5}">${figure(median)}</text>`,
    ].join(''),
  );
}

/** Square where it stands, round where it ends. */
function barPath(from: number, to: number, top: number): string {
  const radius = Math.min(4, to - from);
  const side = BAR_HEIGHT - 2 * radius;
  return `M${from} ${top}H${rounded(to - radius)}q${radius} 0 ${radius} ${radius}v${side}q0 ${radius} ${-radius} ${radius}H${from}z`;
}

/** 1, 2 or 5 times a power of ten. */
export function tickStep(most: number): number {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most / TICKS));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => most / step <= TICKS)!;
}

const rounded = (value: number): number => Math.round(value * 100) / 100;

/** Text that stays text, in an element or an attribute. */
export function escapeHtml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replaceAll(/[&<>"']/g, (character) => names[character]!);
}

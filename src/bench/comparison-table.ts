/** A comparison as a table, and as the Markdown around it: for a terminal, an issue, a README. Pure. */
import type { Spread } from '../statistics.js';
import { type Comparison, type Summary, summarise } from './comparison.js';

export interface Table {
  readonly head: readonly string[];
  /** Cells by row; the first is the name. */
  readonly rows: readonly (readonly string[])[];
}

const MIB = 1_048_576;
export const UNKNOWN = '–';

export function comparisonTable(comparison: Comparison): Table {
  const first = comparison.contenders[0]?.name ?? '';
  return {
    head: ['client', 'MiB/s', 'wall s', 'CPU s/GiB', 'peak RSS MiB', `time × ${first}`, `CPU × ${first}`, 'runs'],
    rows: summarise(comparison).map(rowOf),
  };
}

function rowOf(summary: Summary): string[] {
  const { name, bytesPerSecond, seconds, cpuSecondsPerGib, peakRssBytes, secondsRatio, cpuRatio, runs, voids } =
    summary;
  return [
    name,
    spreadText(bytesPerSecond, MIB),
    spreadText(seconds),
    spreadText(cpuSecondsPerGib),
    spreadText(peakRssBytes, MIB),
    secondsRatio === null ? UNKNOWN : secondsRatio.toFixed(2),
    cpuRatio === null ? UNKNOWN : cpuRatio.toFixed(2),
    voids === 0 ? String(runs) : `${runs}, ${voids} void`,
  ];
}

/** `677 (640–701)`: the median, and between what it lies. */
function spreadText(spread: Spread | null, unit = 1): string {
  if (spread === null) return UNKNOWN;
  const [min, median, max] = [spread.min, spread.median, spread.max].map((value) => figure(value / unit));
  return min === max ? median! : `${median} (${min}–${max})`;
}

/** Three digits that count. */
export function figure(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/** What all clients were given, on one line. */
export function courseText({ size, pieceLength, seeds, seeder, storage, rounds, warmup }: Comparison): string {
  const from = seeds === 1 ? `one seed (${seeder})` : `${seeds} seeds (${seeder})`;
  const discarded = warmup === 0 ? '' : ` after ${warmup} discarded`;
  const pieces = pieceLength < MIB ? `${pieceLength / 1024} KiB` : `${pieceLength / MIB} MiB`;
  return `${figure(size / MIB)} MiB in pieces of ${pieces} from ${from} on loopback, ${storage}; ${counted(rounds, 'interleaved round')}${discarded}`;
}

export function machineText({ machine }: Comparison): string {
  const { cpu, cores, memoryBytes, system, node, load } = machine;
  return `${cpu}, ${counted(cores, 'core')}, ${Math.round(memoryBytes / 2 ** 30)} GiB of memory, ${system}, Node ${node}, load ${load}`;
}

export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

export const TABLE_NOTE =
  'Medians, and the least and most in parentheses; every run was compared with the payload byte by byte. The ratios are medians of those ' +
  'within a round. CPU is user and system time of all processes of a client; peak RSS counts mapped files.';

/** The whole of it, lines without control characters that the figures did not have. */
export function markdownReport(comparison: Comparison): string {
  const { contenders, missing } = comparison;
  const { head, rows } = comparisonTable(comparison);
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(' | ')} |`;
  const voids = contenders.flatMap(({ name, voids }) =>
    voids.map(({ round, reason }) => `- ${name}, round ${round}, is void: ${escapeCell(reason)}`),
  );
  return [
    line(head),
    `| --- |${' ---: |'.repeat(head.length - 1)}`,
    ...rows.map(line),
    '',
    `${courseText(comparison)}. ${escapeCell(machineText(comparison))}.`,
    '',
    TABLE_NOTE,
    '',
    ...contenders.map(({ name, version, command }) => `- ${name}: ${escapeCell(version)}; ${codeSpan(command)}`),
    ...missing.map(({ name, reason }) => `- ${name} did not take part: ${escapeCell(reason)}`),
    ...voids,
    '',
  ].join('\n');
}

function escapeCell(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/[\\|<>`*_[\]]/g, (character) => `\\${character}`);
}

/** Between more backticks than the text has in a row. */
function codeSpan(text: string): string {
  const longest = Math.max(0, ...(text.match(/`+/g) ?? []).map(({ length }) => length));
  const fence = '`'.repeat(longest + 1);
  const pad = longest > 0 ? ' ' : '';
  return `${fence}${pad}${text.replaceAll(/\s+/g, ' ')}${pad}${fence}`;
}

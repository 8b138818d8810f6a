/** What a race of clients has shown: the figures of each run, and what is said of them. Pure. */
import { type Spread, spreadOf } from '../statistics.js';
import type { MachineFacts } from './machine-facts.js';

/** One run that delivered every byte. */
export interface RunFigures {
  /** Runs of one round follow one another: what they share, the machine's mood, cancels out in their ratio. */
  readonly round: number;
  /** From the start of the client to its end, or for a daemon to its word that it is done. */
  readonly seconds: number;
  /** User and system time of all its processes; `null` where that cannot be told. */
  readonly cpuSeconds: number | null;
  readonly peakRssBytes: number | null;
}

/** A run that does not count. */
export interface VoidRun {
  readonly round: number;
  readonly reason: string;
}

export interface Contender {
  readonly name: string;
  readonly version: string;
  /** As one would type it, with what differs between runs in braces. */
  readonly command: string;
  readonly runs: readonly RunFigures[];
  readonly voids: readonly VoidRun[];
}

export interface Comparison {
  /** ISO 8601. */
  readonly startedAt: string;
  readonly machine: MachineFacts;
  /** Bytes. */
  readonly size: number;
  readonly pieceLength: number;
  readonly seeds: number;
  /** What seeds. */
  readonly seeder: string;
  /** Kind of file system the payload is on. */
  readonly storage: string;
  readonly rounds: number;
  readonly warmup: number;
  /** The first is what the others are compared with. */
  readonly contenders: readonly Contender[];
  /** Asked for, and not there. */
  readonly missing: readonly { readonly name: string; readonly reason: string }[];
}

/** Of the runs that count; nothing where there are none. */
export interface Summary {
  readonly name: string;
  readonly runs: number;
  readonly voids: number;
  readonly seconds: Spread | null;
  readonly bytesPerSecond: Spread | null;
  readonly cpuSecondsPerGib: Spread | null;
  readonly peakRssBytes: Spread | null;
  /** How often its time and its processor time hold the first one's: median of the ratios within a round. */
  readonly secondsRatio: number | null;
  readonly cpuRatio: number | null;
}

const GIB = 2 ** 30;

/** One for each contender, in their order. */
export function summarise({ contenders, size }: Comparison): Summary[] {
  const first = contenders[0]?.runs ?? [];
  return contenders.map(({ name, runs, voids }) => ({
    name,
    runs: runs.length,
    voids: voids.length,
    seconds: spread(runs.map(({ seconds }) => seconds)),
    bytesPerSecond: spread(runs.map(({ seconds }) => size / seconds)),
    cpuSecondsPerGib: spread(runs.map(({ cpuSeconds }) => cpuSeconds && (cpuSeconds * GIB) / size)),
    peakRssBytes: spread(runs.map(({ peakRssBytes }) => peakRssBytes)),
    secondsRatio: medianRatio(runs, first, 'seconds'),
    cpuRatio: medianRatio(runs, first, 'cpuSeconds'),
  }));
}

function spread(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : spreadOf(known);
}

function medianRatio(
  runs: readonly RunFigures[],
  first: readonly RunFigures[],
  figure: 'seconds' | 'cpuSeconds',
): number | null {
  const ratios = runs.flatMap((run) => {
    const reference = first.find(({ round }) => round === run.round)?.[figure];
    const value = run[figure];
    return value === null || !reference ? [] : [value / reference];
  });
  return spread(ratios)?.median ?? null;
}

/** Everybody's turn to be first comes round. */
export function rotated<T>(items: readonly T[], round: number): T[] {
  const at = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

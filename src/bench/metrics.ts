/** The figures of one run, from what its processes said; and what may be asserted of them. Pure. */
import { SpateError } from '../errors.js';
import type { ClientFigures } from './client.js';

/** Seconds, bytes and parts unless the name says otherwise. */
export interface Metrics {
  readonly goodput: number;
  readonly gbit: number;
  readonly first: number;
  readonly wall: number;
  /** CPU seconds per GiB, of the client and of its peers. */
  readonly cpu: number;
  readonly user: number;
  readonly sys: number;
  readonly seedersCpu: number;
  readonly rss: number;
  /** Milliseconds from request to block; 0 where none was measured. */
  readonly latencyP50: number;
  readonly latencyP95: number;
  readonly latencyP99: number;
  readonly wasted: number;
  /** Milliseconds. */
  readonly mainDelayP99: number;
  readonly groupDelayP99: number;
  readonly mainBusy: number;
  /** Of the busiest group. */
  readonly groupBusy: number;
  /** Milliseconds, all threads. */
  readonly gc: number;
  /** Between main and the groups, per piece. */
  readonly messagesPerPiece: number;
}

export type MetricName = keyof Metrics;

const GIB = 2 ** 30;
const STEPS_PER_OCTAVE = 20;

/** @param bytes payload that was moved */
export function metricsOf(figures: ClientFigures, bytes: number, pieces: number, seedersCpuSeconds: number): Metrics {
  const { seconds, userSeconds, systemSeconds, groups, main } = figures;
  const gib = bytes / GIB;
  const most = (name: 'delayP99Ms' | 'utilisation'): number => Math.max(0, ...groups.map((group) => group[name]));
  const total = (name: 'gcMs' | 'messages'): number => groups.reduce((sum, group) => sum + group[name], 0);
  const latency = groups.reduce<readonly number[]>(
    (sum, group) => group.latency.map((count, i) => count + (sum[i] ?? 0)),
    [],
  );
  return {
    goodput: bytes / seconds,
    gbit: (bytes * 8) / seconds / 1e9,
    first: figures.firstPieceSeconds,
    wall: seconds,
    cpu: (userSeconds + systemSeconds) / gib,
    user: userSeconds / gib,
    sys: systemSeconds / gib,
    seedersCpu: seedersCpuSeconds / gib,
    rss: figures.peakRss,
    latencyP50: latencyAt(latency, 0.5),
    latencyP95: latencyAt(latency, 0.95),
    latencyP99: latencyAt(latency, 0.99),
    wasted: figures.wasted,
    mainDelayP99: main.delayP99Ms,
    groupDelayP99: most('delayP99Ms'),
    mainBusy: main.utilisation,
    groupBusy: most('utilisation'),
    gc: main.gcMs + total('gcMs'),
    messagesPerPiece: total('messages') / pieces,
  };
}

/** Milliseconds within which a part of the blocks came; 0 for no block. */
export function latencyAt(counts: readonly number[], part: number): number {
  let left = counts.reduce((sum, count) => sum + count, 0) * part;
  if (left === 0) return 0;
  const at = counts.findIndex((count) => {
    left -= count;
    return left <= 0;
  });
  return 2 ** ((at + 1) / STEPS_PER_OCTAVE) / 1000;
}

export interface Assertion {
  readonly text: string;
  readonly metric: MetricName;
  readonly operator: '>=' | '<=' | '>' | '<';
  readonly value: number;
}

const RATES = {
  '': 1,
  'B/s': 1,
  'KiB/s': 1024,
  'MiB/s': 2 ** 20,
  'GiB/s': GIB,
  'Mbit/s': 125_000,
  'Gbit/s': 125_000_000,
};
const BYTES = { '': 1, B: 1, KiB: 1024, MiB: 2 ** 20, GiB: GIB };
const SECONDS = { '': 1, s: 1, ms: 0.001 };
const MILLISECONDS = { '': 1, ms: 1, s: 1000 };
const PLAIN = { '': 1 };
const CPU = { '': 1, 's/GiB': 1 };

/** What may be asserted, with the units it may be given in. */
const ASSERTABLE: Readonly<Partial<Record<MetricName, Readonly<Record<string, number>>>>> = {
  goodput: RATES,
  first: SECONDS,
  wall: SECONDS,
  cpu: CPU,
  user: CPU,
  sys: CPU,
  rss: BYTES,
  latencyP50: MILLISECONDS,
  latencyP95: MILLISECONDS,
  latencyP99: MILLISECONDS,
  wasted: BYTES,
  mainDelayP99: MILLISECONDS,
  groupDelayP99: MILLISECONDS,
  mainBusy: PLAIN,
  groupBusy: PLAIN,
  gc: MILLISECONDS,
  messagesPerPiece: PLAIN,
};

/** `goodput>=500MiB/s`: a metric, an operator, a number with or without its unit. @throws SpateError USAGE */
export function parseAssertion(text: string): Assertion {
  const match = /^\s*([a-zA-Z0-9]+)\s*(>=|<=|>|<)\s*(\d+(?:\.\d+)?)\s*([a-zA-Z/]*)\s*$/.exec(text);
  if (match === null) throw new SpateError('USAGE', `expected an assertion such as goodput>=500MiB/s, got "${text}"`);
  const [, metric, operator, digits, unit] = match as unknown as [
    string,
    MetricName,
    Assertion['operator'],
    string,
    string,
  ];
  const units = Object.hasOwn(ASSERTABLE, metric) ? ASSERTABLE[metric] : undefined;
  if (units === undefined) {
    throw new SpateError('USAGE', `expected one of ${Object.keys(ASSERTABLE).join(', ')} to assert, got "${metric}"`);
  }
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (factor === undefined) {
    const known = Object.keys(units).filter((name) => name !== '');
    throw new SpateError('USAGE', `expected ${metric} in ${known.join(', ') || 'no unit'}, got "${unit}"`);
  }
  return { text, metric, operator, value: Number(digits) * factor };
}

export function holds({ operator, value }: Assertion, found: number): boolean {
  switch (operator) {
    case '>=':
      return found >= value;
    case '<=':
      return found <= value;
    case '>':
      return found > value;
    case '<':
      return found < value;
  }
}

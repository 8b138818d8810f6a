/** A bench told to people: lines of text. Pure. */
import type { BenchResult, WorkersResult } from './bench.js';
import type { MetricName } from './metrics.js';

const MIB = 2 ** 20;

type Row = readonly [name: MetricName, label: string, unit: string, divisor: number];

const ROWS: readonly Row[] = [
  ['goodput', 'goodput', 'MiB/s', MIB],
  ['gbit', '', 'Gbit/s', 1],
  ['first', 'first piece', 'ms', 0.001],
  ['wall', 'wall', 's', 1],
  ['cpu', 'CPU, client', 's/GiB', 1],
  ['user', '  user', 's/GiB', 1],
  ['sys', '  system', 's/GiB', 1],
  ['seedersCpu', 'CPU, peers', 's/GiB', 1],
  ['rss', 'peak RSS', 'MiB', MIB],
  ['latencyP50', 'block latency p50', 'ms', 1],
  ['latencyP95', '  p95', 'ms', 1],
  ['latencyP99', '  p99', 'ms', 1],
  ['wasted', 'wasted', 'MiB', MIB],
  ['mainDelayP99', 'loop delay p99, main', 'ms', 1],
  ['groupDelayP99', '  worst group', 'ms', 1],
  ['mainBusy', 'busy, main', '%', 0.01],
  ['groupBusy', '  busiest group', '%', 0.01],
  ['gc', 'garbage collection', 'ms', 1],
  ['messagesPerPiece', 'messages per piece', '', 1],
];

/** The figures, the ceilings, the verdict; with a baseline, ratios to its medians. */
export function benchLines(result: BenchResult, baseline?: BenchResult): string[] {
  const { scenario } = result.settings;
  return result.results.flatMap((each) => {
    const other = baseline?.results.find(({ workers }) => workers === each.workers);
    const ceilings = Object.entries(each.ceilings).map(([stage, rate]) => `${stage} ${short(rate / MIB)} MiB/s`);
    return [
      `${scenario}, ${each.workers} ${each.workers === 1 ? 'worker' : 'workers'}, ${each.runs.length} runs`,
      ...figureLines(each, other),
      ...(ceilings.length > 0 ? [`ceilings: ${ceilings.join(', ')}`] : []),
      ...(each.verdict === undefined ? [] : [`limited by ${each.verdict.limit}: ${each.verdict.evidence}`]),
      '',
    ];
  });
}

function figureLines({ spreads, runs }: WorkersResult, other: WorkersResult | undefined): string[] {
  const each = runs.map((_, i) => `run ${i + 1}`);
  const head = row('', ['min', 'median', 'max', ...(other === undefined ? [] : ['ratio']), ...each], '');
  const lines = ROWS.flatMap(([name, label, unit, divisor]) => {
    const spread = spreads[name];
    if (spread === undefined) return [];
    const values = [spread.min, spread.median, spread.max].map((value) => short(value / divisor));
    const before = other?.spreads[name]?.median;
    if (other !== undefined) values.push(before ? `${(spread.median / before).toFixed(2)}x` : '-');
    return [row(label, [...values, ...runs.map((run) => short((run[name] ?? 0) / divisor))], unit)];
  });
  return [head, ...lines];
}

function row(label: string, values: readonly string[], unit: string): string {
  return `${label.padEnd(22)}${values.map((value) => value.padStart(9)).join('')}  ${unit}`.trimEnd();
}

/** Three digits or more. */
function short(value: number): string {
  return value.toFixed(value >= 100 || value === 0 ? 0 : value >= 10 ? 1 : 2);
}

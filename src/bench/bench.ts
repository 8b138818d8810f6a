/** A whole bench: ceilings, warm-up, runs, verdict, for each number of workers. Prints nothing. */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { unlessAborted } from '../discovery/clock.js';
import { VERSION } from '../package.js';
import { quantile, type Spread, spreadOf } from '../statistics.js';
import { Lab, Seeders } from './lab.js';
import { type Assertion, holds, type MetricName, type Metrics } from './metrics.js';
import { prepareData, type RunContext, type RunResult, runOnce, runStage } from './scenarios.js';
import { type BenchSettings, isStage, type Stage } from './settings.js';
import { type Verdict, verdictOf } from './verdict.js';

export interface BenchResult {
  readonly v: 1;
  readonly spate: string;
  readonly node: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly load: number; readonly tmpfs: boolean };
  readonly settings: BenchSettings;
  /** One for each number of workers. */
  readonly results: readonly WorkersResult[];
  readonly warnings: readonly string[];
}

export interface WorkersResult {
  readonly workers: number;
  readonly runs: readonly Partial<Metrics>[];
  readonly spreads: Readonly<Partial<Record<MetricName, Spread>>>;
  /** Bytes per second. */
  readonly ceilings: Readonly<Partial<Record<Stage, number>>>;
  readonly verdict?: Verdict;
}

export interface BenchHost {
  readonly signal: AbortSignal;
  note(text: string): void;
}

/** A ceiling needs no more than this to be known. */
const CEILING_BYTES = 256 * 1_048_576;
const BUSY = 0.9;

export async function runBench(settings: BenchSettings, host: BenchHost): Promise<BenchResult> {
  const load = loadavg()[0]!;
  const lab = await Lab.open(settings);
  const measuring = measure(settings, lab, load, host);
  try {
    return await unlessAborted(measuring, host.signal);
  } finally {
    await lab.halt();
    // It may be writing still: the folder goes when nobody uses it.
    await measuring.catch(() => {});
    await lab.close();
  }
}

async function measure(settings: BenchSettings, lab: Lab, load: number, host: BenchHost): Promise<BenchResult> {
  const { scenario } = settings;
  const downloads = ['swarm', 'dual', 'many', 'net'].includes(scenario);
  const seeders = downloads ? await Seeders.start(lab, settings) : undefined;
  const data = scenario === 'upload' || scenario === 'recheck' ? await prepareData(lab, host.signal) : undefined;
  const warnings = machineWarnings(settings, lab, load);
  const results: WorkersResult[] = [];
  for (const workers of settings.workers) {
    const context: RunContext = { lab, settings, workers, seeders, data, signal: host.signal };
    const result = isStage(scenario)
      ? await measureStage(context, scenario, host)
      : await measureTransfer(context, warnings, host);
    results.push(result);
  }
  const [cpu] = cpus();
  return {
    v: 1,
    spate: VERSION,
    node: process.version,
    machine: { cpu: cpu?.model ?? 'unknown', cores: availableParallelism(), load, tmpfs: lab.isTmpfs },
    settings,
    results,
    warnings,
  };
}

async function measureStage(context: RunContext, stage: Stage, host: BenchHost): Promise<WorkersResult> {
  const runs: { goodput: number }[] = [];
  await repeat(context, host, async (counts) => {
    const goodput = await runStage(context, stage, context.settings.size);
    if (counts) runs.push({ goodput });
  });
  const goodput = spreadOf(runs.map((run) => run.goodput));
  return { workers: context.workers, runs, spreads: { goodput }, ceilings: { [stage]: goodput.median } };
}

async function measureTransfer(context: RunContext, warnings: string[], host: BenchHost): Promise<WorkersResult> {
  const { settings, workers } = context;
  const ceilings: Partial<Record<Stage, number>> = {};
  for (const stage of stagesOf(settings)) {
    host.note(`ceiling of ${stage}, ${workers} workers`);
    ceilings[stage] = await runStage(context, stage, Math.min(settings.size, CEILING_BYTES));
    host.signal.throwIfAborted();
  }
  const results: RunResult[] = [];
  await repeat(context, host, async (counts) => {
    const result = await runOnce(context);
    if (counts) results.push(result);
  });
  const runs = results.map(({ metrics }) => metrics);
  const median = (values: readonly number[]): number => quantile(values, 0.5);
  const peers = median(results.map(({ peerUtilisation }) => peerUtilisation));
  if (peers >= BUSY) warn(warnings, 'the peers are saturated: the client could do more; add --seeders and cores');
  const verdict = verdictOf({
    goodput: median(runs.map(({ goodput }) => goodput)),
    ceilings,
    mainUtilisation: median(runs.map(({ mainBusy }) => mainBusy)),
    groupUtilisation: results.at(-1)!.groupUtilisation,
    seederUtilisation: peers,
    seedersThrottled: isThrottled(settings),
    reads: settings.scenario === 'recheck',
  });
  return { workers, runs, spreads: spreadsOf(runs), ceilings, verdict };
}

/** Warm-up runs do not count. */
async function repeat(context: RunContext, host: BenchHost, run: (counts: boolean) => Promise<void>): Promise<void> {
  const { runs, warmup, scenario } = context.settings;
  for (let i = -warmup; i < runs; i++) {
    host.signal.throwIfAborted();
    host.note(`${scenario}, ${context.workers} workers, ${i < 0 ? 'warm-up' : `run ${i + 1} of ${runs}`}`);
    await run(i >= 0);
  }
}

/** Ceilings that have a part in a scenario and can be measured with its peers. */
function stagesOf(settings: BenchSettings): Stage[] {
  const { scenario, storage, churnMs } = settings;
  if (scenario === 'upload') return [];
  if (scenario === 'recheck') return ['hash'];
  const net: Stage[] = scenario === 'many' || isThrottled(settings) || churnMs > 0 ? [] : ['net'];
  return ['hash', ...(storage === 'disk' ? (['disk'] as const) : []), ...net];
}

const isThrottled = ({ rttMs, seedBytesPerSecond }: BenchSettings): boolean => rttMs > 0 || seedBytesPerSecond > 0;

function spreadsOf(runs: readonly Metrics[]): Record<MetricName, Spread> {
  const names = Object.keys(runs[0]!) as MetricName[];
  return Object.fromEntries(names.map((name) => [name, spreadOf(runs.map((run) => run[name]))])) as Record<
    MetricName,
    Spread
  >;
}

function machineWarnings(settings: BenchSettings, lab: Lab, load: number): string[] {
  const cores = availableParallelism();
  const warnings: string[] = [];
  if (load > cores / 4) warn(warnings, `the load average was ${load.toFixed(1)} on ${cores} cores before the bench`);
  if (lab.isTmpfs && settings.storage === 'disk')
    warn(warnings, 'the disk is memory (tmpfs): set TMPDIR for a real one');
  const needed = Math.max(...settings.workers) + 1 + (isStage(settings.scenario) ? 0 : settings.seeders);
  if (cores < needed) warn(warnings, `${cores} cores for ${needed} busy threads: peers take time from the client`);
  return warnings;
}

function warn(warnings: string[], text: string): void {
  if (!warnings.includes(text)) warnings.push(text);
}

/** What does not hold of the medians, one line each; what was not measured does not hold. */
export function failures(result: BenchResult, assertions: readonly Assertion[]): string[] {
  return result.results.flatMap(({ workers, spreads }) =>
    assertions.flatMap((assertion) => {
      const found = spreads[assertion.metric]?.median;
      if (found !== undefined && holds(assertion, found)) return [];
      return [`asserted ${assertion.text} with ${workers} workers, found ${found ?? 'no such figure'}`];
    }),
  );
}

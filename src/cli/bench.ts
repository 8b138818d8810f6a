/** `spate bench`: what a swarm on loopback shows of this machine and the engine. Thin: measuring is `src/bench`. */
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { BenchResult } from '../bench/bench.js';
import { type BenchSettings, checkSettings, SCENARIOS, type Scenario } from '../bench/settings.js';
import { fileError, messageOf, SpateError } from '../errors.js';
import { jsonLine } from '../text.js';
import { parseDuration, parseRateLimit, parseSize } from '../units.js';
import { addBenchCompare } from './bench-compare.js';
import { EXIT, exitCodeOf } from './exit-codes.js';
import { addOutputFlags, type OutputFlags } from './flags.js';
import { watchInterruption } from './interruption.js';
import { Output } from './output.js';

interface BenchFlags extends OutputFlags, Omit<BenchSettings, 'scenario' | 'files' | 'size' | 'workers' | 'piece'> {
  readonly size?: number;
  readonly piece?: number;
  readonly files?: number;
  readonly workers?: readonly number[];
  readonly rtt: number;
  readonly seedRate: number;
  readonly churn: number;
  readonly save?: string;
  readonly baseline?: string;
  readonly assert?: readonly string[];
}

const MIB = 1_048_576;

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    // What follows `compare` is its own.
    .enablePositionalOptions()
    .description('measure throughput on a loopback swarm')
    .addArgument(new Argument('[scenario]', 'what to measure').choices(SCENARIOS).default('swarm'))
    .option('--size <size>', 'payload (default: 1GiB; many: 128MiB)', read(parseSize))
    .option('--piece <size>', 'piece length (default: 1MiB; many: 32KiB)', read(parseSize))
    .option('--files <n>', 'files of the torrent, torrents in many (default: 1; many: 2000)', read(Number))
    .option('--seeders <n>', 'seeding processes', read(Number), 2)
    .option('--conns <n>', 'connections to each seeder', read(Number), 4)
    .option('--workers <list>', 'worker threads, such as 1,2,4: each is measured (default: one per core)', read(list))
    .option('--rtt <time>', 'seeders answer so much later', read(parseDuration), 0)
    .option('--seed-rate <rate>', 'each seeder sends at most this per second', read(rate), 0)
    .option('--corrupt <part>', 'part of the last seeder’s blocks that are wrong, 0 to 0.5', read(Number), 0)
    .option('--churn <time>', 'seeders drop a connection after this time', read(parseDuration), 0)
    .addOption(
      new Option('--storage <where>', 'null discards verified pieces').choices(['disk', 'null']).default('disk'),
    )
    .option('--runs <n>', 'runs that count', read(Number), 3)
    .option('--warmup <n>', 'runs before them that do not', read(Number), 1)
    .option('--save <file>', 'store the result as JSON')
    .option('--baseline <file>', 'compare with a stored result')
    .option(
      '--assert <what>',
      'such as goodput>=500MiB/s, of the median; exit code 12 when it does not hold; repeatable',
      (text: string, previous: readonly string[] = []) => [...previous, text],
    );
  addOutputFlags(command).action(async (scenario: Scenario, flags: BenchFlags) => {
    process.exitCode ??= await bench(scenario, flags);
  });
  addBenchCompare(command);
}

async function bench(scenario: Scenario, flags: BenchFlags): Promise<number> {
  const output = new Output(flags);
  const interruption = watchInterruption(
    () => output.note('stopping; a second signal ends it at once'),
    (code) => process.exit(code),
  );
  try {
    const settings = checkSettings(settingsOf(scenario, flags));
    const { parseAssertion } = await import('../bench/metrics.js');
    const assertions = (flags.assert ?? []).map(parseAssertion);
    const baseline = flags.baseline === undefined ? undefined : await readBaseline(flags.baseline, scenario);
    const { runBench, failures } = await import('../bench/bench.js');
    const result = await runBench(settings, { signal: interruption.signal, note: (text) => output.note(text) });
    for (const warning of result.warnings) output.warning(warning);
    await tell(result, baseline, flags, output);
    const failed = failures(result, assertions);
    for (const text of failed) output.error(new Error(text));
    return failed.length > 0 ? EXIT.assertion : EXIT.ok;
  } catch (error) {
    if (interruption.exitCode !== undefined) return interruption.exitCode;
    output.error(error);
    return exitCodeOf(error);
  } finally {
    interruption.release();
  }
}

async function tell(result: BenchResult, baseline: BenchResult | undefined, flags: BenchFlags, output: Output) {
  if (flags.save !== undefined) {
    await writeFile(flags.save, `${JSON.stringify(result, undefined, 2)}\n`).catch((error: unknown) => {
      throw fileError(`write ${flags.save}`, error);
    });
  }
  if (flags.json) return output.data(jsonLine(result));
  const { benchLines } = await import('../bench/table.js');
  for (const line of benchLines(result, baseline)) output.data(line);
}

function settingsOf(scenario: Scenario, flags: BenchFlags): BenchSettings {
  const isMany = scenario === 'many';
  const { seeders, conns, corrupt, storage, runs, warmup } = flags;
  return {
    scenario,
    size: flags.size ?? (isMany ? 128 : 1024) * MIB,
    piece: flags.piece ?? (isMany ? MIB / 32 : MIB),
    files: flags.files ?? (isMany ? 2000 : 1),
    workers: flags.workers ?? [Math.min(64, availableParallelism())],
    rttMs: flags.rtt,
    seedBytesPerSecond: flags.seedRate,
    churnMs: flags.churn,
    seeders,
    // One torrent of many has one piece or two: more connections to a seeder would be idle.
    conns: isMany ? 1 : conns,
    corrupt,
    storage,
    runs,
    warmup,
  };
}

async function readBaseline(path: string, scenario: Scenario): Promise<BenchResult> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(`read ${path}`, error);
  });
  try {
    const result = JSON.parse(text) as BenchResult;
    if (result.v === 1 && Array.isArray(result.results) && result.settings.scenario === scenario) return result;
  } catch {
    // Told below, with what was expected.
  }
  throw new SpateError(
    'USAGE',
    `expected a result of \`spate bench ${scenario} --save\` in ${path}, found something else`,
  );
}

/** For commander, which names the flag in front of the message. */
function read<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(messageOf(error));
    }
  };
}

const list = (text: string): number[] => text.split(',').map(Number);

/** 0 for no limit. */
function rate(text: string): number {
  const limit = parseRateLimit(text);
  return Number.isFinite(limit) ? limit : 0;
}

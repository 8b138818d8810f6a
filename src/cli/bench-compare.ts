/** `spate bench compare`: the flags of a race against other clients, and how it is told. */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { type Command, Option } from 'commander';
import type { CompareEvent, CompareSettings, SeederChoice } from '../bench/compare.js';
import type { Comparison } from '../bench/comparison.js';
import { fileError, SpateError } from '../errors.js';
import { escapeControls, jsonLine } from '../text.js';
import { formatRate, formatSeconds, parseDuration, parseSize } from '../units.js';
import { EXIT, exitCodeOf } from './exit-codes.js';
import { addOutputFlags, checked, collected, type OutputFlags, parseInteger } from './flags.js';
import { type Interruption, watchInterruption } from './interruption.js';
import { Output } from './output.js';

interface CompareFlags extends OutputFlags {
  readonly with?: string;
  readonly command?: readonly string[];
  /** Bytes. */
  readonly size: number;
  readonly piece: number;
  readonly runs: number;
  readonly warmup: number;
  readonly seeds: number;
  readonly seeder: SeederChoice;
  readonly dir: string;
  /** Milliseconds. */
  readonly timeout: number;
  readonly report?: string;
  readonly markdown?: string;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** Of what `--size` takes: a block, and what no run ends with. */
const SIZE = { min: 16 * KIB, max: 2 ** 40 };
/** What every client in use takes. */
const PIECE = { min: 16 * KIB, max: 64 * MIB };
const MAX_RUNS = 100;
const MAX_WARMUP = 10;
const MAX_SEEDS = 64;
const TIMEOUT_MS = { min: 1000, max: 86_400_000 };

const HELP = `
Races this spate against other clients on one torrent from the same seeds on loopback, one at a time, in rounds
whose order rotates. What was downloaded is compared with the payload byte by byte, or the run is void.
Known by name: aria2c, libtorrent, transmission, qbittorrent-nox, and floor, the C loop of bench/native.

In a command {torrent} {out} {home} {payload} {name} {size} {piece} {infohash} {port} {ports} are filled in; it is
done when it ends with exit code 0.

Examples:
  spate bench compare --with aria2c,libtorrent --dir /dev/shm --report report.html
  spate bench compare --with floor --command 'one-worker=spate get {torrent} -o {out} -q --workers 1'
  spate bench compare --with aria2c --command 'copy=cp {payload} {out}/'`;

export function addBenchCompare(bench: Command): void {
  const command = bench
    .command('compare')
    .description('race other clients on the same torrent')
    .option('--with <names>', 'clients to race, between commas, or none (default: all that are installed)')
    .option('--command <name=cmd>', 'race this command too; repeatable', collected(String))
    .option('--size <size>', 'payload, 16KiB to 1TiB', checked(parseRange(SIZE)), 1024 * MIB)
    .option('--piece <size>', 'piece length, a power of two, 16KiB to 64MiB', checked(parsePiece), MIB)
    .option('--runs <n>', `rounds that count, 1 to ${MAX_RUNS}`, checked(parseInteger(1, MAX_RUNS)), 5)
    .option(
      '--warmup <n>',
      `rounds before them, discarded, 0 to ${MAX_WARMUP}`,
      checked(parseInteger(0, MAX_WARMUP)),
      1,
    )
    .option('--seeds <n>', `seeds, 1 to ${MAX_SEEDS}`, checked(parseInteger(1, MAX_SEEDS)), 1)
    .addOption(
      new Option('--seeder <kind>', 'native: in C, the cheapest; spate: `spate seed`; auto: native where gcc is')
        .choices(['auto', 'native', 'spate'])
        .default('auto'),
    )
    .option('--dir <dir>', 'folder for payload and downloads: a RAM disk measures clients, not disks', tmpdir())
    .option('--timeout <time>', 'a run that takes longer is void, 1s to 1d', checked(parseTimeout), 300_000)
    .option('--report <file>', 'write an HTML report with charts')
    .option('--markdown <file>', 'write what is printed to a file too')
    .addHelpText('after', HELP);
  describeDefaults(command);
  addOutputFlags(command).action(async (flags: CompareFlags) => {
    process.exitCode ??= await benchCompare(flags);
  });
}

/** As people write them. */
function describeDefaults(command: Command): void {
  const texts: Record<string, string> = { size: '1GiB', piece: '1MiB', timeout: '5m', dir: 'the temporary folder' };
  for (const option of command.options) {
    const text = texts[option.attributeName()];
    if (text !== undefined) option.default(option.defaultValue, text);
  }
}

/** @returns the exit code */
async function benchCompare(flags: CompareFlags): Promise<number> {
  const output = new Output(flags);
  const interruption = watchInterruption(
    () => output.note('stopping; a second signal ends it at once'),
    (code) => process.exit(code),
  );
  try {
    const { compare } = await import('../bench/compare.js');
    const settings = await settingsOf(flags);
    const comparison = await compare(settings, interruption.signal, (event) => tell(event, settings, output));
    await publish(comparison, flags, output);
    return interruption.exitCode ?? verdict(comparison, output);
  } catch (error) {
    return failure(error, interruption, output);
  } finally {
    interruption.release();
  }
}

/** @throws SpateError USAGE */
async function settingsOf(flags: CompareFlags): Promise<CompareSettings> {
  const { parseCommand, parseRivals } = await import('../bench/rivals.js');
  const { size, piece: pieceLength, runs, warmup, seeds, seeder, dir: folder, timeout: timeoutMs } = flags;
  const rivals = flags.with === undefined ? undefined : parseRivals(flags.with);
  const commands = (flags.command ?? []).map(parseCommand);
  return { rivals, commands, size, pieceLength, runs, warmup, seeds, seeder, folder, timeoutMs };
}

function tell(event: CompareEvent, { runs, size }: CompareSettings, output: Output): void {
  switch (event.type) {
    case 'missing':
      return output.warning(`${event.name} does not take part: ${event.reason}`);
    case 'step':
      return output.note(event.text);
    case 'run': {
      const { name, round, outcome } = event;
      const at = round < 1 ? 'warm-up' : `round ${round} of ${runs}`;
      if ('reason' in outcome) return output.warning(`${at}: ${name} is void: ${outcome.reason}`);
      const { seconds, cpuSeconds } = outcome;
      const cpu = cpuSeconds === null ? '' : `, ${cpuSeconds.toFixed(2)} s of CPU`;
      return output.note(`${at}: ${name} ${formatSeconds(seconds)}, ${formatRate(size / seconds)}${cpu}`);
    }
  }
}

/** stdout first: a file that cannot be written does not cost the figures. */
async function publish(
  comparison: Comparison,
  { json, report, markdown }: CompareFlags,
  output: Output,
): Promise<void> {
  const [{ summarise }, { markdownReport }, { htmlReport }] = await Promise.all([
    import('../bench/comparison.js'),
    import('../bench/comparison-table.js'),
    import('../bench/report.js'),
  ]);
  const text = markdownReport(comparison);
  if (json) output.data(jsonLine({ type: 'comparison', ...comparison, summary: summarise(comparison) }));
  else for (const line of text.trimEnd().split('\n')) output.data(escapeControls(line));
  if (markdown !== undefined) await write(markdown, text);
  if (report !== undefined) await write(report, htmlReport(comparison));
}

async function write(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error: unknown) => {
    throw fileError(`write ${path}`, error);
  });
}

/** What others fail at is told; what ours fails at is an error. */
export function verdict({ contenders }: Pick<Comparison, 'contenders'>, output: Output): number {
  const [ours] = contenders;
  if (ours === undefined || ours.voids.length === 0) return EXIT.ok;
  const of = ours.voids.length + ours.runs.length;
  output.error(`${ours.voids.length} of ${of} runs of ${ours.name} are void: ${ours.voids[0]!.reason}`);
  return EXIT.assertion;
}

function failure(error: unknown, { exitCode, signal }: Interruption, output: Output): number {
  if (signal.aborted) return exitCode ?? EXIT.internal;
  output.error(error);
  return exitCodeOf(error);
}

function parseRange({ min, max }: typeof SIZE): (text: string) => number {
  return (text) => {
    const size = parseSize(text);
    if (size >= min && size <= max) return size;
    throw new SpateError('USAGE', `expected ${min} to ${max} bytes, got ${size}`);
  };
}

function parsePiece(text: string): number {
  const length = parseRange(PIECE)(text);
  if (Number.isInteger(Math.log2(length))) return length;
  throw new SpateError('USAGE', `expected a power of two, got ${length}`);
}

function parseTimeout(text: string): number {
  const ms = parseDuration(text);
  if (ms >= TIMEOUT_MS.min && ms <= TIMEOUT_MS.max) return ms;
  throw new SpateError('USAGE', `expected 1s to 1d, got ${text}`);
}

/** `spate batch`: downloads many torrents. */
import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import { parseShard, type Shard } from '../batch/merge.js';
import type { Order } from '../batch/schedule.js';
import { parseSize } from '../units.js';
import { addEventFlag, type EventFlags } from './events.js';
import {
  type AllocFlag,
  addNetworkFlags,
  addOutputFlags,
  addPatienceFlags,
  addSeedGoalFlags,
  allocOption,
  checked,
  collected,
  type DeadlineFlag,
  deadlineOption,
  type NetworkFlags,
  parseInteger,
  parseWait,
  type SeedGoalFlags,
} from './flags.js';

export interface BatchFlags extends NetworkFlags, EventFlags, SeedGoalFlags, DeadlineFlag, AllocFlag {
  readonly out: string;
  /** Downloads at a time; `auto` for as many as pay. */
  readonly jobs: number | 'auto';
  readonly metaJobs: number;
  readonly checkJobs: number;
  readonly order: Order;
  readonly stallAction: 'requeue' | 'fail';
  readonly retries: number;
  /** Milliseconds, as all times here; 0 for no limit. */
  readonly retryWait: number;
  readonly itemDeadline: number;
  /** Bytes. */
  readonly minFree: number;
  readonly seedJobs: number;
  /** Path of the journal. */
  readonly state?: string;
  readonly report?: readonly string[];
  readonly failed?: string;
  readonly shard?: Shard;
  readonly skipInvalid?: boolean;
  readonly watch?: readonly string[];
}

const MAX_JOBS = 10_000;

const HELP = `
A source is a .torrent, a folder or glob of them, a list, or - for a list on stdin. A line of a list is the path of a
.torrent, a comment (# ...), or JSON: {"source":"a.torrent","id":"a","out":"dir","select":"1,3-5","max_down":"1MiB"}.
Everything but stdin and watched folders is checked before the first byte is fetched.

Run the same command again to go on: what is done is skipped, what has failed is tried again.

Examples:
  spate batch list.txt -o downloads --report report.md
  spate batch 'torrents/*.torrent' -j 20 --failed again.txt
  find . -name '*.torrent' | spate batch - --skip-invalid --json
  spate batch --watch incoming -o downloads`;

export function addBatch(program: Command): void {
  const command = program
    .command('batch')
    .description('download many torrents, with a journal and a report')
    .argument('[source...]', 'lists, folders, globs and .torrent files; - for a list on stdin')
    .option('-o, --out <dir>', 'folder to download into', '.')
    .option('-j, --jobs <n>', 'downloads at a time; auto: as many as bring more', checked(parseJobs), 'auto')
    .option('--meta-jobs <n>', 'torrents being read at a time', checked(parseInteger(1, MAX_JOBS)), 64)
    .addOption(
      new Option('--check-jobs <n>', 'torrents whose data are hashed at a time')
        .argParser(checked(parseInteger(1, MAX_JOBS)))
        .default(availableParallelism(), 'one per core'),
    )
    .addOption(
      new Option('--order <which>', 'which ones first').choices(['list', 'small', 'large', 'random']).default('list'),
    )
    .addOption(
      new Option('--stall-action <what>', 'requeue: try a stalled one again later; fail: give it up')
        .choices(['requeue', 'fail'])
        .default('requeue'),
    )
    .option('--retries <n>', 'further attempts that bring nothing', checked(parseInteger(0, 1000)), 3)
    .addOption(
      new Option('--retry-wait <time>', 'before the first of them; doubles each time')
        .argParser(checked(parseWait))
        .default(30_000, '30s'),
    )
    .addOption(
      new Option('--item-deadline <time>', 'give a torrent up after so long in the session')
        .argParser(checked(parseWait))
        .default(0, 'none'),
    )
    .addOption(deadlineOption())
    .addOption(
      new Option('--min-free <size>', 'start nothing that would leave less on the disk')
        .argParser(checked(parseSize))
        .default(0, 'none'),
    );
  addKeepingFlags(command);
  addNetworkFlags(command);
  addPatienceFlags(command);
  addEventFlag(addOutputFlags(command))
    .addHelpText('after', HELP)
    .action(async (sources: string[], flags: BatchFlags) => {
      const { batch } = await import('./run-batch.js');
      process.exitCode ??= await batch(sources, flags);
    });
}

function addKeepingFlags(command: Command): void {
  addSeedGoalFlags(command)
    .option('--seed-jobs <n>', 'seeding at a time; the oldest makes room', checked(parseInteger(1, MAX_JOBS)), 100)
    .addOption(allocOption())
    .option('--state <file>', 'journal (default: one for these sources and this folder, in the state folder)')
    .option('--report <file>', 'write how each ended, as .json, .csv or .md; repeatable', collected(String))
    .option('--failed <file>', 'write the failed ones as a list to feed again')
    .option('--shard <i/n>', 'only this part of the torrents, for one of several machines', checked(parseShard))
    .option('--skip-invalid', 'leave out what is no torrent, in place of refusing everything')
    .option('--watch <dir>', 'take the .torrent files that appear in this folder; repeatable', collected(String));
}

function parseJobs(text: string): BatchFlags['jobs'] {
  return text === 'auto' ? text : parseInteger(1, MAX_JOBS)(text);
}

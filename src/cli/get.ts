/** `spate get`, and `spate` alone: downloads torrents. */
import { type Command, Option } from 'commander';
import { FOR_EVER } from '../seed-goal.js';
import { addEventFlag, type EventFlags } from './events.js';
import {
  addNetworkFlags,
  addOutputFlags,
  addPatienceFlags,
  addSeedGoalFlags,
  addSelectFlags,
  type DeadlineFlag,
  deadlineOption,
  type NetworkFlags,
  type SeedGoalFlags,
  type SelectFlags,
  seedGoalOf,
  selectionOf,
} from './flags.js';
import type { Job } from './job.js';
import type { RunContext } from './run.js';

interface GetFlags extends NetworkFlags, SelectFlags, EventFlags, SeedGoalFlags, DeadlineFlag {
  readonly out: string;
  readonly seed?: boolean;
  readonly alloc: 'sparse' | 'full';
}

export function addGet(program: Command): void {
  const command = program
    .command('get', { isDefault: true })
    .description('download torrents; what is on disk already is kept')
    .argument('<torrent...>', 'paths of .torrent files, or - for one on stdin')
    .option('-o, --out <dir>', 'folder to download into', '.')
    .option('--seed', 'go on seeding until a signal')
    .addOption(
      new Option('--alloc <how>', 'sparse: take room on disk as bytes come; full: all of it before the first')
        .choices(['sparse', 'full'])
        .default('sparse'),
    );
  addSelectFlags(command);
  addSeedGoalFlags(command);
  addNetworkFlags(command);
  addPatienceFlags(command).addOption(deadlineOption());
  addEventFlag(addOutputFlags(command)).action(async (sources: string[], flags: GetFlags) => {
    process.exitCode ??= await get(sources, flags);
  });
}

async function get(sources: readonly string[], flags: GetFlags): Promise<number> {
  const { run } = await import('./run.js');
  return await run({
    sources,
    flags,
    out: flags.out,
    fetch: true,
    seed: seedGoalOf(flags) ?? (flags.seed ? FOR_EVER : undefined),
    deadlineMs: flags.deadline,
    alloc: flags.alloc,
    select: selectionOf(flags),
    onDone: (job, context) => onDone(job, flags, context),
  });
}

function onDone(job: Job, flags: GetFlags, { output, port }: RunContext): void {
  if (flags.json || flags.events === '-') output.note(`done ${job.doneText()}`);
  else output.success('done', job.doneText());
  const goal = seedGoalOf(flags);
  if (flags.seed || goal !== undefined) {
    output.note(
      `seeding ${job.name} on port ${port} until ${goal === undefined ? '' : 'its goal is reached or '}a signal`,
    );
  }
}

/** `spate get`, and `spate` alone: downloads torrents. */
import type { Command } from 'commander';
import { FOR_EVER, type SeedGoal } from '../seed-goal.js';
import { addEventFlag, type EventFlags } from './events.js';
import {
  type AllocFlag,
  addNetworkFlags,
  addOutputFlags,
  addPatienceFlags,
  addSeedGoalFlags,
  addSelectFlags,
  allocOption,
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

interface GetFlags extends NetworkFlags, SelectFlags, EventFlags, SeedGoalFlags, DeadlineFlag, AllocFlag {
  readonly out: string;
  readonly seed?: boolean;
}

export function addGet(program: Command): void {
  const command = program
    .command('get', { isDefault: true })
    .description('download torrents; what is on disk already is kept')
    .argument('<torrent...>', 'paths of .torrent files, or - for one on stdin')
    .option('-o, --out <dir>', 'folder to download into', '.')
    .option('--seed', 'go on seeding until a signal')
    .addOption(allocOption());
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
    seed: goalOf(flags),
    deadlineMs: flags.deadline,
    alloc: flags.alloc,
    select: selectionOf(flags),
    onDone: (job, context) => onDone(job, flags, context),
  });
}

function onDone(job: Job, flags: GetFlags, { output, port }: RunContext): void {
  if (flags.json || flags.events === '-') output.note(`done ${job.doneText()}`);
  else output.success('done', job.doneText());
  const goal = goalOf(flags);
  if (goal === undefined) return;
  const end = goal === FOR_EVER ? 'a signal' : 'its goal is reached or a signal';
  output.note(`seeding ${job.name} on port ${port} until ${end}`);
}

/** `undefined` when nothing is seeded. */
function goalOf(flags: GetFlags): SeedGoal | undefined {
  return seedGoalOf(flags) ?? (flags.seed ? FOR_EVER : undefined);
}

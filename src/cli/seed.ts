/** `spate seed`: gives existing data to whoever asks, after hashing them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { FOR_EVER } from '../seed-goal.js';
import { jsonLine } from '../text.js';
import { formatBytes } from '../units.js';
import { addEventFlag, type EventFlags } from './events.js';
import { addDataArguments, addNetworkFlags, addOutputFlags, type NetworkFlags } from './flags.js';
import type { Job } from './job.js';
import type { RunContext } from './run.js';

interface SeedFlags extends NetworkFlags, EventFlags {}

/** A tracker that has said nothing for so long holds up nobody who waits for the `ready` line. */
const ANNOUNCE_WAIT_MS = 5_000;

export function addSeed(program: Command): void {
  const command = program.command('seed').description('seed existing data until a signal');
  addDataArguments(command);
  addNetworkFlags(command);
  addEventFlag(addOutputFlags(command)).action(async (source: string, dir: string, flags: SeedFlags) => {
    process.exitCode ??= await seed(source, dir, flags);
  });
}

async function seed(source: string, dir: string, flags: SeedFlags): Promise<number> {
  const { run } = await import('./run.js');
  return await run({
    sources: [source],
    flags,
    out: dir,
    fetch: false,
    seed: FOR_EVER,
    onDone: (job, context) => onChecked(job, dir, flags, context),
  });
}

async function onChecked(job: Job, dir: string, flags: NetworkFlags, context: RunContext): Promise<void> {
  const { output, port, signal } = context;
  const { pieces, of } = job.checked;
  if (pieces < of) {
    output.warning(`${job.name}: ${of - pieces} of ${of} pieces are missing or bad in ${dir}; seeding the others`);
  }
  const have = formatBytes(job.stats?.have ?? 0);
  output.note(`seeding ${job.name} on port ${port} until a signal (${have}, ${pieces} of ${of} pieces)`);
  if (!flags.json) return;
  // Ready means that it can be found.
  await Promise.race([job.announced, delay(ANNOUNCE_WAIT_MS, undefined, { signal, ref: false }).catch(() => {})]);
  if (!signal.aborted) output.data(jsonLine({ type: 'ready', port, pieces, of }));
}

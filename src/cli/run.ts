/**
 * What `get` and `seed` do alike: take the torrents, open one session for them, follow each to its end, leave in good order
 * and sum up. How a torrent is asked for and announced as done is the command's.
 */
import { unlessAborted } from '../discovery/clock.js';
import { factsOf, SpateError } from '../errors.js';
import { VERSION } from '../package.js';
import type { PeerAddress } from '../protocol/address.js';
import type { SeedGoal } from '../seed-goal.js';
import { type FileSelection, Session } from '../session.js';
import { jsonLine } from '../text.js';
import { formatSeconds } from '../units.js';
import { type EventFlags, type EventLog, openEvents } from './events.js';
import { combinedExitCode, exitCodeOf } from './exit-codes.js';
import { type NetworkFlags, sessionSettings } from './flags.js';
import { Job, rounded } from './job.js';
import { runOrderly } from './orderly.js';
import { Output } from './output.js';
import { peersOf } from './peers.js';
import { showProgress } from './progress.js';
import { readTorrent } from './sources.js';

/** How often programs are told how far it is. */
const PROGRESS_MS = 1_000;

export interface RunSettings {
  readonly sources: readonly string[];
  readonly flags: NetworkFlags & EventFlags;
  /** Folder of the payload. */
  readonly out: string;
  /** Fetch what is missing. */
  readonly fetch: boolean;
  /** Go on until that is reached. */
  readonly seed?: SeedGoal | undefined;
  /** Give up what is not done after so long, in ms; 0 for never. */
  readonly deadlineMs?: number;
  readonly alloc?: 'sparse' | 'full';
  /** Of the files of each torrent. */
  readonly select?: FileSelection | undefined;
  /** A torrent has what it can get. */
  onDone(job: Job, context: RunContext): Promise<void> | void;
}

export interface RunContext {
  readonly output: Output;
  /** That is listened on. */
  readonly port: number;
  readonly signal: AbortSignal;
}

/** @returns the exit code */
export async function run(settings: RunSettings): Promise<number> {
  const startedAt = performance.now();
  const { flags, sources } = settings;
  const output = new Output(flags);
  let events: EventLog | undefined;
  const jobs = sources.map((source) => new Job(source, output, (type, fields) => events?.emit(type, fields)));
  const ended = await runOrderly(output, async (signal, stop) => {
    events = openEvents(flags, output, stop);
    events.emit('start', { version: VERSION });
    await load(jobs, signal);
    if (jobs.some(({ error }) => error === undefined)) await runJobs(jobs, settings, output, signal);
  });
  const exitCode = ended.exitCode(
    combinedExitCode(jobs.map(({ error }) => (error === undefined ? 0 : exitCodeOf(error)))),
  );
  const seconds = rounded((performance.now() - startedAt) / 1000);
  const error = ended.failure === undefined ? {} : { error: factsOf(ended.failure) };
  const summary = { exitCode, seconds, ...error, downloads: jobs.map((job) => job.toJson()) };
  if (flags.json) output.data(jsonLine({ type: 'summary', ...summary }));
  events?.emit('summary', summary);
  events?.close();
  events = undefined;
  ended.leave();
  return ended.exitCode(exitCode);
}

/** One after the other: two may want stdin. */
async function load(jobs: readonly Job[], signal: AbortSignal): Promise<void> {
  for (const job of jobs) {
    await job.load((source) => readTorrent(source, signal));
    signal.throwIfAborted();
  }
}

async function runJobs(
  jobs: readonly Job[],
  settings: RunSettings,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const { flags } = settings;
  const peers = await peersOf(flags.peer, output, signal);
  const session = await Session.open({ ...sessionSettings(flags), onNat: (line) => output.detail(line) });
  output.detail(`listening on port ${session.port}`);
  const hideProgress = showProgress(output, () => activeItems(jobs));
  const telling = setInterval(() => {
    for (const job of jobs) job.tellProgress();
  }, PROGRESS_MS);
  const context: RunContext = { output, port: session.port, signal };
  const giveUp = deadline(settings.deadlineMs, (reason) => {
    for (const job of jobs) job.giveUp(reason);
  });
  try {
    for (const job of jobs) job.start(session, downloadSettings(settings, peers));
    const ended = Promise.all(jobs.map((job) => follow(job, settings, context)));
    await unlessAborted(ended, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    hideProgress();
    // Ends what was interrupted; those that are done have left.
    await session.close();
    await ended;
  } finally {
    clearTimeout(giveUp);
    clearInterval(telling);
    hideProgress();
    await session.close();
  }
  if (!signal.aborted) return;
  for (const job of jobs) if (!job.isDone && job.error === undefined) output.note(job.stoppedText());
}

function deadline(ms = 0, onReached: (reason: SpateError) => void): NodeJS.Timeout | undefined {
  if (ms === 0) return undefined;
  return setTimeout(
    onReached,
    ms,
    new SpateError('STALLED', `the deadline of ${formatSeconds(ms / 1000)} was reached`),
  );
}

async function follow(job: Job, settings: RunSettings, context: RunContext): Promise<void> {
  await job.untilDone(context.signal);
  if (!job.isDone) return;
  await settings.onDone(job, context);
  if (settings.seed !== undefined) await job.seed(settings.seed);
}

function downloadSettings(settings: RunSettings, peers: readonly PeerAddress[]) {
  const { flags, out, seed, fetch, alloc = 'sparse', select } = settings;
  const { tracker, check } = flags;
  const chosen = { ...(tracker && { trackers: tracker }), ...(check && { check }), ...(select && { select }) };
  return { out, seed: seed !== undefined, fetch, alloc, peers, ...chosen };
}

function activeItems(jobs: readonly Job[]) {
  return jobs.flatMap(({ name, stats }) => {
    const isActive =
      stats?.state === 'checking' ||
      stats?.state === 'allocating' ||
      stats?.state === 'downloading' ||
      stats?.state === 'seeding';
    return stats !== undefined && isActive ? [{ name, stats }] : [];
  });
}

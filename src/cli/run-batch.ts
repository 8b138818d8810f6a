/**
 * What `spate batch` does: reads what it is given, runs it as one batch on one session, leaves in good order, and reports. The
 * batch decides what is done when; what is told of it to people and programs is `batch-teller.ts`'s.
 */
import { hash } from 'node:crypto';
import { realpathSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { Batch } from '../batch/batch.js';
import { type Checked, isRefused, type Refused } from '../batch/entry.js';
import { readInputs, streamInput } from '../batch/inputs.js';
import { Journal } from '../batch/journal.js';
import { duplicateText, Merge } from '../batch/merge.js';
import { watchFolders } from '../batch/watch.js';
import { requireWritable } from '../batch/write-report.js';
import { unlessAborted } from '../discovery/clock.js';
import { SpateError } from '../errors.js';
import { Session } from '../session.js';
import type { BatchFlags } from './batch.js';
import { BatchTeller } from './batch-teller.js';
import { seedGoalOf, sessionSettings } from './flags.js';
import { runOrderly } from './orderly.js';
import { Output } from './output.js';
import { peersOf } from './peers.js';
import { stateFolder } from './xdg.js';

/** @returns the exit code */
export async function batch(sources: readonly string[], flags: BatchFlags): Promise<number> {
  const output = new Output(flags);
  const teller = new BatchTeller(flags, output);
  const ended = await runOrderly(output, (signal, stop) => runBatch(sources, flags, teller, output, signal, stop));
  const ownCode = ended.exitCode(teller.exitCode);
  const exitCode = ended.isOverdue ? ownCode : await teller.sumUp(ownCode, ended.failure);
  ended.leave();
  return ended.exitCode(exitCode);
}

async function runBatch(
  sources: readonly string[],
  flags: BatchFlags,
  teller: BatchTeller,
  output: Output,
  signal: AbortSignal,
  stop: (error: SpateError) => void,
): Promise<void> {
  requireSources(sources, flags);
  const { report = [], failed, events } = flags;
  const reports = failed === undefined ? report : [...report, failed];
  requireNoSource(events === undefined || events === '-' ? reports : [...reports, events], sources);
  for (const path of reports) await requireWritable(path);
  teller.open(stop);
  const intake = new Intake(flags, teller);
  const first = await intake.read(sources, signal);
  if (first === undefined) return;
  const journal = await Journal.open(journalSettings(sources, flags, output));
  try {
    const peers = await peersOf(flags.peer, output, signal);
    const session = await Session.open({ ...sessionSettings(flags), onNat: (line) => output.detail(line) });
    output.detail(`listening on port ${session.port}`);
    const running = new Batch(batchSettings(flags, session, journal, peers, teller));
    teller.follow(running);
    try {
      for (const item of first) running.add(item);
      const late = new AbortController();
      const feeding = intake.feed(sources, running, signal, late.signal);
      await unlessAborted(Promise.all([feeding, untilDone(running, flags.deadline, late)]), signal).catch(
        (error: unknown) => {
          if (!signal.aborted) throw error;
        },
      );
    } finally {
      await running.stop();
      teller.unfollow();
      await session.close();
    }
  } finally {
    await journal.close();
  }
}

function requireSources(sources: readonly string[], { watch }: BatchFlags): void {
  if (sources.length === 0 && watch === undefined) {
    throw new SpateError(
      'USAGE',
      'expected a list, folder, glob or .torrent, or --watch, got nothing; see `spate batch --help`',
    );
  }
  if (sources.filter((source) => source === '-').length > 1)
    throw new SpateError('USAGE', 'expected - once: there is one stdin');
}

/** A run that is refused would leave its own list without what was sound in it. */
function requireNoSource(outputs: readonly string[], sources: readonly string[]): void {
  for (const path of outputs) {
    const target = fileAt(path);
    const source = target && sources.find((each) => each !== '-' && fileAt(each) === target);
    if (!source) continue;
    const message = `expected a file of its own to write to, got ${path}, which is the source ${source} itself`;
    throw new SpateError('USAGE', message);
  }
}

/** The regular file that a path leads to; `undefined` for anything else, such as a glob. */
function fileAt(path: string): string | undefined {
  try {
    return statSync(path).isFile() ? realpathSync.native(path) : undefined;
  } catch {
    return undefined;
  }
}

/** @param late aborted when the deadline comes before everything is done */
async function untilDone(running: Batch, deadlineMs: number, late: AbortController): Promise<void> {
  const reason = new SpateError('STALLED', `the deadline of ${Math.round(deadlineMs / 1000)} s was reached`);
  const timer = deadlineMs > 0 ? setTimeout(() => late.abort(reason), deadlineMs) : undefined;
  try {
    await unlessAborted(running.done, late.signal);
  } catch (error) {
    if (error !== reason) throw error;
    await running.stop(reason);
  } finally {
    clearTimeout(timer);
  }
}

/** From arguments, stdin and watched folders to items that are each there once. */
class Intake {
  readonly #flags: BatchFlags;
  readonly #teller: BatchTeller;
  readonly #merge: Merge;
  #hasTaken = false;

  constructor(flags: BatchFlags, teller: BatchTeller) {
    this.#flags = flags;
    this.#teller = teller;
    this.#merge = new Merge(flags.out, flags.shard);
  }

  /**
   * What is there from the start, all of it.
   * @returns `undefined` when something of it is refused, and so everything
   */
  async read(sources: readonly string[], signal: AbortSignal): Promise<Checked[] | undefined> {
    const finite = sources.filter((source) => source !== '-');
    const { checked, refused } = await readInputs(finite, signal);
    for (const each of refused) this.#teller.onRefused(each);
    const items = checked.flatMap((each) => this.#take(each));
    const isAll = finite.length === sources.length && this.#flags.watch === undefined;
    if (!this.#teller.hasRefused && (this.#hasTaken || !isAll)) return items;
    this.#teller.onNothing();
    this.#requireSome();
    return undefined;
  }

  /**
   * What comes later, as it comes.
   * @param signal ends it without a word
   * @param late the deadline: ends it, too; who still writes to stdin was cut off, while a watch has no end of its own
   */
  async feed(sources: readonly string[], running: Batch, signal: AbortSignal, late: AbortSignal): Promise<void> {
    const { watch } = this.#flags;
    const stop = AbortSignal.any([signal, late]);
    const reading = async (): Promise<void> => {
      if (!sources.includes('-')) return;
      await this.#follow(streamInput(process.stdin, stop), running);
      if (late.aborted) this.#teller.onProblem(cutOff(late.reason));
      else if (watch === undefined && !signal.aborted) this.#requireSome();
    };
    const watching = watch === undefined ? undefined : this.#follow(watchFolders(watch, stop), running);
    await Promise.all([reading(), watching]);
    running.end();
  }

  async #follow(stream: AsyncIterable<Checked | Refused>, running: Batch): Promise<void> {
    for await (const each of stream) {
      if (isRefused(each)) this.#teller.onRefused(each);
      else for (const item of this.#take(each)) running.add(item);
    }
  }

  /** @throws SpateError INVALID_TORRENT when there was no torrent, and that is not told of yet */
  #requireSome(): void {
    if (this.#hasTaken || this.#teller.hasRefused) return;
    throw new SpateError('INVALID_TORRENT', 'there is no torrent in what was given');
  }

  #take(checked: Checked): Checked[] {
    this.#hasTaken = true;
    const merged = this.#merge.take(checked);
    switch (merged.kind) {
      case 'item':
        return [merged.item];
      case 'elsewhere':
        return [];
      case 'duplicate':
        this.#teller.onDuplicate(merged.item, duplicateText(merged.item, merged.of));
        return [];
      case 'refused':
        this.#teller.onRefused(merged.refused);
        return [];
    }
  }
}

function cutOff(reason: SpateError): SpateError {
  return new SpateError(reason.code, `${reason.message} before the list on stdin had ended`);
}

function journalSettings(sources: readonly string[], { state, out, watch = [], shard }: BatchFlags, output: Output) {
  const folder = stateFolder();
  const what = JSON.stringify([process.cwd(), resolve(out), sources, watch, shard ?? null]);
  return {
    path: state ?? join(folder, 'batch', `${hash('sha256', what, 'hex').slice(0, 24)}.jsonl`),
    lockFolder: join(folder, 'locks'),
    random: Math.random,
    onWarning: (message: string) => output.warning(message),
  };
}

function batchSettings(
  flags: BatchFlags,
  session: Session,
  journal: Journal,
  peers: Awaited<ReturnType<typeof peersOf>>,
  teller: BatchTeller,
): ConstructorParameters<typeof Batch>[0] {
  const { tracker, check, alloc, seedJobs } = flags;
  const goal = seedGoalOf(flags);
  return {
    session,
    journal,
    trustJournal: check !== 'full',
    out: flags.out,
    download: { peers, alloc, ...(tracker && { trackers: tracker }), ...(check && { check }) },
    jobs: flags.jobs === 'auto' ? undefined : flags.jobs,
    cores: availableParallelism(),
    metaJobs: flags.metaJobs,
    checkJobs: flags.checkJobs,
    order: flags.order,
    stallAction: flags.stallAction,
    retries: flags.retries,
    retryWaitMs: flags.retryWait,
    itemDeadlineMs: flags.itemDeadline,
    minFree: flags.minFree,
    seed: goal === undefined ? undefined : { ...goal, jobs: seedJobs },
    random: Math.random,
    now: () => performance.now(),
    onEvent: (item, event) => teller.onEvent(item, event),
  };
}

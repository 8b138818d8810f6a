/**
 * What is told of a batch: to people on stderr and in one last line, to programs as events, as `--json` and in reports. Keeps
 * what was never an item, too, so that every line that was given is accounted for.
 */
import type { Batch, BatchEvent } from '../batch/batch.js';
import { type Checked, formatPlace, type Refused, refusedText } from '../batch/entry.js';
import { failedList } from '../batch/failed-list.js';
import type { Item } from '../batch/item.js';
import { type Row, type RowState, renderReport, reportFormat, totalsOf } from '../batch/report.js';
import { writeReport } from '../batch/write-report.js';
import { factsOf, messageOf, SpateError } from '../errors.js';
import { VERSION } from '../package.js';
import { jsonLine } from '../text.js';
import { formatBytes, formatRate, formatSeconds } from '../units.js';
import type { BatchFlags } from './batch.js';
import { batchLine, batchLines } from './batch-progress.js';
import { type EventLog, eventOf, openEvents } from './events.js';
import { combinedExitCode, EXIT, exitCodeOf } from './exit-codes.js';
import type { Output } from './output.js';
import { showLines } from './progress.js';

/** How often `progress` is told. */
const PROGRESS_MS = 1_000;

export class BatchTeller {
  readonly #flags: BatchFlags;
  readonly #output: Output;
  readonly #startedAt = performance.now();
  readonly #refused: Refused[] = [];
  readonly #duplicates: Checked[] = [];
  #events: EventLog | undefined;
  #batch: Batch | undefined;
  #isOver = false;
  #problem: unknown;
  #hide = (): void => {};
  #timer: NodeJS.Timeout | undefined;

  constructor(flags: BatchFlags, output: Output) {
    this.#flags = flags;
    this.#output = output;
  }

  /** Something was refused that should not be left out. */
  get hasRefused(): boolean {
    return this.#refused.length > 0 && this.#flags.skipInvalid !== true;
  }

  /** By how the items ended. */
  get exitCode(): number {
    const invalid = this.hasRefused ? this.#refused.map(({ error }) => exitCodeOf(error)) : [];
    const items = (this.#batch?.items ?? []).map(({ error, state }) => (state === 'failed' ? exitCodeOf(error) : 0));
    return combinedExitCode([...invalid, ...items]);
  }

  /**
   * @param onBroken told when the file of events cannot be written any more
   * @throws SpateError for a file of events or a report that cannot be written
   */
  open(onBroken: (error: SpateError) => void): void {
    for (const path of this.#flags.report ?? []) reportFormat(path);
    this.#events = openEvents(this.#flags, this.#output, onBroken);
    this.#events.emit('start', { version: VERSION });
  }

  onRefused(refused: Refused): void {
    this.#refused.push(refused);
    const text = refusedText(refused);
    if (this.#flags.skipInvalid) this.#output.warning(`left out: ${text}`);
    else this.#output.error(new SpateError(refused.error.code, text));
    const place = formatPlace(refused.place);
    this.#events?.emit('error', { source: refused.source, place, error: factsOf(refused.error) });
  }

  onDuplicate(checked: Checked, text: string): void {
    this.#duplicates.push(checked);
    this.#output.note(text);
    this.#events?.emit('warn', { infohash: checked.infohash, message: text });
  }

  /** What is no fault of an item, and ends nothing: it counts when all else went well. */
  onProblem(error: unknown): void {
    this.#problem ??= error;
    this.#output.error(error);
  }

  /** There will be no batch, for what was refused. */
  onNothing(): void {
    this.#isOver = true;
  }

  follow(batch: Batch): void {
    this.#batch = batch;
    this.#timer = setInterval(() => this.#progress(), PROGRESS_MS);
    this.#hide = showLines(this.#output, {
      live: (room) => batchLines(batch, room),
      log: () => batchLine(batch),
    });
  }

  unfollow(): void {
    clearInterval(this.#timer);
    this.#hide();
  }

  onEvent(item: Item, event: BatchEvent): void {
    const { name, infohash } = item;
    const emit = (type: Parameters<EventLog['emit']>[0], fields: Record<string, unknown> = {}): void =>
      this.#events?.emit(type, { infohash, id: item.entry.id, ...fields });
    switch (event.type) {
      case 'added':
        return emit('added', {
          name,
          source: item.entry.source,
          place: formatPlace(item.entry.place),
          length: item.length,
        });
      case 'started':
        return this.#output.detail(`${name}: attempt ${event.attempt}`);
      case 'metadata':
        return emit('metadata', { name, attempt: item.attempts });
      case 'checked':
      case 'peer':
        return emit(...eventOf(event));
      case 'tracker': {
        const { url, state, message } = event.status;
        if (state !== 'ok') this.#output.warning(`tracker ${url}: ${message}`);
        return emit(...eventOf(event));
      }
      case 'warning':
        this.#output.warning(`${name}: ${event.message}`);
        return emit(...eventOf(event));
      case 'stalled':
        this.#output.detail(`${name}: nothing comes, others are tried in its place`);
        return emit('stalled');
      case 'retry': {
        const seconds = event.inMs / 1000;
        this.#output.note(`${name}: ${messageOf(event.error)}; again in ${formatSeconds(seconds)}`);
        return emit('retry', { error: factsOf(event.error), seconds });
      }
      case 'already':
      case 'done': {
        this.#output.detail(`${event.type} ${item.path} ${formatBytes(item.length)}`);
        const { path, length, downloaded, seconds, state } = item.toRow();
        return emit('done', { state, path, length, downloaded, seconds });
      }
      case 'failed':
        this.#output.error(event.error, name);
        return emit('error', { error: factsOf(event.error) });
    }
  }

  /**
   * The last words: reports, events, stdout.
   * @param ownCode what to exit with, unless there was a problem and it is 0
   * @returns what to exit with
   */
  async sumUp(ownCode: number, failure: unknown): Promise<number> {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const rows = this.#rows();
    const totals = totalsOf(rows, seconds);
    // A run that failed before it began leaves what the last one wrote.
    const hasBegun = this.#batch !== undefined || this.#isOver;
    if (hasBegun && (failure === undefined || rows.length > 0)) {
      await this.#writeFiles(rows, seconds).catch((error: unknown) => this.onProblem(error));
    }
    const reason = failure ?? this.#problem;
    const exitCode = ownCode === EXIT.ok && reason !== undefined ? exitCodeOf(reason) : ownCode;
    const error = reason === undefined ? {} : { error: factsOf(reason) };
    this.#events?.emit('summary', { exitCode, ...error, totals });
    this.#events?.close();
    if (this.#flags.json) {
      this.#output.data(jsonLine({ type: 'summary', exitCode, ...error, totals, items: rows }));
    } else if (failure === undefined && this.#batch !== undefined && this.#flags.events !== '-') {
      this.#output.success('done', doneText(totals, seconds));
    }
    return exitCode;
  }

  async #writeFiles(rows: readonly Row[], seconds: number): Promise<void> {
    const { report = [], failed } = this.#flags;
    for (const path of report) await writeReport(path, renderReport(reportFormat(path), rows, seconds));
    if (failed !== undefined) await writeReport(failed, failedList(this.#failed()));
  }

  #failed(): Parameters<typeof failedList>[0][number][] {
    const items = (this.#batch?.items ?? []).filter(({ state }) => state === 'failed');
    return [
      ...items.map(({ entry, error }) => ({
        place: entry.place,
        source: entry.source,
        entry,
        reason: messageOf(error),
      })),
      ...this.#refused.map(({ place, source, entry, error }) => ({ place, source, entry, reason: messageOf(error) })),
    ];
  }

  #rows(): Row[] {
    return [
      ...(this.#batch?.items ?? []).map((item) => item.toRow()),
      ...this.#duplicates.map((checked) => rowOf(checked.entry, 'duplicate', checked)),
      ...this.#refused.map((refused) => ({
        ...rowOf(refused.entry ?? refused, 'invalid'),
        error: factsOf(refused.error),
      })),
    ];
  }

  #progress(): void {
    const { items, counts, tally, bytesPerSecond } = this.#batch!;
    const downRate = Math.round(bytesPerSecond);
    this.#events?.emit('progress', { items: items.length, ...tally, downRate, stages: { ...counts } });
  }
}

/** `1188 of 1200 torrents, 1.2 GiB in 5.1 s (241 MiB/s); 12 failed` */
export function doneText({ states, items, downloaded, goodput }: ReturnType<typeof totalsOf>, seconds: number): string {
  const { done = 0, already = 0, duplicate = 0 } = states;
  const good = done + already;
  const count = items - duplicate;
  const what = good === count ? `${count}` : `${good} of ${count}`;
  const fetched =
    downloaded === 0
      ? 'nothing to fetch'
      : `${formatBytes(downloaded)} in ${formatSeconds(seconds)} (${formatRate(goodput)})`;
  const rest = (['already', 'failed', 'invalid', 'stopped', 'queued'] as const)
    .filter((state) => (states[state] ?? 0) > 0)
    .map((state) => `; ${states[state]} ${REST[state]}`);
  return `${what} torrent${count === 1 ? '' : 's'}, ${fetched}${rest.join('')}`;
}

const REST = {
  already: 'were there already',
  failed: 'failed',
  invalid: 'invalid',
  stopped: 'stopped half way',
  queued: 'not started',
} as const;

/** One that never was in the batch. */
function rowOf(
  { place, source, id }: Pick<Checked['entry'], 'place' | 'source' | 'id'>,
  state: RowState,
  known?: Pick<Checked, 'infohash' | 'name' | 'length'>,
): Row {
  return {
    id: id ?? null,
    source,
    place: formatPlace(place),
    infohash: known?.infohash ?? null,
    name: known?.name ?? null,
    path: null,
    state,
    length: known?.length ?? 0,
    have: 0,
    downloaded: 0,
    uploaded: 0,
    wasted: 0,
    queueSeconds: null,
    metadataSeconds: null,
    firstByteSeconds: null,
    seconds: null,
    downRate: null,
    attempts: 0,
    error: null,
  };
}

/**
 * Runs a batch on one session: starts what the schedule says, follows each item to its end, decides whether it is tried again,
 * and writes down how it ended. Knows no list and no terminal: items come by `add`, what happens is told by `onEvent`.
 */
import { deferred } from '../deferred.js';
import { messageOf, SpateError } from '../errors.js';
import { isReached, type SeedGoal } from '../seed-goal.js';
import type { Download, DownloadEvent, DownloadSettings, Session } from '../session.js';
import { readAgain } from './check.js';
import { Concurrency } from './concurrency.js';
import type { Checked } from './entry.js';
import { Item } from './item.js';
import type { Journal } from './journal.js';
import { Room } from './room.js';
import { type Order, Schedule } from './schedule.js';
import { Slots } from './slots.js';

export interface BatchSettings {
  readonly session: Pick<Session, 'add'>;
  /** What is remembered of earlier runs, and will be of this one. */
  readonly journal?: Journal | undefined;
  /** Items that are done by the journal are not looked at. */
  readonly trustJournal: boolean;
  /** Folder of the payload, for items that name none. */
  readonly out: string;
  /** For every download. */
  readonly download: Pick<DownloadSettings, 'peers' | 'trackers' | 'check' | 'alloc'>;
  /** Downloads at a time; found by measuring when absent. */
  readonly jobs?: number | undefined;
  readonly cores: number;
  readonly metaJobs: number;
  readonly checkJobs: number;
  readonly order: Order;
  /** What becomes of an item whose peers give nothing. */
  readonly stallAction: 'requeue' | 'fail';
  /** Further attempts of an item, unless the one before brought something. */
  readonly retries: number;
  /** Before the first of them; doubles. */
  readonly retryWaitMs: number;
  /** Longest time in the session, 0 for no limit. */
  readonly itemDeadlineMs: number;
  /** Bytes that stay free on disk. */
  readonly minFree: number;
  /** Seed until the first of these, as many at a time; absent for not at all. */
  readonly seed?: (SeedGoal & { readonly jobs: number }) | undefined;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Of a clock that never goes back, in ms. */
  readonly now: () => number;
  readonly onEvent: (item: Item, event: BatchEvent) => void;
}

export type BatchEvent =
  | DownloadEvent
  | { readonly type: 'added' | 'metadata' | 'done' | 'already' | 'stalled' }
  | { readonly type: 'started'; readonly attempt: number }
  | { readonly type: 'retry'; readonly inMs: number; readonly error: SpateError }
  | { readonly type: 'failed'; readonly error: unknown };

/** How often statistics are looked at. */
const TICK_MS = 200;
/** A wait between attempts doubles no further. */
const LONGEST_WAIT_MS = 3_600_000;

/** What another attempt may mend: other peers, another time. */
const RETRIED: ReadonlySet<string> = new Set(['UNAVAILABLE', 'STALLED', 'BAD_DATA']);

export class Batch {
  readonly items: Item[] = [];
  readonly #settings: BatchSettings;
  readonly #concurrency: Concurrency;
  readonly #schedule: Schedule<Item>;
  readonly #checks: Slots;
  readonly #room: Room<Item>;
  readonly #active = new Set<Item>();
  /** Since when each seeds, the first one first. */
  readonly #seeding = new Map<Item, number>();
  readonly #halt = new AbortController();
  readonly #done = deferred();
  readonly #timer: NodeJS.Timeout;
  #isOpen = true;
  /** Why what is not done has failed. */
  #stopReason: SpateError | undefined;
  /** Of items that are over; those that were there before are done, too. */
  #over = { done: 0, failed: 0, downloaded: 0 };
  #counted = 0;

  constructor(settings: BatchSettings) {
    this.#settings = settings;
    const { jobs, cores, metaJobs, order, random, checkJobs, minFree } = settings;
    this.#concurrency = new Concurrency({ jobs, cores });
    this.#schedule = new Schedule({ concurrency: this.#concurrency, metaJobs, order, random });
    this.#checks = new Slots(checkJobs);
    this.#room = new Room(minFree);
    this.#timer = setInterval(() => this.#onTick(), TICK_MS);
  }

  /** Items by what they are doing. */
  get counts(): Schedule<Item>['counts'] {
    return this.#schedule.counts;
  }

  /** Those in the session. */
  get active(): Iterable<Item> {
    return this.#active;
  }

  /** How many items have ended well and badly, and the bytes fetched for all of them. */
  get tally(): { readonly done: number; readonly failed: number; readonly downloaded: number } {
    let { downloaded } = this.#over;
    for (const item of this.#active) downloaded += item.downloaded;
    return { ...this.#over, downloaded };
  }

  /** Of what comes, all items together. */
  get bytesPerSecond(): number {
    return this.#concurrency.bytesPerSecond(this.#settings.now());
  }

  /** Resolves when every item is over and no more come. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  add(checked: Checked): void {
    const { out, journal, trustJournal } = this.#settings;
    const item = new Item(checked, out, this.#settings.now());
    this.items.push(item);
    this.#emit(item, { type: 'added' });
    if (trustJournal && journal?.outcomeOf(item.key)?.state === 'done') {
      item.state = 'already';
      this.#over.done++;
      return this.#emit(item, { type: 'already' });
    }
    this.#schedule.add(item);
    if (this.#stopReason !== undefined) return this.#fail(item, this.#stopReason);
    this.#pump();
  }

  /** No more will be added. */
  end(): void {
    this.#isOpen = false;
    this.#settleIfOver();
  }

  /**
   * Starts nothing more, and takes what is there out of the session. Resolves when that is done, and so does `done`.
   * @param reason why everything that is not done, or comes later, has failed; it is only stopped when absent
   */
  async stop(reason?: SpateError): Promise<void> {
    this.#stopReason ??= reason;
    clearInterval(this.#timer);
    this.#halt.abort();
    for (const item of this.#active) this.#end(item, reason ?? 'stopped');
    this.#settleIfOver();
    await this.done;
    if (reason === undefined) return;
    for (const item of this.items) if (item.state === 'queued') this.#fail(item, reason);
  }

  /** As many as may start now, do. */
  #pump(): void {
    const { now } = this.#settings;
    while (!this.#halt.signal.aborted) {
      const item = this.#schedule.next(now());
      if (item === undefined) return;
      this.#active.add(item);
      this.#run(item).catch((error: unknown) => this.#onFailure(item, error));
    }
  }

  /** One attempt, to its end. */
  async #run(item: Item): Promise<void> {
    const { now, seed } = this.#settings;
    item.onStart(now());
    this.#emit(item, { type: 'started', attempt: item.attempts });
    const download = await this.#enter(item);
    await download.done;
    item.onTick();
    item.onEnd(now());
    this.#room.release(item);
    this.#onDone(item);
    if (seed !== undefined && !this.#halt.signal.aborted) return this.#seed(item, download);
    this.#leave(item, 'over');
  }

  /** Brings an item into the session. */
  async #enter(item: Item): Promise<Download> {
    const { session, download: common, now, seed } = this.#settings;
    const { signal } = this.#halt;
    const metainfo = readAgain(item);
    item.onMetadata(now());
    this.#emit(item, { type: 'metadata' });
    // What is there has to be hashed, most likely; the rest needs no turn.
    const isThere = await this.#room.hasData(item.out, metainfo.name);
    const release = isThere ? await this.#checks.take(signal) : () => {};
    try {
      // Not before: the disk may fill up while others are hashed.
      const need = await this.#room.needOf(item.out, metainfo.name, metainfo.files, item.length);
      signal.throwIfAborted();
      this.#room.reserve(item, need, item.name);
      const { select, maxDown } = item.entry;
      item.download = session.add(metainfo, {
        ...common,
        out: item.out,
        seed: seed !== undefined,
        ...(select !== undefined && { select: { ranges: select } }),
        ...(maxDown !== undefined && { maxDown }),
        onEvent: (event) => {
          if (event.type === 'checked') this.#onChecked(item, event.pieces === event.of, release);
          this.#emit(item, event);
        },
      });
    } catch (error) {
      release();
      throw error;
    }
    item.onEntered(now());
    item.download.done.catch(() => {}).finally(release);
    this.#schedule.move(item, 'checking', now());
    return item.download;
  }

  #onChecked(item: Item, isThere: boolean, release: () => void): void {
    release();
    item.onChecked(isThere);
    this.#schedule.move(item, 'downloading', this.#settings.now());
    this.#pump();
  }

  #onDone(item: Item): void {
    const isNews = !item.wasThere || item.downloaded > 0;
    item.state = isNews ? 'done' : 'already';
    item.error = undefined;
    this.#over.done++;
    this.#settings.journal?.record(item.key, item.toOutcome());
    this.#emit(item, { type: isNews ? 'done' : 'already' });
  }

  async #seed(item: Item, download: Download): Promise<void> {
    const { now, seed } = this.#settings;
    this.#schedule.move(item, 'seeding', now());
    this.#seeding.set(item, now());
    const tooMany = Math.max(0, this.#seeding.size - seed!.jobs);
    for (const oldest of [...this.#seeding.keys()].slice(0, tooMany)) oldest.download?.stop();
    this.#pump();
    // What it was asked for is there all the same.
    await download.ended.catch((error: unknown) => {
      this.#emit(item, { type: 'warning', message: `seeding ended: ${messageOf(error)}` });
    });
    item.onTick();
    this.#seeding.delete(item);
    this.#leave(item, 'over');
  }

  /** What becomes of an item whose attempt has failed. */
  async #onFailure(item: Item, error: unknown): Promise<void> {
    const { now, stallAction, retries, retryWaitMs } = this.#settings;
    item.onTick();
    item.onEnd(now());
    this.#room.release(item);
    const { stopReason, hasMoved, download } = item;
    // The session forgets it before it may come again.
    await download?.ended.catch(() => {});
    if (stopReason instanceof SpateError) return this.#fail(item, stopReason);
    if (stopReason === 'stopped') {
      item.state = 'stopped';
      return this.#leave(item, 'over');
    }
    if (stopReason === 'demoted') {
      this.#emit(item, { type: 'stalled' });
      return this.#leave(item, now() + retryWaitMs);
    }
    item.failures = hasMoved ? 0 : item.failures + 1;
    const code = error instanceof SpateError ? error.code : 'INTERNAL';
    const isFinal = !RETRIED.has(code) || item.failures > retries || (code === 'STALLED' && stallAction === 'fail');
    if (isFinal) return this.#fail(item, error);
    const inMs = Math.min(retryWaitMs * 2 ** Math.max(0, item.failures - 1), LONGEST_WAIT_MS);
    item.error = error;
    this.#emit(item, { type: 'retry', inMs, error: error as SpateError });
    this.#leave(item, now() + inMs);
  }

  #fail(item: Item, error: unknown): void {
    item.state = 'failed';
    item.error = error;
    this.#over.failed++;
    this.#settings.journal?.record(item.key, item.toOutcome());
    this.#emit(item, { type: 'failed', error });
    this.#leave(item, 'over');
  }

  /** @param next a time to be tried again at, or that it is over */
  #leave(item: Item, next: number | 'over'): void {
    this.#active.delete(item);
    item.onLeft();
    if (next === 'over') {
      this.#over.downloaded += item.downloaded;
      this.#schedule.move(item, 'over', this.#settings.now());
    } else this.#schedule.postpone(item, next);
    this.#pump();
    this.#settleIfOver();
  }

  #onTick(): void {
    const now = this.#settings.now();
    for (const item of this.#active) this.#look(item, now);
    const { downloaded } = this.tally;
    this.#schedule.onTick(downloaded - this.#counted, now);
    this.#counted = downloaded;
    const demoted = this.#schedule.demoted(now);
    if (demoted?.download !== undefined) this.#end(demoted, 'demoted');
    this.#pump();
  }

  #look(item: Item, now: number): void {
    const { itemDeadlineMs, seed, download: common } = this.#settings;
    const { bytes, left } = item.onTick();
    const since = this.#seeding.get(item);
    if (since !== undefined) {
      if (isReached(seed!, item.uploaded, item.length, now - since)) item.download?.stop();
      return;
    }
    this.#schedule.onBytes(item, bytes, left, now);
    const hasRoom = common.alloc === 'full' && item.download?.state === 'downloading';
    this.#room.onProgress(item, hasRoom ? 0 : left);
    // Who waits for his turn to be hashed is not in the session yet.
    if (itemDeadlineMs > 0 && item.download !== undefined && item.activeMs(now) >= itemDeadlineMs) {
      this.#end(item, new SpateError('STALLED', `not done after ${Math.round(itemDeadlineMs / 1000)} s`));
    }
  }

  /** Takes an item out of the session before it is done. */
  #end(item: Item, reason: 'demoted' | 'stopped' | SpateError): void {
    item.stopReason ??= reason;
    item.download?.stop();
  }

  #settleIfOver(): void {
    const isOver = this.#halt.signal.aborted ? this.#active.size === 0 : !this.#isOpen && this.#schedule.isOver;
    if (!isOver) return;
    clearInterval(this.#timer);
    this.#done.resolve();
  }

  #emit(item: Item, event: BatchEvent): void {
    this.#settings.onEvent(item, event);
  }
}

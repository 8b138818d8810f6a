/**
 * Which torrent of a batch is next, and what each is doing. Events in, one question out; starts and stops nothing itself. Pure;
 * times are passed in, in ms.
 *
 * A torrent that gets no byte for a while is *idle*: it stays in its swarm and gives its place back, so that dead ones delay
 * nobody. The number of idle ones is bounded, too; of too many the one that has been idle longest is to be stopped and queued
 * again, as long as there are some that have not been tried at all.
 */
import type { Concurrency } from './concurrency.js';

/** `queued` has not been tried, `waiting` will be again; `reading` until it is in the session. */
export type Stage = 'queued' | 'waiting' | 'reading' | 'checking' | 'downloading' | 'seeding' | 'over';

export type Order = 'list' | 'small' | 'large' | 'random';

export interface Task {
  /** Bytes, as far as known. */
  readonly length: number;
}

export interface ScheduleSettings {
  readonly concurrency: Concurrency;
  /** Most that are read at a time. */
  readonly metaJobs: number;
  readonly order: Order;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

interface State {
  stage: Stage;
  /** Bytes to come. */
  left: number;
  /** When a byte came last, or a stage began. */
  movedAt: number;
  /** When a waiting one is due. */
  dueAt: number;
}

/** Without a byte for so long a torrent is idle. */
const IDLE_MS = 2_000;
const MAX_IDLE = 256;
/** Who is not even tried for so long cannot be said to be without peers. */
const LEAST_TRY_MS = 15_000;

const ACTIVE: ReadonlySet<Stage> = new Set(['reading', 'checking', 'downloading']);

export class Schedule<T extends Task> {
  readonly #settings: ScheduleSettings;
  readonly #states = new Map<T, State>();
  readonly #active = new Map<T, State>();
  readonly #queue: T[] = [];
  /** By the time they are due. */
  readonly #waiting: T[] = [];
  readonly #counts: Record<Stage, number> = {
    queued: 0,
    waiting: 0,
    reading: 0,
    checking: 0,
    downloading: 0,
    seeding: 0,
    over: 0,
  };

  constructor(settings: ScheduleSettings) {
    this.#settings = settings;
  }

  get counts(): Readonly<Record<Stage, number>> {
    return this.#counts;
  }

  /** Everything that was added is over. */
  get isOver(): boolean {
    return this.#states.size === 0;
  }

  /** When the first waiting one is due; `Infinity` when none waits. */
  get dueAt(): number {
    const [first] = this.#waiting;
    return first === undefined ? Number.POSITIVE_INFINITY : this.#states.get(first)!.dueAt;
  }

  add(task: T): void {
    this.#states.set(task, { stage: 'queued', left: task.length, movedAt: 0, dueAt: 0 });
    this.#counts.queued++;
    this.#queue.splice(this.#place(task), 0, task);
  }

  /** The next to start, which is `reading` from now on; `undefined` when no more should run, or none is due. */
  next(now: number): T | undefined {
    const isDue = this.dueAt <= now;
    if (!isDue && this.#queue.length === 0) return undefined;
    if (this.#counts.reading >= this.#settings.metaJobs) return undefined;
    const { working, idle, leftBytes } = this.#load(now);
    if (idle >= MAX_IDLE || !this.#settings.concurrency.allows(working, leftBytes, now)) return undefined;
    // Those that are due have waited, and more of the others may come without end.
    const task = isDue ? this.#waiting.shift()! : this.#queue.shift()!;
    this.move(task, 'reading', now);
    return task;
  }

  move(task: T, stage: Exclude<Stage, 'queued' | 'waiting'>, now: number): void {
    const state = this.#enter(task, stage);
    state.movedAt = now;
    if (stage === 'over') this.#states.delete(task);
  }

  /** It goes on at `dueAt`, and is not in the session until then. */
  postpone(task: T, dueAt: number): void {
    const state = this.#enter(task, 'waiting');
    state.dueAt = dueAt;
    const place = firstOf(this.#waiting, (other) => this.#states.get(other)!.dueAt > dueAt);
    this.#waiting.splice(place, 0, task);
  }

  /** @param bytes that have come since the last call @param left still to come */
  onBytes(task: T, bytes: number, left: number, now: number): void {
    const state = this.#states.get(task);
    if (state === undefined) return;
    state.left = left;
    if (bytes > 0) state.movedAt = now;
  }

  /** To be called now and then. @param bytes that have come for all of them since the last call */
  onTick(bytes: number, now: number): void {
    const { working, leftBytes } = this.#load(now);
    const { concurrency } = this.#settings;
    concurrency.onBytes(bytes, this.#queue.length > 0 && !concurrency.allows(working, leftBytes, now), now);
  }

  /** The one that should be stopped and postponed, to try another in its place. */
  demoted(now: number): T | undefined {
    if (this.#queue.length === 0 || this.#load(now).idle < MAX_IDLE) return undefined;
    let longest: readonly [T, State] | undefined;
    for (const [task, state] of this.#active) {
      if (state.stage !== 'downloading' || now - state.movedAt < LEAST_TRY_MS) continue;
      if (longest === undefined || state.movedAt < longest[1].movedAt) longest = [task, state];
    }
    return longest?.[0];
  }

  #enter(task: T, stage: Stage): State {
    const state = this.#states.get(task);
    if (state === undefined) throw new Error('expected a task of the schedule');
    this.#counts[state.stage]--;
    this.#counts[stage]++;
    state.stage = stage;
    if (ACTIVE.has(stage)) this.#active.set(task, state);
    else this.#active.delete(task);
    return state;
  }

  #load(now: number): { working: number; idle: number; leftBytes: number } {
    let [working, idle, leftBytes] = [0, 0, 0];
    for (const state of this.#active.values()) {
      if (now - state.movedAt >= IDLE_MS) idle++;
      else {
        working++;
        leftBytes += state.left;
      }
    }
    return { working, idle, leftBytes };
  }

  /** Where in the queue a newcomer goes. */
  #place({ length }: T): number {
    const queue = this.#queue;
    switch (this.#settings.order) {
      case 'list':
        return queue.length;
      case 'small':
        return firstOf(queue, (other) => other.length > length);
      case 'large':
        return firstOf(queue, (other) => other.length < length);
      case 'random':
        return Math.floor(this.#settings.random() * (queue.length + 1));
    }
  }
}

/** The index of the first value for which something is true, in an array where those all stand at the end. */
function firstOf<T>(array: readonly T[], isTrue: (value: T) => boolean): number {
  let [low, high] = [0, array.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isTrue(array[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

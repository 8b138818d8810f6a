/**
 * Requests to trackers: how many are under way at one of them, and who is next. Thousands of torrents share a tracker, and one
 * that begins must not wait behind a crowd that says goodbye.
 */

/** Turns, of so many, that those who can wait get while others are waiting too. */
const LATE_TURNS = 4;

export class Gates {
  readonly #slots: number;
  /** By destination; those that nobody uses are forgotten. */
  readonly #gates = new Map<string, Gate>();

  /** @param slots requests at once, for each destination */
  constructor(slots: number) {
    this.#slots = slots;
  }

  /**
   * Does some work when there is a slot for it.
   * @param canWait whether others go first, three times in four
   * @param signal ends the wait; the work must obey it by itself
   */
  async pass<T>(destination: string, canWait: boolean, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const gate = this.#gates.get(destination) ?? new Gate(this.#slots);
    this.#gates.set(destination, gate);
    await gate.enter(canWait, signal);
    try {
      return await work();
    } finally {
      gate.leave();
      if (gate.isIdle) this.#gates.delete(destination);
    }
  }
}

class Gate {
  #free: number;
  #busy = 0;
  /** Who waits, the first one first. */
  readonly #prompt = new Set<() => void>();
  readonly #late = new Set<() => void>();
  #turn = 0;

  constructor(slots: number) {
    this.#free = slots;
  }

  /** Nobody waits then, either. */
  get isIdle(): boolean {
    return this.#busy === 0;
  }

  enter(canWait: boolean, signal: AbortSignal): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      this.#busy++;
      return Promise.resolve();
    }
    const queue = canWait ? this.#late : this.#prompt;
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        queue.delete(enter);
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      queue.add(enter);
    });
  }

  /** The slot goes to the next who waits, if any does. */
  leave(): void {
    const isLate = ++this.#turn % LATE_TURNS === 0;
    const [first, second] = isLate ? [this.#late, this.#prompt] : [this.#prompt, this.#late];
    const queue = first.size > 0 ? first : second;
    const [next] = queue;
    if (next === undefined) {
      this.#free++;
      this.#busy--;
      return;
    }
    queue.delete(next);
    next();
  }
}

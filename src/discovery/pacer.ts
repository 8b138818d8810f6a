/**
 * Spreads what many want to do at once: some of it goes at once, the rest at a steady pace. A tracker's socket holds a few hundred
 * datagrams, ours about a hundred answers, and what finds no room there is lost for seconds.
 */
import { type Clock, OVER } from './clock.js';

interface Waiting {
  go(): void;
  fail(error: unknown): void;
}

export class Pacer {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #burst: number;
  /** Who waits, the first one first. */
  readonly #queue = new Set<Waiting>();
  /** When the next turn is due; in the past by as many as are saved up. */
  #nextAt = Number.NEGATIVE_INFINITY;
  #isAsleep = false;
  readonly #closed = new AbortController();

  /**
   * @param everyMs between turns when many wait
   * @param burst turns that are saved up while nobody comes
   */
  constructor(clock: Clock, everyMs: number, burst: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#burst = burst;
  }

  /** Resolves when it is one's turn; rejects with the signal's reason, or the one it is closed for. */
  turn(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => waiting.fail(signal.reason);
      const settle = (): void => {
        this.#queue.delete(waiting);
        signal.removeEventListener('abort', onAbort);
      };
      const waiting = {
        go: (): void => {
          settle();
          resolve();
        },
        fail: (error: unknown): void => {
          settle();
          reject(error);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#queue.add(waiting);
      this.#serve();
    });
  }

  /** Nobody's turn comes any more. */
  close(reason: unknown): void {
    this.#closed.abort(OVER);
    for (const waiting of this.#queue) waiting.fail(reason);
  }

  #serve(): void {
    if (this.#isAsleep) return;
    const now = this.#clock.now();
    this.#nextAt = Math.max(this.#nextAt, now - (this.#burst - 1) * this.#everyMs);
    for (const waiting of this.#queue) {
      if (this.#nextAt > now) break;
      this.#nextAt += this.#everyMs;
      waiting.go();
    }
    if (this.#queue.size === 0) return;
    this.#isAsleep = true;
    this.#clock.sleep(this.#nextAt - now, this.#closed.signal).then(
      () => {
        this.#isAsleep = false;
        this.#serve();
      },
      () => {},
    );
  }
}

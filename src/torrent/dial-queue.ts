/**
 * Addresses in the order in which they are dialled: those never tried before those that failed, of equals the one of the
 * highest rank. Pure; times are passed in.
 */
import type { PeerAddress } from '../protocol/address.js';

/** What the order depends on. */
export interface Dialable {
  readonly address: PeerAddress;
  readonly state: string;
  /** Attempts in a row that brought nothing. */
  readonly failures: number;
  readonly dialAt: number;
}

/** How much one address is to be preferred to its equals; `undefined` when it is not known. */
export type Rank = (address: PeerAddress) => number | undefined;

/** Addresses that are compared for one dial. */
const MOST_COMPARED = 200;
/** Of an address whose priority is not known: neither good nor bad. */
const MIDDLE_RANK = 2 ** 31;

export class DialQueue<Entry extends Dialable> {
  readonly #entries = new Set<Entry>();
  /** No address is due before, unless one comes. */
  #dueAt = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#entries.size;
  }

  [Symbol.iterator](): IterableIterator<Entry> {
    return this.#entries.values();
  }

  /** Puts an address at the end, wherever it was. */
  add(entry: Entry): void {
    this.#entries.delete(entry);
    this.#entries.add(entry);
    this.onIdle();
  }

  delete(entry: Entry): void {
    this.#entries.delete(entry);
  }

  /** An address that could not be dialled can be. */
  onIdle(): void {
    this.#dueAt = Number.NEGATIVE_INFINITY;
  }

  /** @param rank of equals the one it is highest for comes first, else the first in the queue */
  next(now: number, rank: Rank | undefined): Entry | undefined {
    if (now < this.#dueAt) return undefined;
    let best: Entry | undefined;
    let [highest, compared, dueAt] = [0, 0, Number.POSITIVE_INFINITY];
    for (const entry of this.#entries) {
      if (entry.state !== 'idle') continue;
      dueAt = Math.min(dueAt, entry.dialAt);
      if (entry.dialAt > now) continue;
      if (best !== undefined && entry.failures !== best.failures) continue;
      if (rank === undefined) return entry;
      const priority = rank(entry.address) ?? MIDDLE_RANK;
      if (best === undefined || priority > highest) [best, highest] = [entry, priority];
      if (++compared === MOST_COMPARED) break;
    }
    if (best === undefined) this.#dueAt = dueAt;
    return best;
  }
}

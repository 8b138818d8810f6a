/**
 * Main's record of the leases of one torrent: which group holds which piece under which number, and how many more each
 * group could start. Pure. A lease number is never reused, so that a late answer cannot be taken for another.
 */
import type { PieceIndex } from './geometry.js';

interface OpenLease {
  readonly group: number;
  readonly piece: PieceIndex;
}

export class LeaseLedger {
  readonly #open = new Map<number, OpenLease>();
  #last = 0;
  /** Per group: leases ever granted, and what its latest `want` said. */
  readonly #granted: number[];
  readonly #wants: { count: number; leased: number }[];

  constructor(groupCount: number) {
    this.#granted = Array.from({ length: groupCount }, () => 0);
    this.#wants = Array.from({ length: groupCount }, () => ({ count: 0, leased: 0 }));
  }

  /** Leases that are out. */
  get size(): number {
    return this.#open.size;
  }

  /** Records a lease and returns its number, > 0. */
  grant(group: number, piece: PieceIndex): number {
    this.#last++;
    this.#open.set(this.#last, { group, piece });
    this.#granted[group]!++;
    return this.#last;
  }

  /** A lease came home. @returns whether it was out */
  settle(lease: number): boolean {
    return this.#open.delete(lease);
  }

  onWant(group: number, count: number, leased: number): void {
    this.#wants[group] = { count, leased };
  }

  /** Pieces the group could start now: what it asked for, less what it had not seen when it asked. */
  open(group: number): number {
    const { count, leased } = this.#wants[group]!;
    return Math.max(0, count - (this.#granted[group]! - leased));
  }

  /** The group died. @returns the pieces it held, whose buffers died with it */
  forgetGroup(group: number): PieceIndex[] {
    const lost: PieceIndex[] = [];
    for (const [lease, held] of this.#open) {
      if (held.group !== group) continue;
      this.#open.delete(lease);
      lost.push(held.piece);
    }
    this.#granted[group] = 0;
    this.#wants[group] = { count: 0, leased: 0 };
    return lost;
  }
}

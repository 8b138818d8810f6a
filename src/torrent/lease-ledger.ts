/**
 * Main's record of the leases of one torrent: which group holds which piece under which number, and how many more each
 * group could start. Pure. A lease number is never reused, so that a late answer cannot be taken for another.
 */
import type { Giver } from './evidence.js';
import type { PieceIndex } from './geometry.js';

interface OpenLease {
  readonly group: number;
  readonly piece: PieceIndex;
  /** Whether a copy of it was asked for, and is on its way or out. */
  shared: boolean;
  /** Who gave each block that went out with it. */
  readonly givers: readonly Giver[];
}

const NOBODY: readonly Giver[] = [];

export class LeaseLedger {
  readonly #open = new Map<number, OpenLease>();
  /** Leases by piece: more than one only in the endgame. */
  readonly #copies = new Map<PieceIndex, number>();
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

  /**
   * Records a lease and returns its number, > 0.
   * @param givers of the blocks it brings along
   */
  grant(group: number, piece: PieceIndex, givers: readonly Giver[] = NOBODY): number {
    this.#last++;
    this.#open.set(this.#last, { group, piece, shared: false, givers });
    this.#count(piece, 1);
    this.#granted[group]!++;
    return this.#last;
  }

  /** Who gave each block that went out with a lease. */
  giversOf(lease: number): readonly Giver[] {
    return this.#open.get(lease)?.givers ?? NOBODY;
  }

  isOut(lease: number): boolean {
    return this.#open.has(lease);
  }

  isLeased(piece: PieceIndex): boolean {
    return this.#copies.has(piece);
  }

  /** The leases of one piece. */
  leasesOf(piece: PieceIndex): { readonly lease: number; readonly group: number }[] {
    const leases: { lease: number; group: number }[] = [];
    if (!this.#copies.has(piece)) return leases;
    for (const [lease, held] of this.#open) if (held.piece === piece) leases.push({ lease, group: held.group });
    return leases;
  }

  /**
   * Endgame: a lease of another group that this one could help with, marked as shared: one copy at a time.
   * @param canCopy whether the group's idle peers have the piece, and there is room for a copy
   */
  share(
    group: number,
    canCopy: (piece: PieceIndex) => boolean,
  ): { readonly lease: number; readonly holder: number; readonly piece: PieceIndex } | undefined {
    for (const [lease, held] of this.#open) {
      if (held.group === group || held.shared || this.#copies.get(held.piece) !== 1) continue;
      if (!canCopy(held.piece)) continue;
      held.shared = true;
      return { lease, holder: held.group, piece: held.piece };
    }
    return undefined;
  }

  /** The copy of a lease could not be made: it may be asked for again. */
  unshare(lease: number): void {
    const held = this.#open.get(lease);
    if (held !== undefined) held.shared = false;
  }

  /** A lease came home. The other one of its piece, if there is one, may be copied again. @returns whether it was out */
  settle(lease: number): boolean {
    const held = this.#open.get(lease);
    if (held === undefined) return false;
    this.#open.delete(lease);
    this.#count(held.piece, -1);
    for (const other of this.leasesOf(held.piece)) this.unshare(other.lease);
    return true;
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
      this.settle(lease);
      lost.push(held.piece);
    }
    this.#granted[group] = 0;
    this.#wants[group] = { count: 0, leased: 0 };
    return lost;
  }

  #count(piece: PieceIndex, by: 1 | -1): void {
    const count = (this.#copies.get(piece) ?? 0) + by;
    if (count === 0) this.#copies.delete(piece);
    else this.#copies.set(piece, count);
  }
}

/**
 * The leases a group holds for one torrent, and which block to ask a peer for next. Pure.
 *
 * Blocks are handed out oldest lease first, several peers sharing a piece: that keeps the fewest pieces open, and so the
 * least memory, for a given rate. A connection finds its piece here for every chunk, never through a kept view.
 */
import type { Bitfield } from './bitfield.js';
import type { PieceIndex } from './geometry.js';
import type { PieceBuffer } from './piece-buffer.js';

export class LeaseTable {
  readonly #leases = new Map<number, PieceBuffer>();
  /** Leases with a missing block, oldest first unless `#outOfOrder`. */
  #open = new Map<number, PieceBuffer>();
  /** A lease got blocks back and stands behind newer ones; put right when it matters, since a choke releases many at once. */
  #outOfOrder = false;
  #missingBlocks = 0;

  /** Leases held. */
  get size(): number {
    return this.#leases.size;
  }

  /** Blocks that nobody has been asked for. */
  get missingBlocks(): number {
    return this.#missingBlocks;
  }

  get(piece: number): PieceBuffer | undefined {
    return this.#leases.get(piece);
  }

  [Symbol.iterator](): IterableIterator<PieceBuffer> {
    return this.#leases.values();
  }

  add(lease: PieceBuffer): void {
    this.#leases.set(lease.piece, lease);
    this.#missingBlocks += lease.missing;
    if (lease.missing > 0) this.#open.set(lease.piece, lease);
  }

  remove(lease: PieceBuffer): void {
    this.#leases.delete(lease.piece);
    this.#open.delete(lease.piece);
    this.#missingBlocks -= lease.missing;
  }

  /**
   * Marks up to `room` missing blocks of pieces in `has` as requested of a peer and names each.
   * @returns how many
   */
  assign(peer: number, has: Bitfield, room: number, each: (piece: PieceIndex, block: number) => void): number {
    if (this.#outOfOrder) this.#reorder();
    let assigned = 0;
    for (const lease of this.#open.values()) {
      if (assigned === room) break;
      if (!has.has(lease.piece) || !lease.admits(peer)) continue;
      while (assigned < room) {
        const block = lease.takeMissing(peer);
        if (block === -1) break;
        each(lease.piece, block);
        assigned++;
      }
      if (lease.missing === 0) this.#open.delete(lease.piece);
    }
    this.#missingBlocks -= assigned;
    return assigned;
  }

  /**
   * Endgame: names up to `room` blocks of pieces in `has` that other peers owe, oldest lease first, as asked of this one too.
   * @param isProven whether this peer has given something
   * @param owes whether this peer owes a block already: none is asked for twice
   * @returns how many
   */
  contest(
    peer: number,
    has: Bitfield,
    room: number,
    isProven: boolean,
    now: number,
    owes: (piece: PieceIndex, block: number) => boolean,
    each: (piece: PieceIndex, block: number) => void,
  ): number {
    let contested = 0;
    for (const lease of this.#leases.values()) {
      if (!has.has(lease.piece)) continue;
      for (let block = 0; block < lease.blockCount && contested < room; block++) {
        if (owes(lease.piece, block) || !lease.contest(block, peer, isProven, now)) continue;
        each(lease.piece, block);
        contested++;
      }
      if (contested === room) break;
    }
    return contested;
  }

  /** A requested block will not come from a peer that was asked. */
  release(piece: PieceIndex, block: number, peer: number): void {
    const lease = this.#leases.get(piece);
    const before = lease?.missing;
    if (lease === undefined || before === undefined || !lease.release(block, peer)) return;
    this.#reopen(lease, before);
  }

  /** Endgame: an exclusive piece starts again with another peer; the others must not be owed blocks of it any more. */
  handOver(lease: PieceBuffer, peer: number): void {
    const before = lease.missing;
    lease.handOver(peer);
    this.#reopen(lease, before);
  }

  /** Marks a missing block as requested of a peer. @returns whether it was missing, and the peer may be asked */
  claim(piece: PieceIndex, block: number, peer: number): boolean {
    const lease = this.#leases.get(piece);
    if (lease === undefined || !lease.claim(block, peer)) return false;
    this.#missingBlocks--;
    if (lease.missing === 0) this.#open.delete(piece);
    return true;
  }

  /** A block is in place; `lease` is one of this table. */
  complete(lease: PieceBuffer, block: number, peer: number, now: number): void {
    const before = lease.missing;
    lease.complete(block, peer, now);
    this.#missingBlocks -= before - lease.missing;
    if (lease.missing === 0) this.#open.delete(lease.piece);
  }

  /** A lease got blocks back. @param before how many were missing */
  #reopen(lease: PieceBuffer, before: number): void {
    this.#missingBlocks += lease.missing - before;
    if (this.#open.has(lease.piece)) return;
    this.#open.set(lease.piece, lease);
    this.#outOfOrder = true;
  }

  /** Lease numbers grow with time. */
  #reorder(): void {
    this.#open = new Map([...this.#open].sort(([, a], [, b]) => a.lease - b.lease));
    this.#outOfOrder = false;
  }
}

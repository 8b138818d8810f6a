/**
 * The requests that are outstanding at one peer, oldest first. A peer answers mostly in order, so that a match is found at
 * the head; any order works. Pure; times are passed in.
 *
 * Hot path: one ring of typed arrays, no object per block.
 */
import type { PieceIndex } from './geometry.js';

const Slot = { empty: 0, live: 1, released: 2 } as const;

/** What `take` found. */
export const Match = {
  /** Nobody asked this peer for the block. */
  none: 0,
  /** It is owed to us. */
  live: 1,
  /** It was asked for, given up after a time-out and may come from elsewhere too. */
  released: 2,
} as const;
export type Match = (typeof Match)[keyof typeof Match];

export class RequestQueue {
  #pieces = new Uint32Array(64);
  #blocks = new Uint32Array(64);
  #states = new Uint8Array(64);
  /** Positions count up for ever; a slot is its position modulo the capacity, a power of two. */
  #head = 0;
  #tail = 0;
  #live = 0;
  #released = 0;

  /** Requests owed to us; released ones do not count. */
  get size(): number {
    return this.#live;
  }

  /** Requests given up that may still be answered. */
  get released(): number {
    return this.#released;
  }

  push(piece: PieceIndex, block: number): void {
    if (this.#tail - this.#head === this.#states.length) this.#repack();
    const slot = this.#tail++ & (this.#states.length - 1);
    this.#pieces[slot] = piece;
    this.#blocks[slot] = block;
    this.#states[slot] = Slot.live;
    this.#live++;
  }

  /** Whether a block was asked for and has not been answered. */
  has(piece: number, block: number): boolean {
    const mask = this.#states.length - 1;
    for (let position = this.#head; position < this.#tail; position++) {
      const slot = position & mask;
      if (this.#states[slot] !== Slot.empty && this.#pieces[slot] === piece && this.#blocks[slot] === block)
        return true;
    }
    return false;
  }

  /** Removes the request of a block that is arriving and tells what it was. */
  take(piece: number, block: number): Match {
    const mask = this.#states.length - 1;
    let found = -1;
    for (let position = this.#head; position < this.#tail; position++) {
      const slot = position & mask;
      const state = this.#states[slot];
      if (state === Slot.empty || this.#pieces[slot] !== piece || this.#blocks[slot] !== block) continue;
      found = slot;
      // A block that was given up and asked for again comes once from those who drop the second request: it was that one.
      if (state === Slot.live) break;
    }
    if (found === -1) return Match.none;
    const state = this.#states[found] as Match;
    this.#states[found] = Slot.empty;
    if (state === Match.live) this.#live--;
    else this.#released--;
    this.#skipEmpty();
    return state;
  }

  /** Visits the `count` requests pushed last, in their order. */
  forLast(count: number, each: (piece: PieceIndex, block: number) => void): void {
    const mask = this.#states.length - 1;
    for (let position = this.#tail - count; position < this.#tail; position++) {
      each(this.#pieces[position & mask] as PieceIndex, this.#blocks[position & mask]!);
    }
  }

  /** Removes the requests for a piece and names the blocks that were still owed. */
  takePiece(piece: PieceIndex, each: (block: number) => void): void {
    const mask = this.#states.length - 1;
    for (let position = this.#head; position < this.#tail; position++) {
      const slot = position & mask;
      if (this.#states[slot] === Slot.empty || this.#pieces[slot] !== piece) continue;
      if (this.#states[slot] === Slot.live) {
        this.#live--;
        each(this.#blocks[slot]!);
      } else {
        this.#released--;
      }
      this.#states[slot] = Slot.empty;
    }
    this.#skipEmpty();
  }

  /** Gives up every live request, so that the blocks can be asked for elsewhere; late answers still match as `released`. */
  release(each: (piece: PieceIndex, block: number) => void): void {
    const mask = this.#states.length - 1;
    for (let position = this.#head; position < this.#tail; position++) {
      const slot = position & mask;
      if (this.#states[slot] !== Slot.live) continue;
      this.#states[slot] = Slot.released;
      this.#live--;
      this.#released++;
      each(this.#pieces[slot] as PieceIndex, this.#blocks[slot]!);
    }
  }

  /** Counts requests that were given up as owed again: the peer answers after all. @param claim whether nobody else was asked */
  reclaim(claim: (piece: PieceIndex, block: number) => boolean): void {
    const mask = this.#states.length - 1;
    for (let position = this.#head; position < this.#tail; position++) {
      const slot = position & mask;
      if (this.#states[slot] !== Slot.released) continue;
      if (!claim(this.#pieces[slot] as PieceIndex, this.#blocks[slot]!)) continue;
      this.#states[slot] = Slot.live;
      this.#released--;
      this.#live++;
    }
  }

  /** Drops everything: after a choke without the fast extension (BEP 3) or a disconnect, nothing will be answered. */
  clear(each: (piece: PieceIndex, block: number) => void): void {
    this.release(each);
    this.#head = this.#tail;
    this.#released = 0;
    this.#states.fill(Slot.empty);
  }

  #skipEmpty(): void {
    const mask = this.#states.length - 1;
    while (this.#head < this.#tail && this.#states[this.#head & mask] === Slot.empty) this.#head++;
  }

  /** Makes room: closes the gaps, and doubles when there are few. Old released requests are forgotten rather than kept for ever. */
  #repack(): void {
    const capacity = this.#states.length;
    const grown = this.#live > capacity / 2 ? capacity * 2 : capacity;
    const pieces = new Uint32Array(grown);
    const blocks = new Uint32Array(grown);
    const states = new Uint8Array(grown);
    let kept = 0;
    for (let position = this.#head; position < this.#tail; position++) {
      const slot = position & (capacity - 1);
      if (this.#states[slot] !== Slot.live) continue;
      pieces[kept] = this.#pieces[slot]!;
      blocks[kept] = this.#blocks[slot]!;
      states[kept++] = Slot.live;
    }
    this.#pieces = pieces;
    this.#blocks = blocks;
    this.#states = states;
    this.#head = 0;
    this.#tail = kept;
    this.#released = 0;
  }
}

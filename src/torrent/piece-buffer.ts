/**
 * One leased piece on its way to being complete: the buffer, and for each block whether it is missing, requested or present.
 * Pure. The buffer may be transferred away afterwards; nothing here keeps a view on it beyond `bytes`.
 */
import type { LeaseGrant } from '../messages.js';
import { BLOCK_LENGTH } from '../protocol/wire.js';
import type { Geometry, PieceIndex } from './geometry.js';

const Block = { missing: 0, requested: 1, present: 2 } as const;

/** Peers that one block is asked of at the same time (BEP 3 asks all; the fastest few are enough). */
const MAX_ASKERS = 3;
/** One more that has given something: those that were first may never answer. */
const PROVEN_ASKERS = MAX_ASKERS + 1;
/** And all there are when for so long no byte of the piece has come. */
const STALLED_MS = 1_000;
const STALLED_ASKERS = 255;

export class PieceBuffer {
  readonly lease: number;
  readonly piece: PieceIndex;
  readonly buffer: ArrayBuffer;
  /** Exactly the piece. */
  readonly bytes: Uint8Array;
  readonly blockCount: number;
  /**
   * Only one peer may give blocks of it: the piece failed its hash when several did, and this tells which of them lies. When
   * that peer leaves, or is so slow that it is handed over, the piece starts again.
   */
  readonly exclusive: boolean;
  /** It failed its hash before: the digests of its blocks are asked for. */
  readonly suspect: boolean;
  /** When bytes last arrived, or the lease did; ms. */
  progressAt: number;
  readonly #states: Uint8Array;
  /** Peers that owe each block: more than one only in the endgame. */
  readonly #askers: Uint8Array;
  /** The peer whose bytes of each block are in place, by connection number; 0 for blocks that came with the lease. */
  readonly #givers: Uint32Array;
  #missing: number;
  #present = 0;
  /** The peer an exclusive piece is asked of; 0 as long as nobody is. */
  #owner = 0;
  /** When `isOverdue` saw that owner first, ms. */
  #ownedAt: number | undefined;
  #handOvers = 0;
  /** Who gave an exclusive piece up: it is somebody else's turn. */
  #quitters: Set<number> | undefined;
  /** Bytes of blocks that arrived before an exclusive piece started again. */
  #discarded = 0;
  /** No block before this one is missing. */
  #cursor = 0;

  /**
   * @param grant `present` names the blocks the buffer already holds, one byte each
   * @throws RangeError when the buffer cannot hold the piece: a detached buffer has no bytes
   */
  constructor({ lease, piece, buffer, present, exclusive, suspect }: LeaseGrant, geometry: Geometry, now: number) {
    const length = geometry.lengthOf(piece);
    if (buffer.byteLength < length) throw new RangeError(`lease buffer of ${buffer.byteLength} bytes for ${length}`);
    this.lease = lease;
    this.piece = piece;
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer, 0, length);
    this.blockCount = geometry.blocksIn(piece);
    this.exclusive = exclusive === true;
    this.suspect = suspect === true;
    this.progressAt = now;
    this.#states = new Uint8Array(this.blockCount);
    this.#askers = new Uint8Array(this.blockCount);
    this.#givers = new Uint32Array(this.blockCount);
    this.#missing = this.blockCount;
    present?.forEach((here, block) => {
      if (here === 0 || block >= this.blockCount) return;
      this.#states[block] = Block.present;
      this.#present++;
      this.#missing--;
    });
  }

  /** Blocks neither present nor requested. */
  get missing(): number {
    return this.#missing;
  }

  get isComplete(): boolean {
    return this.#present === this.blockCount;
  }

  /** Whether a peer may be asked for blocks, and its answers taken. */
  admits(peer: number): boolean {
    return !this.exclusive || this.#owner === peer || (this.#owner === 0 && this.#quitters?.has(peer) !== true);
  }

  /** Marks the first missing block as requested of a peer and returns it; -1 when none is missing. */
  takeMissing(peer: number): number {
    if (this.#missing === 0) return -1;
    this.#owner = peer;
    while (this.#states[this.#cursor] !== Block.missing) this.#cursor++;
    this.#states[this.#cursor] = Block.requested;
    this.#askers[this.#cursor] = 1;
    this.#missing--;
    return this.#cursor++;
  }

  /** A requested block will not come from a peer: it is missing again. @returns false when others owe it, or nobody does */
  release(block: number, peer: number): boolean {
    // What was asked of an earlier owner is nothing to the present one.
    if (this.#states[block] !== Block.requested || !this.admits(peer)) return false;
    if (--this.#askers[block]! > 0) return false;
    if (this.exclusive) {
      this.#quitters ??= new Set();
      this.#quitters.add(peer);
      this.#restart();
      return true;
    }
    this.#states[block] = Block.missing;
    this.#missing++;
    if (block < this.#cursor) this.#cursor = block;
    return true;
  }

  /** Marks a missing block as requested of a peer. @returns whether it was missing, and the peer may be asked */
  claim(block: number, peer: number): boolean {
    if (this.#states[block] !== Block.missing || !this.admits(peer)) return false;
    this.#owner = peer;
    this.#states[block] = Block.requested;
    this.#askers[block] = 1;
    this.#missing--;
    return true;
  }

  /**
   * Endgame: marks a block that others owe as asked of one more peer.
   * @param isProven whether the peer has given something
   * @returns whether it is owed by so few that it may be
   */
  contest(block: number, peer: number, isProven: boolean, now: number): boolean {
    if (this.#states[block] !== Block.requested || !this.admits(peer)) return false;
    const isStalled = now - this.progressAt >= STALLED_MS;
    const most = isStalled ? STALLED_ASKERS : isProven ? PROVEN_ASKERS : MAX_ASKERS;
    if (this.#askers[block]! >= most) return false;
    this.#askers[block]!++;
    return true;
  }

  /** Whether more than one peer owes a block. */
  isContested(block: number): boolean {
    return this.#askers[block]! > 1;
  }

  /** Whether a block that arrives now is of use. */
  lacks(block: number): boolean {
    return block < this.blockCount && this.#states[block] !== Block.present;
  }

  /** A block begins to arrive. The first to begin it writes it in place. @returns whether it is of use */
  begin(block: number, peer: number): boolean {
    if (!this.lacks(block) || !this.admits(peer)) return false;
    this.#owner = peer;
    if (this.#givers[block] === 0) this.#givers[block] = peer;
    return true;
  }

  /** Whether a peer writes a block in place. Any other that begins it keeps its bytes apart, and the first to end it has given it. */
  isWriter(block: number, peer: number): boolean {
    return this.#givers[block] === peer;
  }

  /** All bytes of a block are in place. */
  complete(block: number, peer: number, now: number): void {
    if (this.#states[block] === Block.present) return;
    if (this.#states[block] === Block.missing) this.#missing--;
    this.#states[block] = Block.present;
    this.#askers[block] = 0;
    this.#givers[block] = peer;
    this.#present++;
    this.progressAt = now;
  }

  /** Copies bytes that arrived to `begin`; the caller has checked that they lie inside the block. */
  write(begin: number, source: Uint8Array, start: number, end: number): void {
    this.bytes.set(start === 0 && end === source.length ? source : source.subarray(start, end), begin);
  }

  /** The peer that gave each block that is present, by connection number; 0 for those that came with the lease. */
  givers(): Uint32Array {
    return this.#givers.slice();
  }

  /** One byte per block, 1 = present; what travels home with an unfinished piece. Nobody can go on with an exclusive one. */
  presence(): Uint8Array {
    if (this.exclusive) return new Uint8Array(this.blockCount);
    return this.#states.map((state) => (state === Block.present ? 1 : 0));
  }

  /** Bytes that arrived and were thrown away since. @param isOver whether nobody goes on here */
  discarded(isOver: boolean): number {
    return this.#discarded + (isOver && this.exclusive ? this.#presentBytes() : 0);
  }

  #presentBytes(): number {
    const isShort = this.#states[this.blockCount - 1] === Block.present;
    return this.#present * BLOCK_LENGTH - (isShort ? this.blockCount * BLOCK_LENGTH - this.bytes.length : 0);
  }

  /**
   * Whether one peer has had an exclusive piece for so long that another should try. To be asked on every tick, as that is
   * how it knows since when. Each hand-over doubles the patience: among slow peers one gets the time it needs.
   */
  isOverdue(patienceMs: number, now: number): boolean {
    if (!this.exclusive || this.#owner === 0) return false;
    this.#ownedAt ??= now;
    return now - this.#ownedAt >= patienceMs * 2 ** this.#handOvers;
  }

  /** An exclusive piece starts again with another peer. */
  handOver(peer: number): void {
    this.#restart();
    this.#owner = peer;
    this.#handOvers++;
  }

  #restart(): void {
    this.#discarded += this.#presentBytes();
    this.#states.fill(Block.missing);
    this.#askers.fill(0);
    this.#givers.fill(0);
    this.#missing = this.blockCount;
    this.#present = 0;
    this.#cursor = 0;
    this.#owner = 0;
    this.#ownedAt = undefined;
  }
}

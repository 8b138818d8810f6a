/**
 * What a participant of a made-up swarm has, and what it asks for next: pieces that are begun first, then the rarest, at the end
 * what others owe. Pure; blocks are numbered through the torrent.
 */
import { request } from '../../test/helpers/scripted-peer.js';
import type { SmallTorrent } from '../../test/helpers/small-torrent.js';

const BLOCK = 16_384;

const State = { missing: 0, asked: 1, here: 2 } as const;

/** A connection, as far as this goes. */
export interface Source {
  /** One byte per piece, 1 for those the other end has. */
  readonly has: Uint8Array;
  /** Blocks it has been asked for and has not given. */
  readonly owed: Set<number>;
}

export class SwarmBlocks {
  /** One byte per piece. */
  readonly has: Uint8Array;
  readonly #torrent: SmallTorrent;
  readonly #perPiece: number;
  /** A `State` per block. */
  readonly #states: Uint8Array;
  readonly #availability: Uint32Array;
  #left: number;
  #drained = 0;

  /** @param has pieces that are here from the start; all when absent */
  constructor(torrent: SmallTorrent, has: Uint8Array | undefined) {
    this.#torrent = torrent;
    this.has = has?.slice() ?? new Uint8Array(torrent.pieceCount).fill(1);
    this.#perPiece = Math.ceil(torrent.pieceLength / BLOCK);
    this.#states = new Uint8Array(torrent.pieceCount * this.#perPiece);
    this.#availability = new Uint32Array(torrent.pieceCount);
    this.#left = this.has.filter((here) => here === 0).length;
  }

  get isComplete(): boolean {
    return this.#left === 0;
  }

  /** A source has a piece. */
  learn(source: Source, piece: number): void {
    if (source.has[piece] === 1) return;
    source.has[piece] = 1;
    this.#availability[piece]!++;
  }

  /** A source has gone. */
  forget(source: Source): void {
    this.release(source);
    for (const [piece, here] of source.has.entries()) this.#availability[piece]! -= here;
  }

  wants(source: Source): boolean {
    return source.has.some((here, piece) => here === 1 && this.has[piece] === 0);
  }

  /** Marks a block as asked of a source. @returns the request */
  ask(source: Source, index: number): Buffer {
    source.owed.add(index);
    if (this.#states[index] === State.missing) this.#states[index] = State.asked;
    const piece = Math.floor(index / this.#perPiece);
    const begin = (index % this.#perPiece) * BLOCK;
    return request(piece, begin, Math.min(BLOCK, this.#lengthOf(piece) - begin));
  }

  /** What a source owes will not come. */
  release(source: Source): void {
    for (const index of source.owed) if (this.#states[index] === State.asked) this.#states[index] = State.missing;
    source.owed.clear();
  }

  /** A block to ask for, -1 for none. */
  next(source: Source, random: () => number): number {
    const { pieceCount } = this.#torrent;
    let [best, bestScore, contested] = [-1, Number.POSITIVE_INFINITY, -1];
    const start = Math.floor(random() * pieceCount);
    for (let i = 0; i < pieceCount; i++) {
      const piece = (start + i) % pieceCount;
      if (source.has[piece] === 0 || this.has[piece] === 1) continue;
      let [missing, begun] = [-1, false];
      for (let block = this.#perPiece - 1; block >= 0; block--) {
        const index = piece * this.#perPiece + block;
        const state = this.#states[index]!;
        if (state === State.missing) missing = index;
        else begun = true;
        if (state === State.asked && !source.owed.has(index)) contested = index;
      }
      const score = begun ? 0 : this.#availability[piece]!;
      if (missing === -1 || score >= bestScore) continue;
      [best, bestScore] = [missing, score];
    }
    // One at a time: there is no CANCEL here.
    return best !== -1 || source.owed.size > 0 ? best : contested;
  }

  /** A block to ask for by one that keeps none: each in turn, for ever. -1 for none. */
  nextToDrain(source: Source): number {
    for (let tries = 0; tries < this.#states.length; tries++) {
      const index = this.#drained++ % this.#states.length;
      if (source.has[Math.floor(index / this.#perPiece)] === 1 && !source.owed.has(index)) return index;
    }
    return -1;
  }

  /** A block has come. @param keeps whether it is had from now on @returns whether its piece is whole with it */
  onBlock(source: Source, piece: number, begin: number, keeps: boolean): boolean {
    const index = piece * this.#perPiece + begin / BLOCK;
    source.owed.delete(index);
    if (!keeps || this.#states[index] === State.here) return false;
    this.#states[index] = State.here;
    const first = piece * this.#perPiece;
    const last = first + Math.ceil(this.#lengthOf(piece) / BLOCK);
    if (!this.#states.subarray(first, last).every((state) => state === State.here)) return false;
    this.has[piece] = 1;
    this.#left--;
    return true;
  }

  #lengthOf(piece: number): number {
    const { payload, pieceLength } = this.#torrent;
    return Math.min(pieceLength, payload.length - piece * pieceLength);
  }
}

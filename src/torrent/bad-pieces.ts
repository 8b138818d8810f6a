/**
 * The pieces that failed their hash and have not passed since: how they are fetched next, and when to give up. Pure.
 *
 * Such a piece is for one peer alone, so that one honest peer is enough for it to pass. Seeds that choke in the middle of it would
 * never end it so: when it has come home empty it is once for all again. Each failure that names nobody doubles how often
 * it has to come home before: liars who leave it alone while it is for one, and spoil it together when it is for all, gain little.
 */
import type { PieceIndex } from './geometry.js';

/** Failures that got somebody banned weigh less: there may be more liars than strikes, and each has but one. */
const BANS_PER_STRIKE = 10;

interface BadPiece {
  /** Failures that named nobody. */
  strikes: number;
  /** Failures that named who did it. */
  bans: number;
  /** Times it came home empty since it failed last. */
  returns: number;
}

export class BadPieces {
  readonly #limit: number;
  readonly #pieces = new Map<PieceIndex, BadPiece>();

  /** @param limit strikes that are too many */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#pieces.size;
  }

  has(piece: PieceIndex): boolean {
    return this.#pieces.has(piece);
  }

  [Symbol.iterator](): IterableIterator<PieceIndex> {
    return this.#pieces.keys();
  }

  /** Whether a piece is for one peer alone. */
  isExclusive(piece: PieceIndex): boolean {
    const bad = this.#pieces.get(piece);
    return bad !== undefined && bad.returns < 2 ** (bad.strikes - 1);
  }

  /** Nobody has given it alone. */
  onEmpty(piece: PieceIndex): void {
    const bad = this.#pieces.get(piece);
    if (bad !== undefined) bad.returns++;
  }

  /** @returns how often it has failed, when that is too often */
  onFailed(piece: PieceIndex, isExplained: boolean): number | undefined {
    const { strikes, bans } = this.#pieces.get(piece) ?? { strikes: 0, bans: 0 };
    const bad = { strikes: strikes + (isExplained ? 0 : 1), bans: bans + (isExplained ? 1 : 0), returns: 0 };
    this.#pieces.set(piece, bad);
    return bad.strikes + bad.bans / BANS_PER_STRIKE >= this.#limit ? bad.strikes + bad.bans : undefined;
  }

  delete(piece: PieceIndex): void {
    this.#pieces.delete(piece);
  }
}

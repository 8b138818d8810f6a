/**
 * Piece arithmetic, all of it. This file mints `PieceIndex`: an index read from the wire is a plain `number` until
 * `pieceIndex` has checked it, so an unchecked one cannot travel. Pure; knows nothing of files or peers.
 *
 * Vocabulary: `begin` is an offset in a piece, `offset` a byte in the torrent. Lengths are bytes. BEP 3.
 */

import { BLOCK_LENGTH } from '../protocol/wire.js';

declare const minted: unique symbol;

/** A piece index that lies inside its torrent. */
export type PieceIndex = number & { readonly [minted]: 'PieceIndex' };

/** The plain numbers a `Geometry` is made from; survives structured clone. */
export interface GeometryShape {
  /** Bytes in the torrent, >= 0. */
  readonly length: number;
  /** Bytes in every piece but the last, >= 1; any value, not only powers of two. */
  readonly pieceLength: number;
}

export class Geometry implements GeometryShape {
  readonly length: number;
  readonly pieceLength: number;
  /** Number of pieces; 0 for an empty torrent. */
  readonly pieceCount: number;
  /** Blocks in every piece but the last. */
  readonly blocksPerPiece: number;

  /** @throws RangeError when a number is no safe integer or is out of range */
  constructor({ length, pieceLength }: GeometryShape) {
    if (!Number.isSafeInteger(length) || length < 0)
      throw new RangeError(`length must be an integer >= 0, got ${length}`);
    if (!Number.isSafeInteger(pieceLength) || pieceLength < 1) {
      throw new RangeError(`piece length must be an integer >= 1, got ${pieceLength}`);
    }
    this.length = length;
    this.pieceLength = pieceLength;
    this.pieceCount = Math.ceil(length / pieceLength);
    this.blocksPerPiece = Math.ceil(pieceLength / BLOCK_LENGTH);
  }

  /** The checked form of an index from outside, or `undefined` when the torrent has no such piece. */
  pieceIndex(index: number): PieceIndex | undefined {
    return Number.isInteger(index) && index >= 0 && index < this.pieceCount ? (index as PieceIndex) : undefined;
  }

  /** The piece that holds a byte of the torrent, or `undefined` outside of it. */
  pieceAt(offset: number): PieceIndex | undefined {
    return this.pieceIndex(Math.floor(offset / this.pieceLength));
  }

  /** Offset in the torrent of a piece's first byte. */
  offsetOf(piece: PieceIndex): number {
    return piece * this.pieceLength;
  }

  /** Bytes in a piece; the last may be short. */
  lengthOf(piece: PieceIndex): number {
    return Math.min(this.pieceLength, this.length - piece * this.pieceLength);
  }

  /** Blocks in a piece. */
  blocksIn(piece: PieceIndex): number {
    return Math.ceil(this.lengthOf(piece) / BLOCK_LENGTH);
  }

  /** Bytes in a block of a piece; the last of **every** piece may be short. */
  blockLengthOf(piece: PieceIndex, block: number): number {
    return Math.min(BLOCK_LENGTH, this.lengthOf(piece) - block * BLOCK_LENGTH);
  }

  /** Every piece of the torrent, in order. */
  *pieces(): IterableIterator<PieceIndex> {
    for (let index = 0; index < this.pieceCount; index++) yield index as PieceIndex;
  }

  /** Whether `length` bytes at `begin` lie inside the piece; what an upload request is checked with. */
  contains(piece: PieceIndex, begin: number, length: number): boolean {
    return begin >= 0 && length > 0 && begin + length <= this.lengthOf(piece);
  }
}

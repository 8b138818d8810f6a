/**
 * Payload for benches that costs nothing to serve: every block is a view into one table of random bytes, found by arithmetic.
 * All blocks of a piece but its last repeat after `CLASSES` pieces, so that the hashes of a large torrent are made from few
 * (a SHA-1 can be copied before its last block); the last block is the piece's own, and with it the hash. Not on disk.
 */
import { createHash, type Hash } from 'node:crypto';
import { BLOCK_LENGTH } from '../protocol/wire.js';
import { payloadBytes } from './payload.js';

const TABLE_BYTES = 4_194_304;
const CLASSES = 64;
/** Odd, so that no two of the table's bytes are the start of the same piece: pieces below 4 Mi are all different. */
const PIECE_STEP = 1_299_709;
const CLASS_STEP = 65_537;
const BLOCK_STEP = 30_011;

export class Pattern {
  readonly pieceLength: number;
  readonly #table: Buffer;
  readonly #last: number;

  /** @param seed the same one gives the same bytes */
  constructor(seed: string, pieceLength: number) {
    this.pieceLength = pieceLength;
    this.#table = payloadBytes(seed, 0, TABLE_BYTES + BLOCK_LENGTH + 1);
    this.#last = Math.ceil(pieceLength / BLOCK_LENGTH) - 1;
  }

  /** A view of a block's bytes. @param wrong shifted by one byte: not what the hash says */
  block(piece: number, block: number, length: number, wrong = false): Uint8Array {
    const own = block === this.#last ? piece * PIECE_STEP : (piece % CLASSES) * CLASS_STEP;
    const at = ((own + block * BLOCK_STEP) % TABLE_BYTES) + (wrong ? 1 : 0);
    return this.#table.subarray(at, at + length);
  }

  /** The bytes of a piece, block by block. */
  *blocks(piece: number, length = this.pieceLength): IterableIterator<Uint8Array> {
    for (let at = 0, block = 0; at < length; at += BLOCK_LENGTH, block++) {
      yield this.block(piece, block, Math.min(BLOCK_LENGTH, length - at));
    }
  }

  /** The SHA-1 of each piece of a torrent, 20 bytes each. @param first the torrent's first piece in the pattern */
  hashes(length: number, first = 0): Uint8Array {
    const count = Math.ceil(length / this.pieceLength);
    const hashes = new Uint8Array(count * 20);
    const classes = new Map<number, Hash>();
    const body = this.#last * BLOCK_LENGTH;
    for (let i = 0; i < count; i++) {
      const piece = first + i;
      const bytes = Math.min(this.pieceLength, length - i * this.pieceLength);
      const isWhole = bytes === this.pieceLength;
      const known = isWhole ? classes.get(piece % CLASSES) : undefined;
      const prefix = known ?? this.#hash(piece, Math.min(bytes, body));
      if (isWhole) classes.set(piece % CLASSES, prefix);
      const sha1 = prefix.copy();
      if (bytes > body) sha1.update(this.block(piece, this.#last, bytes - body));
      hashes.set(sha1.digest(), i * 20);
    }
    return hashes;
  }

  #hash(piece: number, length: number): Hash {
    const sha1 = createHash('sha1');
    for (const bytes of this.blocks(piece, length)) sha1.update(bytes);
    return sha1;
  }
}

/**
 * The unfinished pieces of one torrent that lie on disk: their blocks are in their place in the files, when a run was stopped or
 * when their buffers were wanted elsewhere. Nothing in them is verified: a piece is read back with the blocks it has and hashed
 * as a whole when it is complete. Who gave these blocks is forgotten, since others can write to files, too.
 */
import { BLOCK_LENGTH } from './protocol/wire.js';
import type { Storage } from './storage/storage.js';
import type { Geometry, PieceIndex } from './torrent/geometry.js';

/** An unfinished piece. */
export interface Partial {
  readonly buffer: ArrayBuffer;
  /** One byte per block, 1 = present. */
  readonly present: Uint8Array;
}

export interface SpillsSettings {
  readonly geometry: Geometry;
  readonly storage: Pick<Storage, 'write' | 'readInto'>;
  /** The blocks are with the operating system. */
  readonly onSpilled: (piece: PieceIndex, present: Uint8Array) => void;
  /** What lies there is of no use. */
  readonly onForgotten: (piece: PieceIndex) => void;
}

export class Spills {
  readonly #settings: SpillsSettings;
  /** Which blocks are on disk, as in `Partial`. */
  readonly #present = new Map<PieceIndex, Uint8Array>();
  readonly #writing = new Map<PieceIndex, Promise<void>>();

  constructor(settings: SpillsSettings) {
    this.#settings = settings;
  }

  get pieces(): Iterable<PieceIndex> {
    return this.#present.keys();
  }

  has(piece: PieceIndex): boolean {
    return this.#present.has(piece);
  }

  isWriting(piece: PieceIndex): boolean {
    return this.#writing.has(piece);
  }

  /** What an earlier run has left. */
  found(piece: PieceIndex, present: Uint8Array): void {
    this.#present.set(piece, present);
  }

  /**
   * Writes the blocks that are not there yet; until it settles, neither the buffer nor the place of the piece on disk must be
   * touched.
   * @throws SpateError (LOCAL_IO, DISK_FULL) naming the file
   */
  async write(piece: PieceIndex, partial: Partial): Promise<void> {
    const writing = this.#write(piece, partial);
    this.#writing.set(piece, writing);
    try {
      await writing;
    } finally {
      this.#writing.delete(piece);
    }
  }

  async #write(piece: PieceIndex, { buffer, present }: Partial): Promise<void> {
    const { geometry, storage, onSpilled } = this.#settings;
    const before = this.#present.get(piece);
    const due = before === undefined ? present : present.map((here, block) => (before[block] === 1 ? 0 : here));
    for (const { begin, length } of runs(due, geometry.lengthOf(piece))) {
      await storage.write(geometry.offsetOf(piece) + begin, [new Uint8Array(buffer, begin, length)]);
    }
    this.#present.set(piece, present);
    onSpilled(piece, present);
  }

  /**
   * Reads a piece back.
   * @returns which blocks the buffer holds now; `undefined` when they cannot be read: the piece is fetched again
   */
  async read(piece: PieceIndex, buffer: ArrayBuffer): Promise<Uint8Array | undefined> {
    const { geometry, storage } = this.#settings;
    const present = this.#present.get(piece)!;
    try {
      for (const { begin, length } of runs(present, geometry.lengthOf(piece))) {
        await storage.readInto(geometry.offsetOf(piece) + begin, [new Uint8Array(buffer, begin, length)]);
      }
      return present;
    } catch {
      this.forget(piece);
      return undefined;
    }
  }

  /** The piece is there as a whole, or a block of it is bad. */
  forget(piece: PieceIndex): void {
    if (this.#present.delete(piece)) this.#settings.onForgotten(piece);
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#writing.values());
  }
}

/** Neighbouring blocks as one range each. */
function* runs(present: Uint8Array, pieceLength: number): Generator<{ begin: number; length: number }> {
  for (let block = 0; block < present.length; block++) {
    if (present[block] !== 1) continue;
    const begin = block * BLOCK_LENGTH;
    while (present[block + 1] === 1) block++;
    yield { begin, length: Math.min((block + 1) * BLOCK_LENGTH, pieceLength) - begin };
  }
}

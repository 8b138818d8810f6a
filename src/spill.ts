/**
 * Unfinished pieces between memory and disk: at a stop their blocks are written to their place in the files, and the next run
 * reads them back. Nothing in them is verified: the piece is hashed as a whole when it is complete.
 */
import { BLOCK_LENGTH } from './protocol/wire.js';
import type { Storage } from './storage/storage.js';
import type { ByteBudget } from './torrent/byte-budget.js';
import type { Geometry, PieceIndex } from './torrent/geometry.js';
import type { Partial } from './transfer.js';

/** Writes the blocks that are there. @returns what was written, for the resume state */
export async function spill(
  partials: ReadonlyMap<PieceIndex, Partial>,
  geometry: Geometry,
  storage: Pick<Storage, 'write'>,
): Promise<Map<PieceIndex, Uint8Array>> {
  const written = new Map<PieceIndex, Uint8Array>();
  for (const [piece, { buffer, present }] of partials) {
    for (const { begin, length } of runs(present, geometry.lengthOf(piece))) {
      await storage.write(geometry.offsetOf(piece) + begin, [new Uint8Array(buffer, begin, length)]);
    }
    written.set(piece, present);
  }
  return written;
}

/**
 * Reads spilled pieces back, as far as the budget goes and one more piece has room beside them. What cannot be read is fetched
 * again.
 * @param adopt takes each, with its buffer
 */
export async function unspill(
  spilled: ReadonlyMap<PieceIndex, Uint8Array>,
  geometry: Geometry,
  storage: Pick<Storage, 'readInto'>,
  budget: ByteBudget,
  adopt: (piece: PieceIndex, partial: Partial) => void,
): Promise<void> {
  for (const [piece, present] of spilled) {
    if (budget.room(geometry.pieceLength) < 2) return;
    const buffer = budget.take(geometry.lengthOf(piece));
    if (buffer === undefined) return;
    try {
      for (const { begin, length } of runs(present, geometry.lengthOf(piece))) {
        await storage.readInto(geometry.offsetOf(piece) + begin, [new Uint8Array(buffer, begin, length)]);
      }
    } catch {
      budget.give(buffer);
      continue;
    }
    adopt(piece, { buffer, present });
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

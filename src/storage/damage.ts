/**
 * What the outcome of hashing says of each file: missing, too short, too long, or with bad pieces, and which of its bytes those
 * are. Looks at sizes, opens nothing.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { fileError } from '../errors.js';
import type { Bitfield } from '../torrent/bitfield.js';
import type { Geometry } from '../torrent/geometry.js';
import { isAbsence } from './disk.js';
import type { FileEntry } from './layout.js';

export interface FileDamage {
  /** In the file table. */
  readonly index: number;
  /** `bad` has its length and bytes that are not right; of the others some may be as well. */
  readonly problem: 'missing' | 'short' | 'long' | 'bad';
  /** Bytes on disk. */
  readonly size: number;
  /** Bad pieces that the file has bytes of, first and last. */
  readonly pieces: readonly (readonly [first: number, last: number])[];
  /** Where its bytes in these pieces lie in it, first and last. One bad byte makes a piece bad: not each of these is wrong. */
  readonly bytes: readonly (readonly [first: number, last: number])[];
}

/**
 * @param judged 1 for each file that is asked about; `undefined` for all
 * @throws SpateError (LOCAL_IO) naming a file that cannot be looked at
 */
export function findDamage(
  root: string,
  files: readonly FileEntry[],
  geometry: Geometry,
  good: Bitfield,
  judged: Uint8Array | undefined,
): FileDamage[] {
  return files.flatMap((entry, index) => {
    if (entry.pad || entry.symlink !== undefined || (judged !== undefined && judged[index] !== 1)) return [];
    const size = sizeOf(join(root, ...entry.path));
    const pieces = badPieces(entry, geometry, good);
    const problem = problemOf(size, entry.length, pieces.length > 0);
    if (problem === undefined) return [];
    const bytes = pieces.map(([first, last]): [number, number] => [
      Math.max(0, first * geometry.pieceLength - entry.offset),
      Math.min(entry.length, (last + 1) * geometry.pieceLength - entry.offset) - 1,
    ]);
    return [{ index, problem, size: size ?? 0, pieces, bytes }];
  });
}

function problemOf(size: number | undefined, length: number, isBad: boolean): FileDamage['problem'] | undefined {
  if (size === undefined) return 'missing';
  if (size < length) return 'short';
  if (size > length) return 'long';
  return isBad ? 'bad' : undefined;
}

function badPieces({ offset, length }: FileEntry, { pieceLength }: Geometry, good: Bitfield): [number, number][] {
  const runs: [number, number][] = [];
  if (length === 0) return runs;
  const last = Math.floor((offset + length - 1) / pieceLength);
  for (let piece = Math.floor(offset / pieceLength); piece <= last; piece++) {
    if (good.has(piece)) continue;
    const run = runs.at(-1);
    if (run?.[1] === piece - 1) run[1] = piece;
    else runs.push([piece, piece]);
  }
  return runs;
}

/** `undefined` when there is nothing at the path. */
function sizeOf(path: string): number | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.size;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw fileError(`look at ${path}`, error);
  }
}

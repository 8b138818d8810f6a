/**
 * What the outcome of hashing says of each file: missing, too short, too long, with bad pieces or not to be read, and which of its bytes those
 * are. Looks at sizes, opens nothing.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { fileError } from '../errors.js';
import type { Bitfield } from '../torrent/bitfield.js';
import type { Geometry } from '../torrent/geometry.js';
import { isAbsence } from './disk.js';
import type { FileEntry } from './layout.js';
import { notAFile, openError } from './torrent-file.js';

export interface FileDamage {
  /** In the file table. */
  readonly index: number;
  /**
   * `bad` has its length and bytes that are not right, or cannot be judged without those of a neighbour; of the others some may be
   * as well. `unreadable` is something else than a file, too.
   */
  readonly problem: 'missing' | 'short' | 'long' | 'bad' | 'unreadable';
  /** Of what is unreadable. */
  readonly reason?: string;
  /** Bytes on disk. */
  readonly size: number;
  /** Bad pieces that the file has bytes of, first and last. */
  readonly pieces: readonly (readonly [first: number, last: number])[];
  /** Where its bytes in these pieces lie in it, first and last. One bad byte makes a piece bad: not each of these is wrong. */
  readonly bytes: readonly (readonly [first: number, last: number])[];
}

/**
 * @param judged 1 for each file that is asked about; `undefined` for all
 * @param unread why files could not be read when they were hashed, by path
 */
export function findDamage(
  root: string,
  files: readonly FileEntry[],
  geometry: Geometry,
  good: Bitfield,
  judged: Uint8Array | undefined,
  unread: ReadonlyMap<string, string>,
): FileDamage[] {
  return files.flatMap((entry, index) => {
    if (entry.pad || entry.symlink !== undefined || (judged !== undefined && judged[index] !== 1)) return [];
    const found = look(join(root, ...entry.path));
    const reason = found.reason ?? unread.get(entry.path.join('/'));
    const { size } = found;
    const pieces = badPieces(entry, geometry, good);
    const problem = reason === undefined ? problemOf(size, entry.length, pieces.length > 0) : 'unreadable';
    if (problem === undefined) return [];
    const bytes = pieces.map(([first, last]): [number, number] => [
      Math.max(0, first * geometry.pieceLength - entry.offset),
      Math.min(entry.length, (last + 1) * geometry.pieceLength - entry.offset) - 1,
    ]);
    return [{ index, problem, ...(reason !== undefined && { reason }), size: size ?? 0, pieces, bytes }];
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

/** Whether nothing is known to be bad: files cannot be read, and the others that are not good share pieces with these. */
export function isUnjudged(damage: readonly FileDamage[]): boolean {
  const unread = new Set<number>();
  for (const { problem, pieces } of damage) {
    if (problem === 'unreadable') for (const run of pieces) for (const piece of each(run)) unread.add(piece);
  }
  return damage.every(({ problem, pieces }) => {
    if (problem !== 'bad') return problem === 'unreadable';
    return pieces.every((run) => [...each(run)].every((piece) => unread.has(piece)));
  });
}

function* each([first, last]: readonly [number, number]): Generator<number> {
  for (let piece = first; piece <= last; piece++) yield piece;
}

/** The size is `undefined` when there is nothing at the path; the reason is why it cannot be read. */
function look(path: string): { readonly size?: number; readonly reason?: string } {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return {};
    if (stats.isFile()) return { size: stats.size };
    const what = stats.isSymbolicLink() ? Object.assign(new Error(), { code: 'ELOOP' }) : notAFile();
    return { reason: openError(path, what).message };
  } catch (error) {
    return isAbsence(error) ? {} : { reason: fileError(`look at ${path}`, error).message };
  }
}

/**
 * Whether the files of a torrent still are what a resume state says they were: size and time of last change, as the disk tells
 * them. A file that changed discredits every piece it has a byte of, and no other.
 */
import { join } from 'node:path';
import { fileError } from '../errors.js';
import { Bitfield } from '../torrent/bitfield.js';
import type { Geometry, PieceIndex } from '../torrent/geometry.js';
import { call, type Disk, OPEN_TO_READ } from './disk.js';
import { each } from './lanes.js';
import type { FileEntry } from './layout.js';
import type { FileRecord, ResumeState } from './resume-state.js';

export const NO_FILE: FileRecord = { size: -1n, mtimeNs: 0n };

/** What is at the place of one file. What is there but no file, or cannot be seen, is of size -1 too: hashing finds the error. */
export async function recordOf(root: string, file: FileEntry, disk: Disk): Promise<FileRecord> {
  const path = join(root, ...file.path);
  try {
    const stats = await call<{ readonly size: bigint; readonly mtimeNs: bigint; isFile(): boolean }>((done) =>
      disk.lstat(path, done),
    );
    return stats.isFile() ? { size: stats.size, mtimeNs: stats.mtimeNs } : NO_FILE;
  } catch {
    return NO_FILE;
  }
}

/** All files of a table, as they are now; also those that shall be empty, which may have got bytes. */
export async function recordAll(root: string, files: readonly FileEntry[], disk: Disk): Promise<FileRecord[]> {
  const records = files.map(() => NO_FILE);
  // A torrent of 100,000 files has them in one folder; when that is missing they need no look each.
  let missing: string | undefined;
  await each(files, async (file, index) => {
    const top = file.path[0];
    if (file.pad || file.symlink !== undefined || (top === missing && file.path.length > 1)) return;
    records[index] = await recordOf(root, file, disk);
    if (records[index] !== NO_FILE || file.path.length === 1 || top === missing) return;
    if (!(await recordFolder(join(root, top!), disk))) missing = top;
  });
  return records;
}

async function recordFolder(path: string, disk: Disk): Promise<boolean> {
  return await call<unknown>((done) => disk.lstat(path, done)).then(
    () => true,
    () => false,
  );
}

/** Flushes a file that somebody else may have written. @throws SpateError (LOCAL_IO) naming it */
export async function flushFile(root: string, file: FileEntry, disk: Disk): Promise<void> {
  const path = join(root, ...file.path);
  try {
    const fd = await call<number>((done) => disk.open(path, OPEN_TO_READ, 0, done));
    try {
      await call((done) => disk.fdatasync(fd, done));
    } finally {
      await call((done) => disk.close(fd, done));
    }
  } catch (error) {
    throw fileError(`sync ${path}`, error);
  }
}

/** The pieces that a file has a byte of: the first and the one after the last. */
export function piecesOf(file: FileEntry, { pieceLength }: Geometry): { readonly from: number; readonly to: number } {
  return { from: Math.floor(file.offset / pieceLength), to: Math.ceil((file.offset + file.length) / pieceLength) };
}

export interface Trust {
  /** Pieces that need no hashing: nothing has touched them since the state was saved. */
  readonly judged: Bitfield;
  /** Those of them that are on disk and good. */
  readonly good: Bitfield;
  /** Unfinished pieces whose blocks can be read back. */
  readonly partials: ReadonlyMap<PieceIndex, Uint8Array>;
}

/**
 * What of a state can be relied on.
 * @param now the files as they are
 * @param byTime whether a file must have kept its time of last change beside its size
 */
export function trustIn(
  state: ResumeState,
  now: readonly FileRecord[],
  files: readonly FileEntry[],
  geometry: Geometry,
  byTime: boolean,
): Trust {
  const judged = Bitfield.full(geometry.pieceCount);
  const good = Bitfield.fromWire(state.have.bytes, geometry.pieceCount)!;
  const partials = new Map(state.partials);
  files.forEach((file, index) => {
    if (file.pad || file.length === 0) return;
    const [before, found] = [state.files[index]!, now[index]!];
    const changed = before.size !== found.size || (byTime && before.mtimeNs !== found.mtimeNs);
    const { from, to } = piecesOf(file, geometry);
    if (changed) for (let piece = from; piece < to; piece++) judged.clear(piece);
    // Whatever the state says: bytes that are not there are not had.
    const end = file.offset + Math.max(0, Math.min(Number(found.size) - (file.position ?? 0), file.length));
    const whole = changed ? from : end === file.offset + file.length ? to : Math.floor(end / geometry.pieceLength);
    for (let piece = Math.max(from, whole); piece < to; piece++) {
      good.clear(piece);
      // Blocks of an unfinished piece can be elsewhere in it; who reads them finds out whether they are there.
      if (changed) partials.delete(piece as PieceIndex);
    }
  });
  return { judged, good, partials };
}

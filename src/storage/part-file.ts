/**
 * Where bytes of files that are not wanted go when a wanted file shares their piece: to one hidden part file beside the payload,
 * `.<infohash>.spate-part`, so that the piece can be hashed and served and those files are not created. BEP 3 knows none of this.
 *
 * Format: no header. Each piece that holds bytes of more than one file (pad and empty ones do not count) has a slot of the
 * torrent's piece length, in the order of the pieces; a byte is at its place in its piece. What nobody has written is a hole. The
 * format does not depend on the selection, so that another one finds what an earlier one has left.
 */
import { accessSync, constants, lstatSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../errors.js';
import type { Bitfield } from '../torrent/bitfield.js';
import type { Geometry, PieceIndex } from '../torrent/geometry.js';
import { FileStore } from './files.js';
import { isInside } from './folders.js';
import { CHUNK_BYTES } from './hash-pieces.js';
import { type FileEntry, fileAt, spans } from './layout.js';
import type { OpenFiles } from './open-files.js';
import type { Storage } from './storage.js';

export interface DiskTableInput {
  readonly root: string;
  readonly infohash: Uint8Array;
  readonly files: readonly FileEntry[];
  readonly geometry: Geometry;
  /** 1 for each file that is wanted; `undefined` for all. */
  readonly wanted: Uint8Array | undefined;
  /** Nothing will be written: files that are there are used as they are, whatever their length. */
  readonly readonly: boolean;
}

export function partFileName(infohash: Uint8Array): string {
  return `.${Buffer.from(infohash).toString('hex')}.spate-part`;
}

/** Every file that may hold bytes of the torrent, whatever is chosen: its own, and the part file, which has no length to keep. */
export function placesOf(files: readonly FileEntry[], infohash: Uint8Array): readonly FileEntry[] {
  return [...files, { path: [partFileName(infohash)], length: Number.POSITIVE_INFINITY, offset: 0, pad: false }];
}

/** Whether a table sends bytes to the part file. */
export function usesPartFile(table: readonly FileEntry[], infohash: Uint8Array): boolean {
  const name = partFileName(infohash);
  return table.some(({ path, position }) => position !== undefined && path[0] === name);
}

/** Whether there is one. */
export function hasPartFile(root: string, infohash: Uint8Array): boolean {
  return sizeOf(join(root, partFileName(infohash))) !== undefined;
}

/** Removes the part file, if there is one. @throws SpateError (LOCAL_IO) */
export async function removePartFile(root: string, infohash: Uint8Array): Promise<void> {
  const path = join(root, partFileName(infohash));
  await rm(path, { force: true }).catch((error: unknown) => {
    throw fileError(`remove ${path}`, error);
  });
}

/**
 * The file table as the bytes lie on disk: wanted files where they belong; of the others what shares a piece with another file in
 * the part file, the rest where it would be, which is read and never written. A file that is not wanted and there at its full
 * length, from an earlier download, is used where it is, if it can be read.
 */
export function diskTable(input: DiskTableInput): readonly FileEntry[] {
  const { root, infohash, files, geometry, readonly } = input;
  if (readonly ? !hasPartFile(root, infohash) : input.wanted === undefined) return files;
  const wanted = input.wanted ?? new Uint8Array(files.length);
  const slots = sharedPieces(files, geometry.pieceLength);
  const partPath = [partFileName(infohash)];
  const usable = new Map<string, boolean>();
  return files.flatMap((entry, i) => {
    const { path, length, offset, pad } = entry;
    if (pad || wanted[i] === 1) return [entry];
    const size = sizeOf(join(root, ...path));
    // Neither made nor linked: it has no byte to look for.
    if (length === 0) return readonly && size !== undefined ? [entry] : [];
    if (readonly ? size !== undefined : size === length && isUsable(root, path, usable))
      return [{ path, length, offset, pad }];
    return pieceRuns(entry, geometry.pieceLength, slots).map(({ from, to, slot }) =>
      slot === undefined
        ? { path, length: to - from, offset: from, pad, position: from - offset }
        : {
            path: partPath,
            length: to - from,
            offset: from,
            pad,
            position: slot * geometry.pieceLength + (from % geometry.pieceLength),
          },
    );
  });
}

/**
 * With a part file, the table as bytes lie before a run writes any: a wanted file that is not there yet may have bytes in the part
 * file, from when it was not wanted.
 */
export function tableBefore(input: DiskTableInput): readonly FileEntry[] {
  const { root, files, wanted } = input;
  const isThere = files.map(({ path, pad }) => !pad && sizeOf(join(root, ...path)) !== undefined);
  return diskTable({ ...input, wanted: Uint8Array.from(isThere, (there, i) => Number(there && wanted?.[i] !== 0)) });
}

/** Whether bytes of a range of the torrent lie elsewhere in one table than in another. */
export function liesElsewhere(
  before: readonly FileEntry[],
  after: readonly FileEntry[],
  offset: number,
  length: number,
): boolean {
  const placesIn = (table: readonly FileEntry[]): string =>
    JSON.stringify(spans(table, offset, length).map((span) => [table[span.file]!.path, span.position, span.length]));
  return before !== after && placesIn(before) !== placesIn(after);
}

export interface CopyInput {
  readonly root: string;
  readonly infohash: Uint8Array;
  /** As bytes lie, and as they shall. */
  readonly before: readonly FileEntry[];
  readonly after: readonly FileEntry[];
  readonly geometry: Geometry;
  /** Good pieces. */
  readonly have: Bitfield;
  readonly openFiles: OpenFiles;
}

/**
 * Copies what good pieces have in the part file to files that are wanted now; it keeps its copy until it goes as a whole.
 * @returns the pieces of which bytes were copied
 * @throws SpateError (LOCAL_IO, DISK_FULL) naming the file
 */
export async function copyFromPart(input: CopyInput, storage: Pick<Storage, 'write'>): Promise<Set<PieceIndex>> {
  const { root, infohash, before, after, geometry, have, openFiles } = input;
  const copied = new Set<PieceIndex>();
  if (before === after) return copied;
  const part = partFileName(infohash);
  const source = new FileStore({ root, files: before, openFiles, readonly: true });
  for (const { path, offset, length, position } of before) {
    const isInPart = position !== undefined && path[0] === part;
    if (!isInPart || after[fileAt(after, offset)]!.position !== undefined) continue;
    // What a file has in the part file is of one piece.
    const piece = geometry.pieceAt(offset)!;
    if (!have.has(piece)) continue;
    for (let done = 0; done < length; done += CHUNK_BYTES) {
      const bytes = new Uint8Array(Math.min(CHUNK_BYTES, length - done));
      await source.readInto(offset + done, [bytes]);
      await storage.write(offset + done, [bytes]);
    }
    copied.add(piece);
  }
  await source.close();
  return copied;
}

/** The pieces that hold bytes of more than one file -> their slots. */
function sharedPieces(files: readonly FileEntry[], pieceLength: number): ReadonlyMap<number, number> {
  const slots = new Map<number, number>();
  let previous = -1;
  for (const { length, offset, pad } of files) {
    if (pad || length === 0) continue;
    const first = Math.floor(offset / pieceLength);
    if (first === previous && !slots.has(first)) slots.set(first, slots.size);
    previous = Math.floor((offset + length - 1) / pieceLength);
  }
  return slots;
}

/** A file cut where its pieces change between shared and not; neighbouring shared pieces have neighbouring slots. */
function pieceRuns(
  { offset, length }: FileEntry,
  pieceLength: number,
  slots: ReadonlyMap<number, number>,
): { readonly from: number; readonly to: number; readonly slot: number | undefined }[] {
  const end = offset + length;
  const first = Math.floor(offset / pieceLength);
  const last = Math.floor((end - 1) / pieceLength);
  // Of a file's pieces only the first and the last can be shared.
  const head = slots.get(first);
  const tail = last === first ? undefined : slots.get(last);
  const headEnd = head === undefined ? offset : Math.min(end, (first + 1) * pieceLength);
  const tailStart = tail === undefined ? end : last * pieceLength;
  return [
    { from: offset, to: headEnd, slot: head },
    { from: headEnd, to: tailStart, slot: undefined },
    { from: tailStart, to: end, slot: tail },
  ].filter(({ from, to }) => to > from);
}

/** Whether a file can be read, and its folder lies inside the root. @param folders those that were looked at */
function isUsable(root: string, path: readonly string[], folders: Map<string, boolean>): boolean {
  try {
    accessSync(join(root, ...path), constants.R_OK);
    const folder = join(root, ...path.slice(0, -1));
    const known = folders.get(folder) ?? isInside(realpathSync.native(root), realpathSync.native(folder));
    folders.set(folder, known);
    return known;
  } catch {
    return false;
  }
}

/** Of a regular file; `undefined` when there is none to be seen. */
function sizeOf(path: string): number | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats?.isFile() ? stats.size : undefined;
  } catch {
    // What cannot be looked at is told of by whoever reads it.
    return undefined;
  }
}

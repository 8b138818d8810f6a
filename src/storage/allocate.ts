/**
 * Room on disk for what is still to come, taken before the first byte does: `--alloc full`. Node has no fallocate, so zeros are
 * written where pieces are missing; a file system that compresses or keeps zeros as holes gives no promise this way. What is there
 * is left alone: a file that has all its blocks, every piece that is good, and every unfinished one that has blocks on disk, whose
 * holes get their room when it is written.
 */
import { lstatSync, type Stats } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, SpateError } from '../errors.js';
import type { Bitfield } from '../torrent/bitfield.js';
import type { Geometry, PieceIndex } from '../torrent/geometry.js';
import type { FileEntry } from './layout.js';
import type { Storage } from './storage.js';

export interface AllocateInput {
  readonly root: string;
  /** As they lie on disk. */
  readonly files: readonly FileEntry[];
  readonly geometry: Geometry;
  readonly storage: Storage;
  readonly have: Bitfield;
  readonly wanted: Bitfield;
  /** Whether blocks of an unfinished piece are on disk. */
  readonly isKept: (piece: PieceIndex) => boolean;
  readonly signal?: AbortSignal;
  /** These bytes of the torrent were written, or may have been before an error. */
  readonly onFilled?: (offset: number, length: number) => void;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

const CHUNK_BYTES = 4 * 1_048_576;
const BLOCK_BYTES = 512;

/** @throws SpateError DISK_FULL before anything is written when there is not enough room, LOCAL_IO; the reason of `signal` */
export async function allocate(input: AllocateInput): Promise<void> {
  const { root, files, geometry, storage, have, wanted, isKept, signal, onFilled } = input;
  const isMissing = (piece: PieceIndex): boolean => wanted.has(piece) && !have.has(piece);
  const isUntouched = (piece: PieceIndex): boolean => isMissing(piece) && !isKept(piece);
  const ranges: Range[] = [];
  let needed = 0;
  for (const entry of files) {
    const holes = entry.pad ? 0 : bytesInHoles(join(root, ...entry.path), entry);
    if (holes === 0) continue;
    needed += Math.min(holes, totalOf(rangesOf(entry, geometry, isMissing)));
    for (const range of rangesOf(entry, geometry, isUntouched)) ranges.push(range);
  }
  await assertRoom(root, needed);
  const zeros = new Uint8Array(Math.min(CHUNK_BYTES, totalOf(ranges)));
  for (const { from, to } of ranges) {
    for (let at = from; at < to; at += zeros.length) {
      signal?.throwIfAborted();
      const length = Math.min(zeros.length, to - at);
      try {
        await storage.write(at, [zeros.subarray(0, length)]);
      } finally {
        onFilled?.(at, length);
      }
    }
  }
}

async function assertRoom(root: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(root).catch((error: unknown) => {
    throw fileError(`look at ${root}`, error);
  });
  if (needed <= bavail * bsize) return;
  throw new SpateError(
    'DISK_FULL',
    `not enough room in ${root}: expected ${needed} bytes, found ${bavail * bsize}; free some space and run the same command again`,
  );
}

/** The bytes that a file has of some pieces. */
function rangesOf(entry: FileEntry, geometry: Geometry, isDue: (piece: PieceIndex) => boolean): Range[] {
  const ranges: Range[] = [];
  const end = entry.offset + entry.length;
  const last = Math.floor((end - 1) / geometry.pieceLength);
  let open = -1;
  for (let piece = Math.floor(entry.offset / geometry.pieceLength); piece <= last; piece++) {
    const from = Math.max(entry.offset, piece * geometry.pieceLength);
    const due = isDue(piece as PieceIndex);
    if (due && open < 0) open = from;
    if (due || open < 0) continue;
    ranges.push({ from: open, to: from });
    open = -1;
  }
  if (open >= 0) ranges.push({ from: open, to: end });
  return ranges;
}

function totalOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from, 0);
}

/** How much of a file has no room yet; all of one that shares its file on disk with others. */
function bytesInHoles(path: string, { length, position }: FileEntry): number {
  const stats = position === undefined ? look(path) : undefined;
  if (stats === undefined) return length;
  // Of a longer one nobody knows which end has the holes.
  return stats.size > length ? length : Math.max(0, length - stats.blocks * BLOCK_BYTES);
}

/** What cannot be looked at is told of by whoever writes it. */
function look(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

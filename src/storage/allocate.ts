/**
 * Room on disk for what is still to come, taken before the first byte does: `--alloc full`. Node has no fallocate, so zeros are
 * written where pieces are missing; a file system that compresses or keeps zeros as holes gives no promise this way. What is there
 * is left alone: a file that has all its blocks, every piece that is good, and every unfinished one that has blocks on disk, whose
 * holes get their room when it is written.
 */
import { lstatSync } from 'node:fs';
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
  const { root, storage, signal, onFilled } = input;
  const ranges = missingRanges(input);
  const needed = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  await assertRoom(root, needed);
  const zeros = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(1, needed)));
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

/** The bytes of wanted pieces of which nothing is had, in files that have holes. */
function missingRanges({ root, files, geometry, have, wanted, isKept }: AllocateInput): Range[] {
  const ranges: Range[] = [];
  for (const entry of files) {
    if (entry.pad || entry.length === 0 || isAllocated(join(root, ...entry.path), entry)) continue;
    const end = entry.offset + entry.length;
    const last = Math.floor((end - 1) / geometry.pieceLength);
    let open = -1;
    for (let piece = Math.floor(entry.offset / geometry.pieceLength); piece <= last; piece++) {
      const from = Math.max(entry.offset, piece * geometry.pieceLength);
      const isMissing = wanted.has(piece) && !have.has(piece) && !isKept(piece as PieceIndex);
      if (isMissing && open < 0) open = from;
      if (isMissing || open < 0) continue;
      ranges.push({ from: open, to: from });
      open = -1;
    }
    if (open >= 0) ranges.push({ from: open, to: end });
  }
  return ranges;
}

function isAllocated(path: string, { length, position }: FileEntry): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || position !== undefined) return false;
  return stats.size === length && stats.blocks * BLOCK_BYTES >= length;
}

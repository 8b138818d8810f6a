/**
 * Which pieces of a torrent are on disk: splits it in ranges and hashes them on threads of their own (`workers/verify.ts`).
 * Starting threads takes longer than hashing a few MiB, so little data is hashed here, and none needs no hashing at all.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SpateError } from '../errors.js';
import { BUILT } from '../package.js';
import { Bitfield } from '../torrent/bitfield.js';
import type { Geometry } from '../torrent/geometry.js';
import { isAbsence } from './disk.js';
import {
  CHUNK_BYTES,
  firstOnDisk,
  type HashResult,
  type HashTask,
  hashPiecesAside,
  type Unread,
} from './hash-pieces.js';
import { type FileEntry, fileAt } from './layout.js';

export interface VerifyInput {
  readonly root: string;
  readonly files: readonly FileEntry[];
  readonly geometry: Geometry;
  /** 20 bytes per piece. */
  readonly hashes: Uint8Array;
  /** Pieces that need no hashing: what they are is known. */
  readonly judged?: Bitfield;
  /** Told of files that cannot be read, maybe more than once: their pieces are bad then, and no error. */
  readonly onUnread?: (file: FileEntry, error: Pick<SpateError, 'code' | 'message'>) => void;
  /** Most threads at work, >= 1. */
  readonly threads: number;
  /** Another than the built `workers/verify`. */
  readonly workerUrl?: URL;
  readonly signal?: AbortSignal;
  /** Told after each range how many bytes of the torrent have been judged. */
  readonly onProgress?: (bytesDone: number) => void;
}

interface Range {
  readonly firstPiece: number;
  readonly pieceCount: number;
  /** Bytes this range settles: its own and those before it that are not on disk. */
  readonly bytes: number;
}

const MIB = 1_048_576;
/** A task costs about 50 us, so these are long enough to hide it and short enough to share out evenly and show progress. */
const RANGE_BYTES = { min: 8 * MIB, max: 64 * MIB };
/** Hashed on main within about 10 ms; a thread takes 40 ms to start. */
const MAIN_BYTES = 8 * MIB;
/** Threads without a range end after this; the pool ends with the last range anyway. */
const IDLE_MS = 100;

/**
 * The pieces that are on disk and match their hash; none of those that are judged already.
 * @throws SpateError (LOCAL_IO) naming a file that is there and cannot be read, unless `onUnread` is told; the reason of `signal`
 */
export async function verifyFiles(input: VerifyInput): Promise<Bitfield> {
  const { geometry, signal, onProgress } = input;
  signal?.throwIfAborted();
  const good = new Bitfield(geometry.pieceCount);
  const planned = plan(input);
  const ahead: Range[] = [];
  let hashable = 0;
  for (let next = planned.next(); !next.done; next = planned.next()) {
    ahead.push(next.value);
    hashable += next.value.pieceCount * geometry.pieceLength;
    if (hashable > MAIN_BYTES) break;
  }
  if (hashable > MAIN_BYTES) await hashOnThreads(input, chain(ahead, planned), good);
  else if (ahead.length > 0) await hashHere(input, ahead, good);
  onProgress?.(geometry.length);
  return good;
}

/** The ranges worth hashing, in order; each file is looked at when the plan reaches it. */
function* plan(input: VerifyInput): Generator<Range, undefined> {
  const { geometry, threads, judged } = input;
  if (geometry.pieceCount === 0) return;
  const bytes = Math.min(Math.max(geometry.length / (threads * 4), RANGE_BYTES.min), RANGE_BYTES.max);
  const most = Math.max(1, Math.floor(bytes / geometry.pieceLength));
  const sizeOf = sizes(input);
  for (let settled = 0; ; ) {
    const firstPiece = firstToHash(input, settled, sizeOf);
    if (firstPiece >= geometry.pieceCount) return;
    let end = Math.min(firstPiece + most, geometry.pieceCount);
    for (let piece = firstPiece + 1; judged !== undefined && piece < end; piece++) if (judged.has(piece)) end = piece;
    const endOffset = Math.min(end * geometry.pieceLength, geometry.length);
    yield { firstPiece, pieceCount: end - firstPiece, bytes: endOffset - settled * geometry.pieceLength };
    settled = end;
  }
}

/** The first piece, from `piece` on, that is not judged and can be good; the number of pieces when there is none. */
function firstToHash(
  { files, geometry, judged }: VerifyInput,
  piece: number,
  sizeOf: (file: number) => number,
): number {
  for (let first = piece; ; ) {
    while (judged?.has(first)) first++;
    if (first >= geometry.pieceCount) return first;
    const onDisk = firstOnDisk(files, geometry, first, sizeOf);
    if (onDisk === first || onDisk >= geometry.pieceCount) return onDisk;
    first = onDisk;
  }
}

/**
 * Sizes of files, for the plan: a look without opening. What is there but no file counts as whole: hashing finds the error. One that
 * is not chosen has no bytes then.
 */
function sizes({ root, files, onUnread }: VerifyInput): (file: number) => number {
  // A torrent of 100,000 files has them in one folder; when that is missing they need no look each.
  let missing: string | undefined;
  return (file) => {
    const { path, length, position } = files[file]!;
    const top = path[0]!;
    if (top === missing) return 0;
    const stats = look(join(root, ...path));
    if (stats === undefined && path.length > 1 && look(join(root, top)) === undefined) missing = top;
    if (stats === undefined) return 0;
    if (stats !== 'hidden' && stats.isFile()) return stats.size;
    return position !== undefined && onUnread === undefined ? 0 : (position ?? 0) + length;
  };
}

/** `undefined` when there is nothing. */
function look(path: string): { readonly size: number; isFile(): boolean } | 'hidden' | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    return isAbsence(error) ? undefined : 'hidden';
  }
}

function* chain(first: readonly Range[], rest: Iterable<Range>): Generator<Range, undefined> {
  yield* first;
  yield* rest;
}

async function hashHere(input: VerifyInput, ranges: readonly Range[], good: Bitfield): Promise<void> {
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, input.geometry.length));
  for (const range of ranges) {
    input.signal?.throwIfAborted();
    const task = taskOf(input, range);
    const { good: found, unread } = await hashPiecesAside(task, chunk);
    for (const index of found) good.set(range.firstPiece + index);
    tell(input, task, unread);
  }
}

async function hashOnThreads(input: VerifyInput, ranges: Generator<Range>, good: Bitfield): Promise<void> {
  const { threads, signal, onProgress } = input;
  const { Piscina } = await import('piscina');
  signal?.throwIfAborted();
  const pool = new Piscina({
    filename: fileURLToPath(input.workerUrl ?? BUILT.verify),
    name: 'verify',
    minThreads: 0,
    maxThreads: threads,
    idleTimeout: IDLE_MS,
    atomics: 'disabled',
    recordTiming: false,
  });
  let bytesDone = 0;
  // One task per thread at a time: the plan runs no further ahead than the hashing.
  const lane = async (): Promise<void> => {
    for (const range of ranges) {
      const task = taskOf(input, range);
      const result: HashResult = await pool.run(task);
      if ('failed' in result) throw new SpateError(result.failed.code, result.failed.message);
      for (const index of Bitfield.fromWire(result.good, range.pieceCount)!) good.set(range.firstPiece + index);
      tell(input, task, result.unread);
      bytesDone += range.bytes;
      onProgress?.(bytesDone);
    }
  };
  let onAbort = (): void => {};
  const stopped = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort);
    // A thread that cannot start has no task to fail; each of several says so.
    pool.on('error', reject);
  });
  try {
    await Promise.race([stopped, Promise.all(Array.from({ length: threads }, lane))]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
    ranges.return(undefined);
    await pool.destroy();
  }
}

function tell({ onUnread }: VerifyInput, { files }: HashTask, unread: readonly Unread[]): void {
  for (const { file, code, message } of unread) onUnread?.(files[file]!, { code, message });
}

function taskOf({ root, files, geometry, hashes, onUnread }: VerifyInput, { firstPiece, pieceCount }: Range): HashTask {
  const { length, pieceLength } = geometry;
  const last = Math.min((firstPiece + pieceCount) * pieceLength, length) - 1;
  return {
    root,
    files: files.slice(fileAt(files, firstPiece * pieceLength), fileAt(files, last) + 1),
    geometry: { length, pieceLength },
    // Copied: a task carries no more than its own hashes.
    hashes: hashes.slice(firstPiece * 20, (firstPiece + pieceCount) * 20),
    firstPiece,
    pieceCount,
    goesOn: onUnread !== undefined,
  };
}

/**
 * Which pieces of a range are on disk and match their SHA-1 (BEP 3): synchronously, for a thread that does nothing else, or, for a
 * few MiB on main, with reads that it need not wait for. What is missing or short makes its pieces bad, no error; whatever else keeps
 * a file from being read is one, unless the file is not chosen: then nothing of it is there.
 */
import type { Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, read, readSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { type ErrorCode, fileError, type SpateError } from '../errors.js';
import { Bitfield } from '../torrent/bitfield.js';
import { Geometry, type GeometryShape, type PieceIndex } from '../torrent/geometry.js';
import { call, isAbsence, OPEN_TO_READ } from './disk.js';
import { isInside, outside } from './folders.js';
import { type FileEntry, fileAt, spans } from './layout.js';
import { notAFile, openError } from './torrent-file.js';
import { afterZeros, isZero, sha1Of, sha1OfZeros } from './zeros.js';

/** A range of pieces to hash; plain data that survives structured clone. */
export interface HashTask {
  readonly root: string;
  /** The file table, or the slice of it that the range lies in. */
  readonly files: readonly FileEntry[];
  readonly geometry: GeometryShape;
  /** 20 bytes for each piece of the range. */
  readonly hashes: Uint8Array;
  readonly firstPiece: number;
  readonly pieceCount: number;
  /** A file that cannot be read is told of, and the others are hashed. */
  readonly goesOn?: boolean;
}

export interface Unread {
  /** In the file table. */
  readonly file: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/** The good pieces, counted from the first of the range; and what cannot be read. */
export interface Hashed {
  readonly good: Bitfield;
  readonly unread: readonly Unread[];
}

/** What a thread answers: errors lose their code on the way from thread to thread, so it is data here. */
export type HashResult =
  /** The good pieces of the range as a bitfield in wire form. */
  | { readonly good: Uint8Array; readonly unread: readonly Unread[] }
  | { readonly failed: { readonly code: ErrorCode; readonly message: string } };

/** Bytes read at a time. One chunk stays in the cache until it is hashed; larger ones measured no faster. */
export const CHUNK_BYTES = 1_048_576;

const HASH_BYTES = 20;

/** A read that hashing waits for; to be answered with the bytes that were read, or thrown back. */
type Read = readonly [fd: number, target: Uint8Array, at: number, length: number, position: number];
type Reading<T> = Generator<Read, T, number>;

/**
 * Hashes a range of pieces.
 * @param chunk memory to read into, for reuse; it decides how much is read at a time
 * @throws SpateError (LOCAL_IO) naming the file, unless it goes on
 */
export function hashPieces(task: HashTask, chunk: Uint8Array): Hashed {
  const steps = hashSteps(task, chunk);
  let step = steps.next();
  while (!step.done) {
    let read: number;
    try {
      read = readSync(...step.value);
    } catch (error) {
      step = steps.throw(error);
      continue;
    }
    step = steps.next(read);
  }
  return step.value;
}

/** As `hashPieces`, for a thread that must not wait for the disk: reading leaves it free. */
export async function hashPiecesAside(task: HashTask, chunk: Uint8Array): Promise<Hashed> {
  const steps = hashSteps(task, chunk);
  let step = steps.next();
  while (!step.done) {
    const [fd, ...where] = step.value;
    step = await call<number>((done) => read(fd, ...where, done)).then(
      (bytes) => steps.next(bytes),
      (error: unknown) => steps.throw(error),
    );
  }
  return step.value;
}

function* hashSteps(task: HashTask, chunk: Uint8Array): Reading<Hashed> {
  const geometry = new Geometry(task.geometry);
  const reader = new Reader(task);
  const good = new Bitfield(task.pieceCount);
  const end = task.firstPiece + task.pieceCount;
  const judge = (piece: number, digest: Buffer | undefined): void => {
    const index = piece - task.firstPiece;
    const at = index * HASH_BYTES;
    if (digest?.compare(task.hashes, at, at + HASH_BYTES) === 0) good.set(index);
  };
  const batch = Math.max(1, Math.floor(chunk.byteLength / geometry.pieceLength));
  const sizeOf = (file: number): number => reader.sizeOf(file);
  try {
    for (let piece = task.firstPiece; ; ) {
      piece = firstOnDisk(task.files, geometry, piece, sizeOf);
      if (piece >= end) return { good, unread: [...reader.unread.values()] };
      const next = Math.min(piece + batch, end);
      // All at once when all is there, else each piece by itself.
      if (next - piece > 1 && (yield* readRun(reader, geometry, piece, next, chunk))) {
        for (let at = 0; piece < next; piece++, at += geometry.pieceLength) {
          judge(piece, sha1Of(chunk.subarray(at, at + geometry.lengthOf(piece as PieceIndex))));
        }
      } else {
        for (; piece < next; piece++) judge(piece, yield* digestOf(reader, geometry, piece, chunk));
      }
    }
  } finally {
    reader.close();
  }
}

/**
 * The first piece, from `piece` on, that can be good as far as the file with its first byte tells: a missing or short file
 * rules out all pieces it has a missing byte of. The number of pieces when there is none.
 * @param sizeOf bytes of a file that are on disk, 0 when there is no such file
 */
export function firstOnDisk(
  files: readonly FileEntry[],
  geometry: Geometry,
  piece: number,
  sizeOf: (file: number) => number,
): number {
  let first = piece;
  for (let file = fileAt(files, piece * geometry.pieceLength); file < files.length; file++) {
    const entry = files[file]!;
    const offset = first * geometry.pieceLength;
    const end = entry.offset + entry.length;
    if (end <= offset) continue;
    if (entry.pad || sizeOf(file) > offset - entry.offset + (entry.position ?? 0)) return first;
    first = Math.ceil(end / geometry.pieceLength);
  }
  return first;
}

/** Reads the pieces from `piece` to before `next`. @returns whether every byte is there */
function* readRun(
  reader: Reader,
  geometry: Geometry,
  piece: number,
  next: number,
  chunk: Uint8Array,
): Reading<boolean> {
  const offset = piece * geometry.pieceLength;
  const end = Math.min(next * geometry.pieceLength, geometry.length);
  return yield* reader.read(offset, chunk.subarray(0, end - offset));
}

/** The SHA-1 of one piece, however long; `undefined` when a byte is missing. */
function* digestOf(reader: Reader, geometry: Geometry, piece: number, chunk: Uint8Array): Reading<Buffer | undefined> {
  const offset = piece * geometry.pieceLength;
  const length = geometry.lengthOf(piece as PieceIndex);
  if (length <= chunk.byteLength) {
    const bytes = chunk.subarray(0, length);
    return (yield* reader.read(offset, bytes)) ? sha1Of(bytes) : undefined;
  }
  let sha1: Hash | undefined;
  for (let begin = 0; begin < length; begin += chunk.byteLength) {
    const bytes = chunk.subarray(0, Math.min(chunk.byteLength, length - begin));
    if (!(yield* reader.read(offset + begin, bytes))) return undefined;
    if (sha1 === undefined && isZero(bytes)) continue;
    sha1 ??= afterZeros(begin);
    sha1.update(bytes);
  }
  return sha1?.digest() ?? sha1OfZeros(length);
}

/** Reads a torrent from disk, front to back: one file is open at a time. */
class Reader {
  readonly #root: string;
  readonly #files: readonly FileEntry[];
  readonly #goesOn: boolean;
  readonly #realRoot: string | undefined;
  /** By index. */
  readonly unread = new Map<number, Unread>();
  /** Folders known to lie inside the root. */
  readonly #folders = new Set<string>();
  #file = -1;
  /** Of the current file; -1 when it is not there. */
  #fd = -1;
  #size = 0;

  constructor({ root, files, goesOn = false }: HashTask) {
    this.#root = root;
    this.#files = files;
    this.#goesOn = goesOn;
    this.#realRoot = present(root, () => realpathSync.native(root));
  }

  /** Bytes of a file, 0 when it is not there. */
  sizeOf(file: number): number {
    if (file !== this.#file) this.#open(file);
    return this.#size;
  }

  /** Fills the target from a byte of the torrent on. @returns whether every byte is there */
  *read(offset: number, target: Uint8Array): Reading<boolean> {
    let at = 0;
    for (const { file, position, length } of spans(this.#files, offset, target.byteLength)) {
      if (this.#files[file]!.pad) target.fill(0, at, at + length);
      else if (this.sizeOf(file) < position + length) return false;
      else if (!(yield* this.#fill(target, at, length, position))) return false;
      at += length;
    }
    return true;
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#file = -1;
    this.#fd = -1;
    this.#size = 0;
  }

  *#fill(target: Uint8Array, at: number, length: number, position: number): Reading<boolean> {
    for (let done = 0; done < length; ) {
      let read: number;
      try {
        read = yield [this.#fd, target, at + done, length - done, position + done];
      } catch (error) {
        this.#refuse(fileError(`read ${this.#path(this.#file)}`, error));
        return false;
      }
      if (read === 0) return false;
      done += read;
    }
    return true;
  }

  #open(file: number): void {
    this.close();
    this.#file = file;
    try {
      this.#openFile(this.#path(file));
    } catch (error) {
      this.close();
      this.#file = file;
      this.#refuse(error as SpateError);
    }
  }

  /** The current file cannot be read. What is in the place of one that is not chosen keeps nobody from going on. */
  #refuse(error: SpateError): void {
    const file = this.#file;
    if (this.#goesOn) this.unread.set(file, { file, code: error.code, message: error.message });
    else if (this.#files[file]!.position === undefined) throw error;
  }

  #openFile(path: string): void {
    const folder = join(path, '..');
    if (this.#realRoot === undefined || !this.#isFolder(this.#realRoot, folder)) return;
    const stats = present(path, () => {
      this.#fd = openSync(path, OPEN_TO_READ);
      return fstatSync(this.#fd);
    });
    if (stats === undefined) return;
    if (!stats.isFile()) throw openError(path, notAFile());
    this.#size = stats.size;
  }

  /** Whether the folder of a file is there. @throws SpateError when it is outside of the root */
  #isFolder(realRoot: string, folder: string): boolean {
    if (this.#folders.has(folder)) return true;
    const real = present(folder, () => realpathSync.native(folder));
    if (real === undefined) return false;
    if (!isInside(realRoot, real)) throw fileError(`use folder ${folder}`, outside(realRoot, real));
    this.#folders.add(folder);
    return true;
  }

  #path(file: number): string {
    return join(this.#root, ...this.#files[file]!.path);
  }
}

/** What a call gives, or `undefined` when there is nothing at the path. */
function present<T>(path: string, look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw openError(path, error);
  }
}

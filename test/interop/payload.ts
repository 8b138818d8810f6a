/**
 * What is transferred: a file and a folder of at least 256 MiB, and a small file, with the same bytes on every run, and the comparison of what
 * arrived with what was meant, which uses Node alone. Not a test.
 */
import { type FileHandle, open, readdir, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseMetainfo } from '../../src/protocol/metainfo.js';
import { type PayloadShape, payloadTorrent, writePayload } from '../../src/swarm/payload.js';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Bytes compared at once. */
const STEP = MIB;

export interface Payload {
  /** The folder that holds it, which is where a client seeds from. */
  readonly root: string;
  /** Bytes. */
  readonly length: number;
  /** Below `root`. */
  readonly files: readonly { readonly path: string; readonly length: number }[];
  /** 20 bytes. */
  readonly infohash: Uint8Array;
  /** The `.torrent`, with one tracker or none. */
  torrent(announce?: string): Uint8Array;
}

/** One file, whose last piece and last block are short. */
const FILE = { seed: 'a file', name: 'a single file.bin', length: 256 * MIB + 12_345 };

/** For what is not about speed: many small pieces, the last one short. */
const SMALL = { seed: 'a small file', name: 'small.bin', length: 48 * MIB + 4321 };
const SMALL_PIECE_LENGTH = 64 * KIB;

/** Pieces that end at no file's end; names with spaces and beyond ASCII, empty and tiny files, nested folders. */
const FILES = [
  { path: ['read me first.txt'], length: 11 },
  { path: ['empty.nfo'], length: 0 },
  { path: ['Ünïcødé', '日本語 ファイル.bin'], length: 100 * MIB + 1 },
  { path: ['nested', 'deeper', 'deepest', 'a b  c.dat'], length: 64 * MIB + 77_777 },
  { path: ['nested', 'deeper', 'one byte'], length: 1 },
  { path: ['nested', 'several pieces.bin'], length: 12 * MIB },
  { path: ['nested', '🌊.bin'], length: 90 * MIB - 333 },
  { path: ['zz', 'empty at the end'], length: 0 },
];
const FOLDER = {
  seed: 'a folder',
  name: 'Größe & 大きさ',
  length: FILES.reduce((sum, { length }) => sum + length, 0),
  files: FILES,
};
/** No power of two: transmission cuts such a piece into blocks of 12 KiB, which nobody else asks for. */
const FOLDER_PIECE_LENGTH = 768 * KIB;

/** Writes the file into `root`. */
export function makeFilePayload(root: string): Promise<Payload> {
  return makePayload(root, FILE, 256 * KIB);
}

/** Writes the small file into `root`. */
export function makeSmallPayload(root: string): Promise<Payload> {
  return makePayload(root, SMALL, SMALL_PIECE_LENGTH);
}

/** Writes the folder into `root`. */
export function makeFolderPayload(root: string): Promise<Payload> {
  return makePayload(root, FOLDER, FOLDER_PIECE_LENGTH);
}

async function makePayload(root: string, shape: PayloadShape, pieceLength: number): Promise<Payload> {
  const { name, length } = shape;
  const hashes = await writePayload(shape, root, pieceLength);
  const torrent = (announce?: string): Uint8Array =>
    payloadTorrent(shape, pieceLength, hashes, announce === undefined ? [] : [[announce]]);
  const files = (shape.files ?? [{ path: [], length }]).map((file) => ({
    path: join(name, ...file.path),
    length: file.length,
  }));
  return { root, length, files, infohash: parseMetainfo(torrent()).infohash, torrent };
}

/**
 * Writes every `of`-th piece of the small file into `folder`, from piece `first` on, and nothing else of it.
 * @returns bytes written
 */
export async function writePartOfSmall(payload: Payload, folder: string, first: number, of: number): Promise<number> {
  const [{ path, length }] = payload.files as [Payload['files'][number]];
  const [from, to] = await Promise.all([open(join(payload.root, path)), open(join(folder, path), 'wx')]);
  const piece = Buffer.allocUnsafe(SMALL_PIECE_LENGTH);
  let written = 0;
  try {
    // The rest reads as zeros.
    await to.truncate(length);
    for (let begin = first * piece.length; begin < length; begin += of * piece.length) {
      const { bytesRead } = await from.read(piece, 0, piece.length, begin);
      await to.write(piece, 0, bytesRead, begin);
      written += bytesRead;
    }
  } finally {
    await Promise.all([from.close(), to.close()]);
  }
  return written;
}

/**
 * Compares what a client has put in `folder` with the payload, byte by byte, and then removes it.
 * @param lacksEmptyFiles the client is known not to create files of length 0
 * @throws Error naming the first difference: a file missing, too many, of another length, or the first wrong byte
 */
export async function expectCopy(payload: Payload, folder: string, lacksEmptyFiles = false): Promise<void> {
  const found = new Set(await filesBelow(folder));
  for (const { path, length } of payload.files) {
    if (!found.delete(path)) {
      if (length === 0 && lacksEmptyFiles) continue;
      throw new Error(`expected the file ${path}, found none`);
    }
    await expectSameBytes(join(payload.root, path), join(folder, path));
  }
  if (found.size > 0) throw new Error(`expected the payload alone, found also ${[...found].join(', ')}`);
  await rm(folder, { recursive: true });
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

async function expectSameBytes(wanted: string, got: string): Promise<void> {
  const [{ size }, { size: gotSize }] = await Promise.all([stat(wanted), stat(got)]);
  if (size !== gotSize) throw new Error(`expected ${size} bytes in ${got}, found ${gotSize}`);
  const [wantedFile, gotFile] = await Promise.all([open(wanted), open(got)]);
  const [a, b] = [Buffer.allocUnsafeSlow(STEP), Buffer.allocUnsafeSlow(STEP)];
  try {
    for (let at = 0; at < size; at += STEP) {
      const length = Math.min(STEP, size - at);
      await Promise.all([readFully(wantedFile, a, length, at), readFully(gotFile, b, length, at)]);
      if (a.compare(b, 0, length, 0, length) === 0) continue;
      const first = a.findIndex((byte, i) => byte !== b[i]);
      throw new Error(`expected byte ${at + first} of ${got} to be ${a[first]}, found ${b[first]}`);
    }
  } finally {
    await Promise.all([wantedFile.close(), gotFile.close()]);
  }
}

async function readFully(file: FileHandle, into: Uint8Array, length: number, position: number): Promise<void> {
  const { bytesRead } = await file.read(into, 0, length, position);
  if (bytesRead !== length) throw new Error(`expected to read ${length} bytes, found ${bytesRead}`);
}

/** @throws Error when the temporary folder's disk has less room */
export async function expectRoom(bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(tmpdir());
  if (bavail * bsize >= bytes) return;
  const [needed, found] = [bytes, bavail * bsize].map((count) => `${Math.floor(count / MIB)} MiB`);
  throw new Error(`expected ${needed} free in ${tmpdir()}, found ${found}; choose another folder with TMPDIR`);
}

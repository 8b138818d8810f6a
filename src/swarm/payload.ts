/**
 * Made-up payload for swarms on loopback: any byte of it follows from a seed and its offset, so that a download can be checked
 * without a copy. An AES-CTR key stream, which processors make faster than disks take it; not meant to be secret.
 */
import { createCipheriv, createHash, hash } from 'node:crypto';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { encodeMetainfo, type NewFile } from '../protocol/create.js';

export interface PayloadShape {
  /** The same seed gives the same bytes. */
  readonly seed: string;
  /** Of the file, or of the folder when there are `files`. */
  readonly name: string;
  /** Bytes in all. */
  readonly length: number;
  /** Of a torrent with several files; their lengths add up to `length`. */
  readonly files?: readonly NewFile[];
}

const AES_BLOCK = 16;
const CHUNK_BYTES = 1_048_576;

/** A run of payload bytes from any offset on. */
export class PayloadStream {
  readonly #cipher;

  constructor(seed: string, offset = 0) {
    const key = createHash('sha256').update(seed).digest().subarray(0, 16);
    const counter = Buffer.alloc(AES_BLOCK);
    counter.writeBigUInt64BE(BigInt(Math.floor(offset / AES_BLOCK)), 8);
    this.#cipher = createCipheriv('aes-128-ctr', key, counter);
    this.next(offset % AES_BLOCK);
  }

  /** The next bytes. */
  next(length: number): Buffer {
    return this.#cipher.update(Buffer.alloc(length));
  }
}

/** The bytes of a payload from an offset on. */
export function payloadBytes(seed: string, offset: number, length: number): Buffer {
  return new PayloadStream(seed, offset).next(length);
}

/**
 * Writes a payload to disk.
 * @param root folder its file or folder is put in
 * @returns the SHA-1 of each piece, 20 bytes each
 */
export async function writePayload(
  shape: PayloadShape,
  root: string,
  pieceLength: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const hashes = new Uint8Array(Math.ceil(shape.length / pieceLength) * 20);
  const stream = new PayloadStream(shape.seed);
  const files = new PayloadFiles(shape, root, 'w');
  try {
    for (let offset = 0, piece = 0; offset < shape.length; offset += pieceLength, piece++) {
      signal?.throwIfAborted();
      const bytes = stream.next(Math.min(pieceLength, shape.length - offset));
      hashes.set(hash('sha1', bytes, 'buffer'), piece * 20);
      await files.write(bytes);
    }
    await files.finish();
  } finally {
    await files.close();
  }
  return hashes;
}

/**
 * Compares what is on disk with a payload, byte by byte.
 * @returns the offset of the first byte that differs or is missing; `undefined` when all are right
 */
export async function firstDifference(
  shape: PayloadShape,
  root: string,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const stream = new PayloadStream(shape.seed);
  const files = new PayloadFiles(shape, root, 'r');
  try {
    for (let offset = 0; offset < shape.length; offset += CHUNK_BYTES) {
      signal?.throwIfAborted();
      const expected = stream.next(Math.min(CHUNK_BYTES, shape.length - offset));
      const found = await files.read(expected.length);
      if (expected.equals(found)) continue;
      const at = expected.findIndex((byte, i) => byte !== found[i]);
      return offset + at;
    }
    return undefined;
  } finally {
    await files.close();
  }
}

/** The `.torrent` of a payload. @param pieceHashes as `writePayload` gave them */
export function payloadTorrent(
  shape: PayloadShape,
  pieceLength: number,
  pieceHashes: Uint8Array,
  trackers: readonly (readonly string[])[] = [],
): Uint8Array {
  const { name, length, files } = shape;
  const common = { name, pieceLength, pieceHashes, trackers };
  return encodeMetainfo(files === undefined ? { ...common, length } : { ...common, files });
}

/** The files of a payload as one run of bytes, front to back; one is open at a time. */
class PayloadFiles {
  readonly #entries: readonly { readonly path: string; readonly length: number }[];
  readonly #flags: 'r' | 'w';
  #file = -1;
  #handle: FileHandle | undefined;
  /** Bytes of the open file that are still to come. */
  #left = 0;

  constructor({ name, length, files }: PayloadShape, root: string, flags: 'r' | 'w') {
    this.#entries =
      files === undefined
        ? [{ path: join(root, name), length }]
        : files.map((file) => ({ path: join(root, name, ...file.path), length: file.length }));
    this.#flags = flags;
  }

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const handle = await this.#current();
      const { bytesWritten } = await handle.write(bytes, at, Math.min(this.#left, bytes.length - at));
      at += bytesWritten;
      this.#left -= bytesWritten;
    }
  }

  /** As many bytes as are there. */
  async read(length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; ) {
      const handle = await this.#current();
      const { bytesRead } = await handle.read(bytes, at, Math.min(this.#left, length - at));
      if (bytesRead === 0) return bytes.subarray(0, at);
      at += bytesRead;
      this.#left -= bytesRead;
    }
    return bytes;
  }

  /** Makes the empty files at the end. */
  async finish(): Promise<void> {
    while (this.#file + 1 < this.#entries.length) await this.#open();
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #current(): Promise<FileHandle> {
    while (this.#handle === undefined || this.#left === 0) await this.#open();
    return this.#handle;
  }

  async #open(): Promise<void> {
    await this.close();
    const entry = this.#entries[++this.#file];
    if (entry === undefined) throw new RangeError('the files of the payload are shorter than its length');
    if (this.#flags === 'w') await mkdir(dirname(entry.path), { recursive: true });
    this.#handle = await open(entry.path, this.#flags);
    this.#left = entry.length;
  }
}

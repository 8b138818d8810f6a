/** A pattern as torrents and, where a scenario needs it there, on disk; and whether what was downloaded is the pattern. */
import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { encodeMetainfo } from '../protocol/create.js';
import { type MetainfoFile, parseMetainfo } from '../protocol/metainfo.js';
import type { Pattern } from '../swarm/pattern.js';
import type { PatternTorrent } from '../swarm/pattern-server.js';

export interface BenchTorrent extends PatternTorrent {
  /** The `.torrent`. */
  readonly bytes: Uint8Array;
  readonly files: readonly MetainfoFile[];
  readonly pieces: number;
}

/** A private torrent of `files` files about equally long. @param first its first piece in the pattern */
export function benchTorrent(pattern: Pattern, name: string, length: number, files: number, first = 0): BenchTorrent {
  const cut = (n: number): number => Math.floor((length * n) / files);
  const common = { name, pieceLength: pattern.pieceLength, pieceHashes: pattern.hashes(length, first), private: true };
  const bytes = encodeMetainfo(
    files === 1
      ? { ...common, length }
      : {
          ...common,
          files: Array.from({ length: files }, (_, n) => ({ path: [`f${n}`], length: cut(n + 1) - cut(n) })),
        },
  );
  const { infohash, files: listed } = parseMetainfo(bytes);
  return { bytes, infohash, first, length, files: listed, pieces: Math.ceil(length / pattern.pieceLength) };
}

/** Writes a torrent's payload below a folder. */
export async function writeFiles(
  pattern: Pattern,
  torrent: BenchTorrent,
  root: string,
  signal: AbortSignal,
): Promise<void> {
  const bytes = pieces(pattern, torrent);
  for (const { path, length } of torrent.files) {
    const target = join(root, ...path);
    await mkdir(dirname(target), { recursive: true });
    const file = await open(target, 'w');
    try {
      for (let at = 0; at < length; ) {
        signal.throwIfAborted();
        const part = bytes.take(length - at);
        await file.writev([part], at);
        at += part.length;
      }
    } finally {
      await file.close();
    }
  }
}

/** @returns the offset of the first byte on disk that is not the pattern's; `undefined` when all are right */
export async function firstWrong(
  pattern: Pattern,
  torrent: BenchTorrent,
  root: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const bytes = pieces(pattern, torrent);
  for (const { path, length, offset } of torrent.files) {
    const file = await open(join(root, ...path), 'r');
    try {
      for (let at = 0; at < length; ) {
        signal.throwIfAborted();
        const expected = bytes.take(length - at);
        const found = Buffer.alloc(expected.length);
        const { bytesRead } = await file.read(found, 0, found.length, at);
        if (bytesRead < found.length || Buffer.compare(expected, found) !== 0) return offset + at;
        at += expected.length;
      }
    } finally {
      await file.close();
    }
  }
  return undefined;
}

/** A torrent's bytes from its first to its last, a piece or the rest of one at a time. */
function pieces(pattern: Pattern, { first, length }: BenchTorrent): { take(most: number): Uint8Array } {
  let piece = 0;
  let rest: Uint8Array = new Uint8Array(0);
  return {
    take(most) {
      if (rest.length === 0) {
        const bytes = Math.min(pattern.pieceLength, length - piece * pattern.pieceLength);
        rest = Buffer.concat([...pattern.blocks(first + piece++, bytes)]);
      }
      const part = rest.subarray(0, most);
      rest = rest.subarray(part.length);
      return part;
    },
  };
}

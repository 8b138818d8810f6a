// Torrents with attributes and names that no writer of ours makes: bencode by hand, hashes by node:crypto.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { payloadOf } from './small-torrent.js';

export interface OddFile {
  readonly path: readonly string[];
  readonly length?: number;
  readonly attr?: string;
  readonly symlink?: readonly string[];
}

export interface OddTorrent {
  /** The `.torrent`. */
  readonly bytes: Buffer;
  readonly infohash: string;
  /** Of all files, end to end. */
  readonly payload: Buffer;
  /** The bytes of one file. */
  content(index: number): Buffer;
  /** Puts the files on disk, those that have bytes, by the names they are listed with. */
  write(root: string): void;
}

const text = (value: string): string => `${Buffer.byteLength(value)}:${value}`;
const list = (names: readonly string[]): string => `l${names.map(text).join('')}e`;

/** A torrent called `odd` unless named; every file has bytes of its own, pad files zeros. */
export function oddTorrent(
  files: readonly OddFile[],
  { pieceLength = 16_384, name = 'odd', zeros = false }: { pieceLength?: number; name?: string; zeros?: boolean } = {},
): OddTorrent {
  const starts: number[] = [];
  let total = 0;
  for (const { length = 0 } of files) {
    starts.push(total);
    total += length;
  }
  const payload = zeros ? Buffer.alloc(total) : payloadOf(total);
  files.forEach(({ attr = '', length = 0 }, i) => {
    if (attr.includes('p')) payload.fill(0, starts[i]!, starts[i]! + length);
  });
  const hashes: Buffer[] = [];
  for (let at = 0; at < total; at += pieceLength) {
    hashes.push(
      createHash('sha1')
        .update(payload.subarray(at, at + pieceLength))
        .digest(),
    );
  }
  const entries = files.map(({ path, length = 0, attr, symlink }) => {
    const head = attr === undefined ? '' : `4:attr${text(attr)}`;
    const tail = symlink === undefined ? '' : `12:symlink path${list(symlink)}`;
    return `d${head}6:lengthi${length}e4:path${list(path)}${tail}e`;
  });
  const info = Buffer.concat([
    Buffer.from(`d5:filesl${entries.join('')}e4:name${text(name)}12:piece lengthi${pieceLength}e6:pieces`),
    Buffer.from(`${hashes.length * 20}:`),
    ...hashes,
    Buffer.from('e'),
  ]);
  const content = (index: number): Buffer =>
    payload.subarray(starts[index]!, starts[index]! + (files[index]!.length ?? 0));
  return {
    bytes: Buffer.concat([Buffer.from('d4:info'), info, Buffer.from('e')]),
    infohash: createHash('sha1').update(info).digest('hex'),
    payload,
    content,
    write: (root) => {
      files.forEach(({ path, attr = '', symlink }, i) => {
        if (attr.includes('p') || symlink !== undefined) return;
        const at = join(root, name, ...path);
        mkdirSync(dirname(at), { recursive: true });
        writeFileSync(at, content(i));
      });
    },
  };
}

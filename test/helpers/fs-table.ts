// File tables, their content as one array in memory, and the naive truth the storage floor is compared with.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import fc from 'fast-check';
import type { FileEntry } from '../../src/storage/layout.js';

export interface TableItem {
  readonly length: number;
  readonly pad?: boolean;
  readonly path?: readonly string[];
}

/** A file table from lengths; file 2 is called `d2/f2` unless it has a path. Pad files have none. */
export function table(...items: readonly (TableItem | number)[]): FileEntry[] {
  let offset = 0;
  return items.map((item, index) => {
    const {
      length,
      pad = false,
      path = [`d${index % 3}`, `f${index}`],
    } = typeof item === 'number' ? { length: item } : item;
    const entry = { path: pad ? [] : path, length, offset, pad };
    offset += length;
    return entry;
  });
}

/** Bytes in all files. */
export function lengthOf(files: readonly FileEntry[]): number {
  return files.reduce((sum, { length }) => sum + length, 0);
}

/** Bytes that repeat neither within a file nor between seeds; zeros in pad files. */
export function contentOf(files: readonly FileEntry[], seed = 1): Uint8Array {
  const content = new Uint8Array(lengthOf(files));
  let state = seed | 1;
  for (let i = 0; i < content.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    content[i] = state >>> 24;
  }
  for (const { pad, offset, length } of files) if (pad) content.fill(0, offset, offset + length);
  return content;
}

/** Puts the content on disk, pad files excepted. */
export function writeAll(root: string, files: readonly FileEntry[], content: Uint8Array): void {
  for (const file of files) {
    if (file.pad) continue;
    mkdirSync(dirname(pathOf(root, file)), { recursive: true });
    writeFileSync(pathOf(root, file), content.subarray(file.offset, file.offset + file.length));
  }
}

export function pathOf(root: string, file: FileEntry): string {
  return join(root, ...file.path);
}

/** The bytes of a file on disk, or `undefined` when there is none. */
export function bytesOnDisk(root: string, file: FileEntry): Uint8Array | undefined {
  try {
    return new Uint8Array(readFileSync(pathOf(root, file)));
  } catch {
    return undefined;
  }
}

/** Every file below a folder, as paths relative to it, sorted. */
export function filesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

/** SHA-1 of each piece, 20 bytes each. */
export function hashesOf(content: Uint8Array, pieceLength: number): Uint8Array {
  const hashes: Uint8Array[] = [];
  for (let offset = 0; offset < content.length; offset += pieceLength) {
    hashes.push(
      createHash('sha1')
        .update(content.subarray(offset, offset + pieceLength))
        .digest(),
    );
  }
  return new Uint8Array(Buffer.concat(hashes));
}

/** The good pieces of what is on disk, byte by byte. */
export function naiveVerify(
  root: string,
  files: readonly FileEntry[],
  pieceLength: number,
  hashes: Uint8Array,
): number[] {
  const bytes: (number | undefined)[] = [];
  for (const file of files) {
    const disk = file.pad ? new Uint8Array(file.length) : bytesOnDisk(root, file);
    for (let i = 0; i < file.length; i++) bytes.push(disk?.[i]);
  }
  const good: number[] = [];
  for (let piece = 0; piece * pieceLength < bytes.length; piece++) {
    const own = bytes.slice(piece * pieceLength, (piece + 1) * pieceLength);
    if (own.includes(undefined)) continue;
    const digest = createHash('sha1')
      .update(Uint8Array.from(own as number[]))
      .digest();
    if (digest.equals(hashes.subarray(piece * 20, piece * 20 + 20))) good.push(piece);
  }
  return good;
}

/** Tables of a few small files, with empty and pad files anywhere and at least one byte. */
export const anyTable: fc.Arbitrary<FileEntry[]> = fc
  .array(
    fc.record({
      length: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1500 })),
      pad: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
    { minLength: 1, maxLength: 14 },
  )
  .map((items) => table(...items))
  .filter((files) => lengthOf(files) > 0);

/** Cuts 0 to `length` at the given fractions: `[[begin, end], ...]` in order, none empty. */
export function cut(length: number, fractions: readonly number[]): [number, number][] {
  const inner = fractions.map((fraction) => Math.floor(fraction * length));
  const ends = [...new Set([...inner, length])].filter((end) => end > 0).sort((a, b) => a - b);
  return ends.map((end, index) => [index === 0 ? 0 : ends[index - 1]!, end]);
}

/** Does something to a few files: flips a byte, cuts, lengthens or deletes. Pad files have nothing on disk to damage. */
export const anyDamage: fc.Arbitrary<(root: string, files: readonly FileEntry[]) => void> = fc
  .array(fc.record({ file: fc.nat(), at: fc.nat(), kind: fc.constantFrom('flip', 'cut', 'lengthen', 'delete') }), {
    maxLength: 5,
  })
  .map((harms) => (root, files) => {
    for (const { file, at, kind } of harms) {
      const entry = files[file % files.length]!;
      const bytes = bytesOnDisk(root, entry);
      if (bytes === undefined) continue;
      if (kind === 'delete') rmSync(pathOf(root, entry));
      if (kind === 'cut') writeFileSync(pathOf(root, entry), bytes.subarray(0, at % (bytes.length + 1)));
      if (kind === 'lengthen') writeFileSync(pathOf(root, entry), Buffer.concat([bytes, Buffer.alloc(1 + (at % 50))]));
      if (kind === 'flip' && bytes.length > 0) {
        bytes[at % bytes.length]! ^= 1 << (at % 8);
        writeFileSync(pathOf(root, entry), bytes);
      }
    }
  });

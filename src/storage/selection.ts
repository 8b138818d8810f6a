/**
 * Which files of a torrent are wanted, and so which pieces and how many bytes. Pure; where the bytes of the others go is
 * `part-file.ts`'s business.
 */
import { SpateError } from '../errors.js';
import { compileGlob } from '../protocol/glob.js';
import { Bitfield } from '../torrent/bitfield.js';
import type { Geometry, PieceIndex } from '../torrent/geometry.js';
import { type FileEntry, spans } from './layout.js';

/** Positions of files in the torrent from 1 on, first and last; the last may be `Infinity`. */
export type FileRanges = readonly (readonly [first: number, last: number])[];

/** A choice of files: those in a range or matched by `include` (all when neither is given), without those in `exclude`. */
export interface FileSelection {
  readonly ranges?: FileRanges;
  /** Globs (`protocol/glob.ts`). */
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
}

/**
 * `1,3-5,7-`: numbers of files as `info` lists them.
 * @throws SpateError USAGE
 */
export function parseFileRanges(text: string): FileRanges {
  return text.split(',').map((part): readonly [number, number] => {
    const match = /^\s*(\d{1,9})\s*(?:(-)\s*(\d{1,9})?\s*)?$/.exec(part);
    const first = Number(match?.[1]);
    const last = match?.[2] === undefined ? first : Number(match[3] ?? Number.POSITIVE_INFINITY);
    if (first >= 1 && last >= first) return [first, last];
    throw new SpateError('USAGE', `expected numbers of files such as 1,3-5, got "${text}"`);
  });
}

/** What `parseFileRanges` reads back. */
export function formatFileRanges(ranges: FileRanges): string {
  return ranges
    .map(([first, last]) => (first === last ? `${first}` : `${first}-${Number.isFinite(last) ? last : ''}`))
    .join(',');
}

export class Selection {
  /** 1 for each file that is wanted; pad files never are. `undefined` when every file is. */
  readonly files: Uint8Array | undefined;
  /** Pieces with a byte of a wanted file. */
  readonly pieces: Bitfield;
  /** Bytes of the wanted files; with every file wanted those of pad files too. */
  readonly length: number;
  readonly #table: readonly FileEntry[];
  readonly #geometry: Geometry;

  /** @throws SpateError USAGE for a position that the torrent does not have, a malformed glob, and when nothing is chosen */
  constructor(files: readonly FileEntry[], geometry: Geometry, choice: FileSelection | undefined) {
    this.#table = files;
    this.#geometry = geometry;
    this.files = choice === undefined ? undefined : chosenFiles(files, choice);
    if (this.files === undefined) {
      this.pieces = Bitfield.full(geometry.pieceCount);
      this.length = geometry.length;
      return;
    }
    this.pieces = new Bitfield(geometry.pieceCount);
    this.length = 0;
    for (const [i, { offset, length }] of files.entries()) {
      if (this.files[i] !== 1 || length === 0) continue;
      this.length += length;
      const last = Math.floor((offset + length - 1) / geometry.pieceLength);
      for (let piece = Math.floor(offset / geometry.pieceLength); piece <= last; piece++) this.pieces.set(piece);
    }
  }

  /** Wanted bytes in a piece. */
  bytesIn(piece: PieceIndex): number {
    const length = this.#geometry.lengthOf(piece);
    if (this.files === undefined) return length;
    if (!this.pieces.has(piece)) return 0;
    let bytes = 0;
    for (const span of spans(this.#table, this.#geometry.offsetOf(piece), length)) {
      if (this.files[span.file] === 1) bytes += span.length;
    }
    return bytes;
  }
}

/**
 * 1 for each file that is chosen.
 * @returns `undefined` when every file is
 * @throws SpateError USAGE as `Selection` does
 */
export function chosenFiles(files: readonly FileEntry[], choice: FileSelection): Uint8Array | undefined {
  const { ranges = [], include = [], exclude = [] } = choice;
  const [included, excluded] = [include.map(compileGlob), exclude.map(compileGlob)];
  for (const [first, last] of ranges) assertRange(files, first, last);
  const all = ranges.length + include.length === 0;
  const chosen = new Uint8Array(files.length);
  let count = 0;
  for (const [i, { path, pad }] of files.entries()) {
    if (pad) continue;
    const isIn = all || ranges.some(([a, b]) => a <= i + 1 && i + 1 <= b) || included.some((matches) => matches(path));
    if (!isIn || excluded.some((matches) => matches(path))) continue;
    chosen[i] = 1;
    count++;
  }
  if (count === 0) throw new SpateError('USAGE', 'expected a choice of at least one file, but none matches');
  return count === files.filter(({ pad }) => !pad).length ? undefined : chosen;
}

function assertRange(files: readonly FileEntry[], first: number, last: number): void {
  const found = formatFileRanges([[first, last]]);
  const isOne = first === last && files[first - 1]?.pad !== true;
  const fits = first >= 1 && first <= last && first <= files.length && (last <= files.length || last === Infinity);
  if (fits && (first !== last || isOne)) return;
  throw new SpateError(
    'USAGE',
    `expected files of the torrent, 1 to ${files.length} as \`info\` lists them, got ${found}`,
  );
}

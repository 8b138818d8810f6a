/**
 * What is remembered of a download from one run to the next, as bytes. Pure: it knows no folder and opens nothing
 * (`resume-store.ts`), and believes nothing beyond its own form; whether the files still are what they were is judged by
 * `file-records.ts`.
 *
 * | bytes | |
 * | --- | --- |
 * | 8 | `spateRES` |
 * | 4 | version, 1 |
 * | 20 | infohash, which also fixes lengths and file table |
 * | 4, 4, 4 | number of pieces, of files, of unfinished pieces |
 * | pieces / 8 | pieces that are on disk: a bitfield in wire form |
 * | 16 per file | size, or -1 when there is no file; time of last change, ns since 1970 |
 * | 4 + blocks / 8 per unfinished piece | its index, ascending; the blocks of it that are in their place on disk |
 * | 32 | SHA-256 of all of the above |
 *
 * Integers are big-endian, sizes and times signed.
 */
import { hash } from 'node:crypto';
import { Bitfield } from '../torrent/bitfield.js';
import type { Geometry, PieceIndex } from '../torrent/geometry.js';

/** A file as it was found. */
export interface FileRecord {
  /** Bytes, -1 when there was none. */
  readonly size: bigint;
  /** Since 1970. */
  readonly mtimeNs: bigint;
}

export interface ResumeState {
  /** Pieces whose bytes were verified and flushed. */
  readonly have: Bitfield;
  /** One per file of the table. */
  readonly files: readonly FileRecord[];
  /** Blocks on disk of unfinished pieces, one byte each (1 = present): unverified. */
  readonly partials: ReadonlyMap<PieceIndex, Uint8Array>;
}

/** What a state must belong to. */
export interface ResumeShape {
  readonly infohash: Uint8Array;
  readonly geometry: Geometry;
  readonly fileCount: number;
}

const MAGIC = Buffer.from('spateRES');
const VERSION = 1;
const HEAD_BYTES = 44;
const RECORD_BYTES = 16;
const DIGEST_BYTES = 32;

/** No state of this torrent has more bytes. */
export function maxResumeBytes({ geometry, fileCount }: ResumeShape): number {
  const { pieceCount, blocksPerPiece } = geometry;
  const partial = 4 + Math.ceil(blocksPerPiece / 8);
  return HEAD_BYTES + Math.ceil(pieceCount / 8) + fileCount * RECORD_BYTES + pieceCount * partial + DIGEST_BYTES;
}

export function encodeResume(state: ResumeState, { infohash, geometry, fileCount }: ResumeShape): Uint8Array {
  const partials = [...state.partials]
    .sort(([a], [b]) => a - b)
    .map(([piece, present]) => encodePartial(piece, present));
  const head = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(head);
  head.writeUInt32BE(VERSION, 8);
  head.set(infohash, 12);
  head.writeUInt32BE(geometry.pieceCount, 32);
  head.writeUInt32BE(fileCount, 36);
  head.writeUInt32BE(partials.length, 40);
  const records = Buffer.alloc(fileCount * RECORD_BYTES);
  state.files.forEach(({ size, mtimeNs }, file) => {
    records.writeBigInt64BE(size, file * RECORD_BYTES);
    records.writeBigInt64BE(BigInt.asIntN(64, mtimeNs), file * RECORD_BYTES + 8);
  });
  const body = Buffer.concat([head, state.have.bytes, records, ...partials]);
  return Buffer.concat([body, hash('sha256', body, 'buffer')]);
}

/** @returns `undefined` for anything but a whole, undamaged state of this torrent in a version that is known */
export function decodeResume(bytes: Uint8Array, shape: ResumeShape): ResumeState | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = view.length - DIGEST_BYTES;
  if (end < HEAD_BYTES || view.length > maxResumeBytes(shape)) return undefined;
  const body = view.subarray(0, end);
  if (!hash('sha256', body, 'buffer').equals(view.subarray(end))) return undefined;
  if (!fits(body, shape)) return undefined;
  const { geometry, fileCount } = shape;
  const haveEnd = HEAD_BYTES + Math.ceil(geometry.pieceCount / 8);
  const recordsEnd = haveEnd + fileCount * RECORD_BYTES;
  if (recordsEnd > end) return undefined;
  const have = Bitfield.fromWire(body.subarray(HEAD_BYTES, haveEnd), geometry.pieceCount);
  if (have === undefined) return undefined;
  const files = Array.from({ length: fileCount }, (_, file) => ({
    size: body.readBigInt64BE(haveEnd + file * RECORD_BYTES),
    mtimeNs: body.readBigInt64BE(haveEnd + file * RECORD_BYTES + 8),
  }));
  const partials = decodePartials(body.subarray(recordsEnd), body.readUInt32BE(40), geometry, have);
  return partials === undefined ? undefined : { have, files, partials };
}

function fits(body: Buffer, { infohash, geometry, fileCount }: ResumeShape): boolean {
  return (
    MAGIC.equals(body.subarray(0, 8)) &&
    body.readUInt32BE(8) === VERSION &&
    body.subarray(12, 32).equals(infohash) &&
    body.readUInt32BE(32) === geometry.pieceCount &&
    body.readUInt32BE(36) === fileCount
  );
}

function encodePartial(piece: PieceIndex, present: Uint8Array): Buffer {
  const blocks = new Bitfield(present.length);
  present.forEach((here, block) => {
    if (here !== 0) blocks.set(block);
  });
  const index = Buffer.alloc(4);
  index.writeUInt32BE(piece);
  return Buffer.concat([index, blocks.bytes]);
}

/** @returns `undefined` unless the bytes are exactly `count` pieces, ascending, none of them had or without a block */
function decodePartials(
  bytes: Buffer,
  count: number,
  geometry: Geometry,
  have: Bitfield,
): Map<PieceIndex, Uint8Array> | undefined {
  const partials = new Map<PieceIndex, Uint8Array>();
  let at = 0;
  let last = -1;
  for (let i = 0; i < count; i++) {
    if (at + 4 > bytes.length) return undefined;
    const piece = geometry.pieceIndex(bytes.readUInt32BE(at));
    if (piece === undefined || piece <= last || have.has(piece)) return undefined;
    const blockCount = geometry.blocksIn(piece);
    const end = at + 4 + Math.ceil(blockCount / 8);
    const blocks = end <= bytes.length ? Bitfield.fromWire(bytes.subarray(at + 4, end), blockCount) : undefined;
    if (blocks === undefined || blocks.count === 0) return undefined;
    const present = new Uint8Array(blockCount);
    for (const block of blocks) present[block] = 1;
    partials.set(piece, present);
    last = piece;
    at = end;
  }
  return at === bytes.length ? partials : undefined;
}

/**
 * The bytes of a `.torrent` out of its parts (BEP 3, 12, 27): the inverse of metainfo.ts. Pure: files are read and pieces
 * hashed elsewhere.
 */
import { type BencodeInput, encode } from './bencode.js';
import { MAX_PIECE_LENGTH } from './metainfo.js';
import { safeElement } from './paths.js';

/** A file to be listed. */
export interface NewFile {
  /** Below the torrent's name, one element per folder. */
  readonly path: readonly string[];
  /** Bytes. */
  readonly length: number;
}

/** What a new torrent says: either the `length` of its one file, or its `files`. */
export type NewMetainfo = {
  readonly name: string;
  /** Bytes in every piece but the last. */
  readonly pieceLength: number;
  /** 20 bytes per piece, concatenated. */
  readonly pieceHashes: Uint8Array;
  /** Announce URLs by tier. */
  readonly trackers?: readonly (readonly string[])[];
  readonly private?: boolean;
  readonly comment?: string;
  readonly createdBy?: string;
  /** Seconds since 1970. */
  readonly creationDate?: number;
} & (
  | { readonly length: number; readonly files?: undefined }
  | { readonly files: readonly NewFile[]; readonly length?: undefined }
);

/**
 * A canonical `.torrent`: the same parts give the same bytes, and so the same infohash.
 * @throws RangeError for a number out of range and for piece hashes that do not fit the lengths
 * @throws SpateError INVALID_TORRENT for a name or path element that `parseMetainfo` refuses
 */
export function encodeMetainfo(torrent: NewMetainfo): Uint8Array {
  assertConsistent(torrent);
  const tiers = (torrent.trackers ?? []).filter((tier) => tier.length > 0);
  return encode({
    announce: tiers[0]?.[0],
    // BEP 12 is for more than one tracker.
    'announce-list': tiers.flat().length > 1 ? tiers : undefined,
    comment: torrent.comment,
    'created by': torrent.createdBy,
    'creation date': torrent.creationDate,
    info: infoOf(torrent),
  });
}

function infoOf(torrent: NewMetainfo): BencodeInput {
  return {
    files: torrent.files?.map(({ path, length }) => ({ length, path })),
    length: torrent.length,
    name: torrent.name,
    'piece length': torrent.pieceLength,
    pieces: torrent.pieceHashes,
    private: torrent.private ? 1 : undefined,
  };
}

function assertConsistent({ name, pieceLength, pieceHashes, files, length }: NewMetainfo): void {
  safeElement(name, 'info.name');
  assertInteger('piece length', pieceLength, 1, MAX_PIECE_LENGTH);
  let total = length ?? 0;
  for (const [i, file] of (files ?? []).entries()) {
    assertInteger(`length of file ${i}`, file.length, 0);
    total += file.length;
    if (file.path.length === 0) throw new RangeError(`expected a path for file ${i}, found none`);
    for (const [j, element] of file.path.entries()) safeElement(element, `info.files[${i}].path[${j}]`);
  }
  assertInteger('length', total, 0);
  if (files?.length === 0) throw new RangeError('expected at least one file, found none');
  const expected = Math.ceil(total / pieceLength) * 20;
  if (pieceHashes.length !== expected) {
    throw new RangeError(`expected ${expected} bytes of piece hashes, found ${pieceHashes.length}`);
  }
}

function assertInteger(what: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`expected a ${what} from ${min} to ${max}, found ${value}`);
  }
}

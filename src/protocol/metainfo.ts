/**
 * Metainfo: the bytes of a `.torrent` -> a checked record (BEP 3, 12, 27, 47). Not here: where its files go on disk, web
 * seeds (BEP 19), DHT nodes (BEP 5) and the v2 half of a hybrid torrent (BEP 52), which are ignored.
 */
import { hash } from 'node:crypto';
import { messageOf, SpateError } from '../errors.js';
import {
  asBytes,
  asDict,
  asInteger,
  asList,
  asText,
  BENCODE_LIMITS,
  type BencodeDict,
  type BencodeError,
  type BencodeLimits,
  type BencodeList,
  type BencodeValue,
  type DecodedPrefix,
  decodePrefix,
} from './bencode.js';
import { distinctPaths, safeElement } from './paths.js';

/** A name that is safe, and as the torrent says it. */
interface Name {
  readonly safe: string;
  readonly original: string;
}

/** A file as it is listed: its path may collide with others. */
interface ListedFile extends Omit<MetainfoFile, 'symlink'> {
  readonly originalPath: readonly string[];
  readonly symlink?: Path;
}

/** The same of a path. */
interface Path {
  readonly safe: readonly string[];
  readonly original: readonly string[];
}

/** One file of a torrent, in torrent order. */
export interface MetainfoFile {
  /**
   * Safe relative path below the download folder, one element per folder; the torrent's name is the first element of a
   * multi-file torrent. No two files have the same path, even where case does not count. Empty for a pad file.
   */
  readonly path: readonly string[];
  /** Bytes. */
  readonly length: number;
  /** Offset in the torrent of its first byte. */
  readonly offset: number;
  /** Zeros between files (BEP 47): its bytes are hashed and served as any, never written. */
  readonly pad: boolean;
  /** The path as the torrent says it, where that was not safe or not unique. */
  readonly originalPath?: readonly string[];
  /** To be executable (BEP 47). */
  readonly executable?: boolean;
  /** Where the symlink that it is points to, as `path`: inside the torrent, and through no other symlink (BEP 47). */
  readonly symlink?: readonly string[];
}

/** What a `.torrent` says (BEP 3), checked: whoever holds one may trust every number in it. */
export interface Metainfo {
  /** SHA-1 of the raw bytes of `info`, 20 bytes. */
  readonly infohash: Uint8Array;
  /** The raw bytes of `info`, a copy. */
  readonly info: Uint8Array;
  /** Safe name: of the file, or of the folder of a multi-file torrent. */
  readonly name: string;
  /** Bytes in the torrent. */
  readonly length: number;
  readonly pieceLength: number;
  /** 20 bytes per piece, concatenated. */
  readonly pieceHashes: Uint8Array;
  readonly files: readonly MetainfoFile[];
  readonly private: boolean;
  /** Announce URLs by tier (BEP 12), as the torrent lists them: http, https and udp, each URL once, no empty tier. */
  readonly trackers: readonly (readonly string[])[];
  /** Free text as it stands, control characters included; so is `createdBy`. */
  readonly comment?: string;
  readonly createdBy?: string;
  /** Seconds since 1970. */
  readonly creationDate?: number;
}

/** Room for half a million files, or 6 million pieces. At worst, hostile bytes cost 1.5 GiB of memory for some seconds. */
export const MAX_TORRENT_BYTES = 128 * 1_048_576;
const LIMITS: BencodeLimits = { ...BENCODE_LIMITS, maxBytes: MAX_TORRENT_BYTES, maxTokens: 5_000_000 };
const MAX_FILES = 500_000;
/** Names in one path; no system takes a path of so many that are of any use. */
const MAX_DEPTH = 100;
/** Symlinks that may point to one another in a row. */
const MAX_HOPS = 40;
/** The longest seen by libtorrent, in bytes. A piece is held in memory as a whole. */
export const MAX_PIECE_LENGTH = 512 * 1_048_576;
/** More than any torrent names; each costs a look-up and a request. */
const MAX_TRACKERS = 1000;
const HASH_LENGTH = 20;

/**
 * Reads a `.torrent`. Junk in a field that is not needed is as good as its absence.
 * @throws SpateError INVALID_TORRENT, one line that names the field, what was expected and what was found
 */
export function parseMetainfo(bytes: Uint8Array): Metainfo {
  const { root, spans } = readRoot(bytes);
  const info = asDict(root.get('info')) ?? invalid('info', 'a dictionary', root.get('info'));
  const span = spans.get('info')!;
  const rawInfo = new Uint8Array(bytes.subarray(span.start, span.end));

  const pieces = piecesOf(info);
  const pieceLength = integer(info, 'info', 'piece length', 1, MAX_PIECE_LENGTH);
  const name = nameOf(info);
  const files = filesOf(info, name);
  const last = files.at(-1)!;
  const length = last.offset + last.length;

  const pieceCount = Math.ceil(length / pieceLength);
  if (pieces.length !== pieceCount * HASH_LENGTH) {
    invalid('info.pieces', `${HASH_LENGTH} bytes for each of ${pieceCount} pieces`, `${pieces.length} bytes`);
  }

  const comment = asText(root.get('comment.utf-8')) ?? asText(root.get('comment'));
  const createdBy = asText(root.get('created by'));
  const creationDate = asInteger(root.get('creation date')) ?? -1;
  return {
    infohash: new Uint8Array(hash('sha1', rawInfo, 'buffer')),
    info: rawInfo,
    name: name.safe,
    length,
    pieceLength,
    pieceHashes: pieces,
    files,
    // BEP 27 says 1. Any other number but 0 is taken for it too: to leak a private torrent is the worse mistake.
    private: (asInteger(info.get('private')) ?? 0) !== 0,
    trackers: trackersOf(root),
    ...(comment !== undefined && { comment }),
    ...(createdBy !== undefined && { createdBy }),
    ...(creationDate >= 0 && { creationDate }),
  };
}

function readRoot(bytes: Uint8Array): { readonly root: BencodeDict; readonly spans: DecodedPrefix['spans'] } {
  if (bytes.length > LIMITS.maxBytes) {
    throw new SpateError(
      'INVALID_TORRENT',
      `not a torrent: expected at most ${LIMITS.maxBytes} bytes, found ${bytes.length}`,
    );
  }
  if (bytes[0] !== 0x64) throw new SpateError('INVALID_TORRENT', `not a torrent: ${opening(bytes)}`);
  let decoded: DecodedPrefix;
  try {
    decoded = decodePrefix(bytes, LIMITS);
  } catch (error) {
    const { integer } = error as BencodeError;
    if (integer !== undefined) invalid(integer.field, 'an integer within 2^53 - 1', integer.found);
    throw new SpateError('INVALID_TORRENT', `invalid torrent: ${messageOf(error)}`, { cause: error });
  }
  const { value, consumed, spans } = decoded;
  if (consumed < bytes.length) {
    const found = `${bytes.length - consumed} more bytes`;
    throw new SpateError('INVALID_TORRENT', `invalid torrent: expected its end at byte ${consumed}, found ${found}`);
  }
  return { root: asDict(value)!, spans };
}

/** How bytes that are no dictionary begin, and what that suggests. */
function opening(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'expected a dictionary, found no bytes at all';
  const head = Buffer.from(bytes.subarray(0, 16));
  const word = /^[!-~]*/.exec(head.toString('latin1'))![0];
  if (word === '') return `starts with 0x${head.subarray(0, 4).toString('hex')}`;
  if (word.startsWith('magnet:')) return `starts with \`${word}\`; give a magnet link as the source, not in a file`;
  return `starts with \`${word}\`${word.startsWith('<') ? '; it looks like a web page' : ''}`;
}

/** The piece hashes, not yet counted. */
function piecesOf(info: BencodeDict): Uint8Array {
  const pieces = info.get('pieces');
  if (pieces === undefined && (info.has('file tree') || (asInteger(info.get('meta version')) ?? 1) > 1)) {
    throw new SpateError(
      'INVALID_TORRENT',
      'BitTorrent v2 only, not supported: expected v1 piece hashes in `info.pieces`, found nothing',
    );
  }
  return asBytes(pieces) ?? invalid('info.pieces', 'a string', pieces);
}

/** `name.utf-8` where an old client wrote `name` in its own character set. */
function nameOf(info: BencodeDict): Name {
  const utf8 = asText(info.get('name.utf-8'));
  if (utf8) return { safe: safeElement(utf8, 'info.name.utf-8'), original: utf8 };
  const original = asText(info.get('name')) ?? invalid('info.name', 'a string', info.get('name'));
  return { safe: safeElement(original, 'info.name'), original };
}

/** At least one file. */
function filesOf(info: BencodeDict, name: Name): readonly MetainfoFile[] {
  const list = info.get('files');
  if (list === undefined) {
    if (!info.has('length')) invalid('info', '`length` or `files`', 'neither');
    const length = integer(info, 'info', 'length', 0, Number.MAX_SAFE_INTEGER);
    const { safe, original } = name;
    const file = { path: [safe], length, offset: 0, pad: false, ...executableOf(info) };
    return [safe === original ? file : { ...file, originalPath: [original] }];
  }
  // BEP 3 allows one of them. Clients disagree on which counts, and so on what the data are.
  if (info.has('length')) invalid('info', '`length` or `files`', 'both');
  const entries = asList(list) ?? invalid('info.files', 'a list', list);
  if (entries.length === 0 || entries.length > MAX_FILES) {
    invalid('info.files', `1 to ${MAX_FILES} files`, `${entries.length}`);
  }
  return withTargets(withDistinctPaths(listedFiles(entries, name)));
}

/** The files as they are listed; their paths may collide. */
function listedFiles(entries: BencodeList, name: Name): ListedFile[] {
  let offset = 0;
  return entries.map((entry, i) => {
    const field = `info.files[${i}]`;
    const file = asDict(entry) ?? invalid(field, 'a dictionary', entry);
    const attr = asText(file.get('attr')) ?? '';
    // BEP 47: a symlink has no bytes and need not say so.
    const isLink = attr.includes('l');
    const bare = isLink && !file.has('length');
    const length = bare ? 0 : integer(file, field, 'length', 0, Number.MAX_SAFE_INTEGER);
    if (length > Number.MAX_SAFE_INTEGER - offset) invalid('info.files', 'at most 2^53 - 1 bytes in all', 'more');
    const pad = attr.includes('p');
    const at = offset;
    offset += length;
    if (pad) return { path: [], originalPath: [], length, offset: at, pad };
    const own = asList(file.get('path.utf-8')) === undefined ? 'path' : 'path.utf-8';
    const path = pathOf(file, field, own, name);
    // A link with bytes is a file, whatever its attribute says: its bytes are hashed.
    const hasTarget = isLink && length === 0 && file.has('symlink path');
    const symlink = hasTarget ? pathOf(file, field, 'symlink path', name) : undefined;
    return {
      path: path.safe,
      originalPath: path.original,
      length,
      offset: at,
      pad,
      ...(symlink === undefined ? executableOf(file) : { symlink }),
    };
  });
}

/** BEP 47. */
function executableOf(file: BencodeDict): { readonly executable?: true } {
  return asText(file.get('attr'))?.includes('x') === true ? { executable: true } : {};
}

/** A path below the torrent's name, which comes first. */
function pathOf(file: BencodeDict, field: string, key: string, name: Name): Path {
  const path = asList(file.get(key)) ?? invalid(`${field}.${key}`, 'a list', file.get(key));
  if (path.length === 0) invalid(`${field}.${key}`, 'at least one name', 'none');
  if (path.length > MAX_DEPTH) invalid(`${field}.${key}`, `at most ${MAX_DEPTH} names`, `${path.length}`);
  const [safe, original] = [[name.safe], [name.original]];
  for (const [i, element] of path.entries()) {
    const at = `${field}.${key}[${i}]`;
    const text = asText(element) ?? invalid(at, 'a string', element);
    safe.push(safeElement(text, at));
    original.push(text);
  }
  return { safe, original };
}

function withDistinctPaths(files: readonly ListedFile[]): readonly MetainfoFile[] {
  const distinct = distinctPaths(files.filter(({ pad }) => !pad).map(({ path }) => path)).values();
  const paths = files.map(({ pad, path }) => (pad ? path : distinct.next().value!));
  const byOriginal = files.some(({ symlink }) => symlink !== undefined) ? pathsByOriginal(files, paths) : undefined;
  return files.map(({ originalPath, symlink, ...file }, i) => {
    const path = paths[i]!;
    const same = file.pad || path.every((element, depth) => element === originalPath[depth]);
    const named = same ? { ...file, path } : { ...file, path, originalPath };
    // What is no file is a folder, which keeps its name, or not there.
    const target = symlink && (byOriginal?.get(symlink.original.join('/')) ?? symlink.safe);
    return target === undefined ? named : { ...named, symlink: target };
  });
}

/** The path of each file by the one it is listed with; of two that are listed alike the first has it. */
function pathsByOriginal(
  files: readonly ListedFile[],
  paths: readonly (readonly string[])[],
): ReadonlyMap<string, readonly string[]> {
  const byOriginal = new Map<string, readonly string[]>();
  for (const [i, { pad, originalPath }] of files.entries()) {
    const key = originalPath.join('/');
    if (!pad && !byOriginal.has(key)) byOriginal.set(key, paths[i]!);
  }
  return byOriginal;
}

/**
 * Symlinks with the targets they are made with: one that points to another gets that one's target, so that no link depends on
 * another. What a link points to need not be there; that it lies inside the torrent follows from its names.
 */
function withTargets(files: readonly MetainfoFile[]): readonly MetainfoFile[] {
  const links = new Map<string, readonly string[]>();
  for (const { path, symlink } of files) if (symlink !== undefined) links.set(path.join('/'), symlink);
  if (links.size === 0) return files;
  return files.map((file, i) => {
    if (file.symlink === undefined) return file;
    const field = `info.files[${i}].symlink path`;
    let target = file.symlink;
    for (let hops = 0; ; hops++) {
      if (hops > MAX_HOPS) invalid(field, 'a file or folder in the end', 'links that point to links');
      for (let depth = 1; depth < target.length; depth++) {
        const folder = target.slice(0, depth).join('/');
        if (links.has(folder)) invalid(field, 'a path through no other symlink', JSON.stringify(target.join('/')));
      }
      const next = links.get(target.join('/'));
      if (next === undefined) return { ...file, symlink: target };
      target = next;
    }
  });
}

/** BEP 12: `announce-list` overrides `announce`, unless nothing in it is of use. */
function trackersOf(root: BencodeDict): string[][] {
  const seen = new Set<string>();
  const usable = (tiers: BencodeList): string[][] =>
    tiers
      .map((tier) =>
        // Some torrents list URLs where tiers should be.
        (asList(tier) ?? [tier]).flatMap((entry) => {
          const url = asText(entry)?.trim() ?? '';
          if (seen.size === MAX_TRACKERS || seen.has(url) || !isTrackerUrl(url)) return [];
          seen.add(url);
          return [url];
        }),
      )
      .filter((tier) => tier.length > 0);
  const listed = usable(asList(root.get('announce-list')) ?? []);
  return listed.length > 0 ? listed : usable([root.get('announce') ?? []]);
}

/** No white space or control inside: URLs are shown, and end up in a request line. */
function isTrackerUrl(text: string): boolean {
  return /^(?:https?|udp):\/\/[^\s\p{C}]+$/iu.test(text) && URL.canParse(text);
}

function integer(dict: BencodeDict, field: string, key: string, min: number, max: number): number {
  const value = asInteger(dict.get(key));
  if (value !== undefined && value >= min && value <= max) return value;
  return invalid(`${field}.${key}`, `an integer from ${min} to ${max}`, dict.get(key));
}

/** @param found in words, or the value that is there */
function invalid(field: string, expected: string, found: string | BencodeValue | undefined): never {
  const words = typeof found === 'string' ? found : describe(found);
  throw new SpateError('INVALID_TORRENT', `invalid torrent: \`${field}\`: expected ${expected}, found ${words}`);
}

function describe(value: BencodeValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number') return `${value}`;
  if (value instanceof Uint8Array) return `a string of ${value.length} bytes`;
  return asList(value) === undefined ? 'a dictionary' : 'a list';
}

/** `.torrent` files: how long they may be, what is wrong with one that cannot be read, and one read in a single turn. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { fileError, messageOf, SpateError } from '../errors.js';
import { MAX_TORRENT_BYTES, type Metainfo, parseMetainfo } from '../protocol/metainfo.js';

/** No wait for a writer where a pipe lies; Windows has neither. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
const DICT = 0x64;
/** Holds most torrents: no memory is taken for those. */
const scratch = new Uint8Array(65_536);

/**
 * Reads a torrent, without a turn of the loop: ten thousand small ones take a second this way.
 * @throws SpateError INVALID_TORRENT or LOCAL_IO, naming the path
 */
export function readTorrentFile(path: string): Metainfo {
  const bytes = readBytes(path);
  try {
    return parseMetainfo(bytes);
  } catch (error) {
    throw torrentError(path, error);
  }
}

/** The text of what is wrong with a torrent, with its source in front. */
export function torrentError(source: string, error: unknown): unknown {
  if (!(error instanceof SpateError)) return error;
  return new SpateError(error.code, `${source}: ${messageOf(error)}`, { cause: error });
}

/** A source that is not there is bad input; one that is there and cannot be read is a local failure. */
export function sourceError(source: string, error: unknown): SpateError {
  const { code } = error as NodeJS.ErrnoException;
  const missing = isMissing(error);
  if (!missing && code !== 'EISDIR') return fileError(`read ${source}`, error);
  return noTorrentFile(source, missing ? 'there is no such file' : 'it is a folder', error);
}

export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** @returns bytes that the next call may overwrite */
function readBytes(path: string): Uint8Array {
  let fd: number | undefined;
  try {
    fd = openSync(path, OPEN_FLAGS);
    const stats = fstatSync(fd);
    if (stats.isDirectory()) throw noTorrentFile(path, 'it is a folder');
    if (!stats.isFile()) throw noTorrentFile(path, 'it is no regular file');
    // One more than it should have: a file that grows meanwhile is seen to.
    const room = Math.min(stats.size, MAX_TORRENT_BYTES) + 1;
    const length = fill(fd, scratch, 0, Math.min(room, scratch.length));
    // A disk image given by mistake need not be read to its end.
    if (length < scratch.length || room === length || scratch[0] !== DICT) return scratch.subarray(0, length);
    const all = new Uint8Array(room);
    all.set(scratch);
    return all.subarray(0, fill(fd, all, length, room));
  } catch (error) {
    throw error instanceof SpateError ? error : sourceError(path, error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** @returns up to where it is filled: `end`, or less at the end of the file */
function fill(fd: number, bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  for (let read = -1; read !== 0 && at < end; at += read) read = readSync(fd, bytes, at, end - at, null);
  return at;
}

function noTorrentFile(source: string, found: string, cause?: unknown): SpateError {
  return new SpateError('INVALID_TORRENT', `cannot read ${source}: expected a .torrent file, but ${found}`, { cause });
}

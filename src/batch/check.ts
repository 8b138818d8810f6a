/** Reads the torrent of an entry: once when it is taken, to see whether it is sound, and again when it starts. */
import { isAbsolute, join } from 'node:path';
import { messageOf, SpateError } from '../errors.js';
import type { Metainfo } from '../protocol/metainfo.js';
import { requirePath } from '../protocol/source.js';
import { chosenFiles } from '../storage/selection.js';
import { isMissing, readTorrentFile } from '../storage/torrent-source.js';
import { hex } from '../text.js';
import type { Checked, Entry, Refused } from './entry.js';

/**
 * @param listFolder where a relative path that leads nowhere from the working directory is looked up next; what is found there
 * has that path as its source
 */
export function check(entry: Entry, listFolder?: string): Checked | Refused {
  const { place, source } = entry;
  try {
    requirePath(source);
    const found = read(source, listFolder);
    return checked({ ...entry, source: found.path }, found.metainfo);
  } catch (error) {
    if (!(error instanceof SpateError)) throw error;
    return { place, source, entry, error };
  }
}

/**
 * The torrent of an item that starts.
 * @throws SpateError INVALID_TORRENT or LOCAL_IO when it is not there any more or is another one now
 */
export function readAgain({ entry, infohash }: Pick<Checked, 'entry' | 'infohash'>): Metainfo {
  const metainfo = readTorrentFile(entry.source);
  const found = hex(metainfo.infohash);
  if (found === infohash) return metainfo;
  throw new SpateError(
    'INVALID_TORRENT',
    `${entry.source} was replaced: expected the torrent ${infohash}, found ${found}`,
  );
}

function read(source: string, listFolder: string | undefined): { readonly path: string; readonly metainfo: Metainfo } {
  try {
    return { path: source, metainfo: readTorrentFile(source) };
  } catch (error) {
    if (listFolder === undefined || isAbsolute(source) || !isMissing((error as Error).cause)) throw error;
  }
  const path = join(listFolder, source);
  try {
    return { path, metainfo: readTorrentFile(path) };
  } catch (error) {
    if (!isMissing((error as Error).cause)) throw error;
    const where = `neither in the working directory nor in ${listFolder}, where the list is`;
    throw new SpateError('INVALID_TORRENT', `cannot read ${source}: expected a .torrent file, but it is ${where}`, {
      cause: error,
    });
  }
}

function checked(entry: Entry, metainfo: Metainfo): Checked {
  const { infohash, name, pieceLength } = metainfo;
  return { entry, infohash: hex(infohash), name, length: wantedLength(entry, metainfo), pieceLength };
}

/** @throws SpateError INVALID_TORRENT for numbers of files that the torrent does not have */
function wantedLength({ source, select }: Entry, { files, length }: Metainfo): number {
  if (select === undefined) return length;
  try {
    const chosen = chosenFiles(files, { ranges: select });
    return chosen === undefined ? length : files.reduce((sum, file, i) => sum + (chosen[i] === 1 ? file.length : 0), 0);
  } catch (error) {
    if (!(error instanceof SpateError)) throw error;
    throw new SpateError('INVALID_TORRENT', `${source}: \`select\`: ${messageOf(error)}`, { cause: error });
  }
}

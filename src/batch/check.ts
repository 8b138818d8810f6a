/** Reads the torrent of an entry: once when it is taken, to see whether it is sound, and again when it starts. */
import { isAbsolute, join } from 'node:path';
import { messageOf, SpateError } from '../errors.js';
import type { Metainfo } from '../protocol/metainfo.js';
import { requirePath } from '../protocol/source.js';
import { chosenFiles } from '../storage/selection.js';
import { isMissing, readTorrentFile } from '../storage/torrent-source.js';
import { hex } from '../text.js';
import { type Checked, type Entry, isRefused, type Refused } from './entry.js';

/**
 * @param listFolder where a relative path that leads nowhere from the working directory is looked up next; what is found there
 * has that path as its source, sound or not
 */
export function check(entry: Entry, listFolder?: string): Checked | Refused {
  const { source } = entry;
  const here = checkThere(entry);
  if (listFolder === undefined || isAbsolute(source) || !isOfNoFile(here)) return here;
  const beside = checkThere({ ...entry, source: join(listFolder, source) });
  if (!isOfNoFile(beside)) return beside;
  const where = `neither in the working directory nor in ${listFolder}, where the list is`;
  const message = `cannot read ${source}: expected a .torrent file, but it is ${where}`;
  return { ...here, error: new SpateError('INVALID_TORRENT', message, { cause: beside.error }) };
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

function checkThere(entry: Entry): Checked | Refused {
  const { place, source } = entry;
  try {
    requirePath(source);
    return checked(entry, readTorrentFile(source));
  } catch (error) {
    if (!(error instanceof SpateError)) throw error;
    return { place, source, entry, error };
  }
}

function isOfNoFile(item: Checked | Refused): item is Refused {
  return isRefused(item) && isMissing(item.error.cause);
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

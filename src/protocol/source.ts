/** What a text that names a torrent is: a path, a magnet link (BEP 9), the URL of a `.torrent`, an infohash. Pure. */
import { SpateError } from '../errors.js';

export type SourceKind = 'path' | 'magnet' | 'url' | 'infohash';

const UNSUPPORTED = { magnet: 'magnet links', url: 'URLs of torrents', infohash: 'bare infohashes' } as const;

/** A path that looks like one of the others is written with `./`. */
export function sourceKind(source: string): SourceKind {
  if (/^magnet:/i.test(source)) return 'magnet';
  if (/^https?:\/\//i.test(source)) return 'url';
  return /^(?:[0-9a-f]{40}|[a-z2-7]{32})$/i.test(source) ? 'infohash' : 'path';
}

/** @throws SpateError INVALID_TORRENT for kinds of source that exist and are not supported yet */
export function requirePath(source: string): void {
  const kind = sourceKind(source);
  if (kind === 'path') return;
  throw new SpateError(
    'INVALID_TORRENT',
    `${source}: ${UNSUPPORTED[kind]} are not supported yet; get the .torrent file and give its path`,
  );
}

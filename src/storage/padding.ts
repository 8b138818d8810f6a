/**
 * Pad files are zeros that are never on disk (BEP 47). A torrent whose hashes want other bytes there has pieces that cannot be kept:
 * what is read back is not what was verified.
 */
import { SpateError } from '../errors.js';
import { chunks, type FileEntry } from './layout.js';
import type { Storage } from './storage.js';
import { isZero } from './zeros.js';

/** For verified pieces, whose bytes are those the torrent wants; others may be a peer's invention. */
export function paddingChecked(files: readonly FileEntry[], storage: Pick<Storage, 'write'>): Pick<Storage, 'write'> {
  if (!files.some(({ pad }) => pad)) return storage;
  return {
    write: async (offset, views) => {
      for (const { file, views: own } of chunks(files, offset, views)) {
        if (files[file]!.pad && !own.every(isZero)) throw notZero(files[file]!);
      }
      await storage.write(offset, views);
    },
  };
}

function notZero({ offset, length }: FileEntry): SpateError {
  return new SpateError(
    'BAD_DATA',
    `the torrent is damaged: expected zeros in its padding of ${length} bytes at ${offset}, found others; they cannot be kept`,
  );
}

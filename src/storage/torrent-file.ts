/**
 * One file of a torrent in one access mode, as `OpenFiles` opens and closes it. Opening for writing gives the file its length;
 * nothing but a regular file below the root is ever opened.
 */
import { join } from 'node:path';
import { fileError, type SpateError } from '../errors.js';
import { call, type Disk, type FileFacts, OPEN_TO_READ, OPEN_TO_WRITE } from './disk.js';
import type { Folders } from './folders.js';
import type { FileEntry } from './layout.js';
import type { CachedFile } from './open-files.js';

/** What the files of one store have in common. */
export interface StoreContext {
  readonly root: string;
  readonly disk: Disk;
  readonly folders: Folders;
  /** A file written to that could not be closed: on a network disk that is where a write fails. */
  closeFailure: SpateError | undefined;
}

export class TorrentFile implements CachedFile {
  readonly #store: StoreContext;
  readonly #entry: FileEntry;
  readonly #writing: boolean;
  /** It has its length: when it has not the next time, somebody else has been at it. */
  #isMade = false;

  constructor(store: StoreContext, entry: FileEntry, writing: boolean) {
    this.#store = store;
    this.#entry = entry;
    this.#writing = writing;
  }

  /** Joined when asked for: a torrent may have 100,000 files. */
  get path(): string {
    return join(this.#store.root, ...this.#entry.path);
  }

  /** @throws SpateError (LOCAL_IO, DISK_FULL) naming the file or the folder */
  async open(): Promise<number> {
    const { folders, disk } = this.#store;
    await folders.check(this.#entry.path, this.#entry.path.length - 1);
    const path = this.path;
    let fd: number;
    try {
      fd = await call<number>((done) => disk.open(path, this.#writing ? OPEN_TO_WRITE : OPEN_TO_READ, 0o666, done));
    } catch (error) {
      throw openError(path, error);
    }
    try {
      const stats = await call<FileFacts>((done) => disk.fstat(fd, done));
      if (!stats.isFile()) throw notAFile();
      const { length, position } = this.#entry;
      if (this.#writing && position === undefined && stats.size !== length) {
        if (this.#isMade) throw changed(length, stats);
        await call((done) => disk.ftruncate(fd, length, done));
      }
      this.#isMade = true;
    } catch (error) {
      await call((done) => disk.close(fd, done)).catch(() => {});
      throw openError(path, error);
    }
    return fd;
  }

  closeFailed(error: SpateError): void {
    if (this.#writing) this.#store.closeFailure ??= error;
  }
}

/** What is wrong with a file that was cut or removed while it was written to: what had been written is gone. */
export function changed(length: number, { size, nlink }: Omit<FileFacts, 'isFile'>): Error {
  const found = nlink === 0 ? 'it was removed' : `found ${size}`;
  return new Error(`it changed during the download: expected ${length} bytes, ${found}; run the same command again`);
}

export function notAFile(): Error {
  return new Error('it is not a regular file');
}

/** The error for a file that cannot be opened; the system's text for a refused symlink speaks of loops. */
export function openError(path: string, error: unknown): SpateError {
  const refused = (error as NodeJS.ErrnoException).code === 'ELOOP';
  return fileError(`open ${path}`, refused ? new Error('it is a symbolic link, which is never followed') : error);
}

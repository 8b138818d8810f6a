/**
 * One file of a torrent in one access mode, as `OpenFiles` opens and closes it. Opening for writing gives the file its length;
 * nothing but a regular file below the root is ever opened.
 */
import { join } from 'node:path';
import { fileError, type SpateError } from '../errors.js';
import { call, type Disk, type FileFacts, isAbsence, OPEN_TO_READ, OPEN_TO_WRITE } from './disk.js';
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
  /** The file that was opened, which has its length: when it is another one later, somebody else has been at it. */
  #opened: FileFacts | undefined;
  /** As it was when it was last closed. */
  #closed: FileFacts | undefined;

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
      const facts = await call<FileFacts>((done) => disk.fstat(fd, done));
      if (!facts.isFile()) throw notAFile();
      const { length, position } = this.#entry;
      // One without bytes gets none written: what is in it is somebody's.
      if (this.#writing && position === undefined && length > 0 && Number(facts.size) !== length) {
        if (this.#opened !== undefined) throw changed(length, facts.size);
        await call((done) => disk.ftruncate(fd, length, done));
      }
      if (this.#writing) this.#assertSame(facts);
      this.#opened = facts;
      this.#closed = undefined;
    } catch (error) {
      await call((done) => disk.close(fd, done)).catch(() => {});
      throw openError(path, error);
    }
    return fd;
  }

  /** A failure is the store's, if it was written to. */
  async close(fd: number): Promise<void> {
    const { disk } = this.#store;
    if (this.#writing) {
      this.#closed = await call<FileFacts>((done) => disk.fstat(fd, done)).catch(() => undefined);
    }
    try {
      await call((done) => disk.close(fd, done));
    } catch (error) {
      if (this.#writing) this.#store.closeFailure ??= fileError(`close ${this.path}`, error);
    }
  }

  /**
   * What was written is found by its path: nobody has moved the file away, or put another one there.
   * @throws SpateError (LOCAL_IO) naming the file
   */
  async assertInPlace(): Promise<void> {
    const path = this.path;
    try {
      this.#assertSame(await call<FileFacts>((done) => this.#store.disk.lstat(path, done)));
    } catch (error) {
      throw fileError(`keep ${path}`, isAbsence(error) ? changed(this.#entry.length, 'removed') : error);
    }
  }

  /** FAT and some of FUSE number a file anew once nobody has it open: it is known by its time of last change then. */
  #assertSame({ dev, ino, mtimeNs }: FileFacts): void {
    const before = this.#opened;
    if (before === undefined || (before.dev === dev && before.ino === ino)) return;
    if (this.#closed?.mtimeNs !== mtimeNs) throw changed(this.#entry.length, 'replaced');
  }
}

/** What is wrong with a file that was cut, removed or replaced while it was written to: what had been written is gone. */
export function changed(length: number, found: bigint | 'removed' | 'replaced'): Error {
  const what = typeof found === 'bigint' ? `found ${found}` : `it was ${found}`;
  return new Error(`it changed during the download: expected ${length} bytes, ${what}; run the same command again`);
}

export function notAFile(): Error {
  return new Error('it is not a regular file');
}

/** The error for a file that cannot be opened; the system's text for a refused symlink speaks of loops. */
export function openError(path: string, error: unknown): SpateError {
  const refused = (error as NodeJS.ErrnoException).code === 'ELOOP';
  return fileError(`open ${path}`, refused ? new Error('it is a symbolic link, which is never followed') : error);
}

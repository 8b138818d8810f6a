/**
 * One file with the resume state of a download, replaced as a whole: at any moment, also after a power cut, the file is the
 * last state that was saved or the one before. Knows how to keep bytes, not what may be named in them (`checkpoint.ts`).
 */
import { constants, utimes } from 'node:fs';
import { dirname } from 'node:path';
import { fileError, SpateError } from '../errors.js';
import { call, type Disk, makeFolders, OPEN_TO_READ, OPEN_TO_WRITE } from './disk.js';
import type { FolderFlushes } from './folder-flush.js';
import { withoutFirst } from './layout.js';
import { decodeResume, encodeResume, maxResumeBytes, type ResumeShape, type ResumeState } from './resume-state.js';

export class ResumeStore {
  readonly path: string;
  readonly #shape: ResumeShape;
  readonly #disk: Disk;
  readonly #folders: FolderFlushes;

  /** @param folders of the same disk; shared by the states of a folder */
  constructor(path: string, shape: ResumeShape, disk: Disk, folders: FolderFlushes) {
    this.path = path;
    this.#shape = shape;
    this.#disk = disk;
    this.#folders = folders;
  }

  /**
   * The state of the last run, `undefined` when there is none.
   * @throws SpateError (LOCAL_IO) for a file that cannot be read or is no state of this torrent
   */
  async load(): Promise<ResumeState | undefined> {
    let fd: number;
    try {
      fd = await call<number>((done) => this.#disk.open(this.path, OPEN_TO_READ, 0, done));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw fileError(`read resume state ${this.path}`, error);
    }
    const bytes = await this.#closing(fd, () => this.#readAll(fd)).catch((error) => {
      throw fileError(`read resume state ${this.path}`, error);
    });
    // One that is used is kept (`state-folder.ts`). Not waited for: nothing hangs on it.
    const now = Date.now() / 1000;
    utimes(this.path, now, now, () => {});
    const state = bytes === undefined ? undefined : decodeResume(bytes, this.#shape);
    if (state !== undefined) return state;
    throw new SpateError('LOCAL_IO', `resume state ${this.path} is damaged or of another version`);
  }

  /**
   * Replaces the state: under a temporary name, flushed, renamed, and the folder flushed. One call at a time.
   * @throws SpateError (LOCAL_IO, DISK_FULL)
   */
  async save(state: ResumeState): Promise<void> {
    const bytes = encodeResume(state, this.#shape);
    const folder = dirname(this.path);
    const temporary = `${this.path}.new`;
    try {
      const fd = await this.#openInFolder(temporary, folder);
      await this.#closing(fd, async () => {
        await this.#writeAll(fd, bytes);
        await call((done) => this.#disk.fsync(fd, done));
      });
      await call((done) => this.#disk.rename(temporary, this.path, done));
      await this.#folders.flush(folder);
    } catch (error) {
      throw fileError(`save resume state ${this.path}`, error);
    }
  }

  async #openInFolder(path: string, folder: string): Promise<number> {
    const open = (): Promise<number> =>
      call((done) => this.#disk.open(path, OPEN_TO_WRITE | constants.O_TRUNC, 0o600, done));
    try {
      return await open();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await makeFolders(this.#disk, folder);
      return await open();
    }
  }

  /** @returns `undefined` when it is not a file, or longer than any state of this torrent */
  async #readAll(fd: number): Promise<Uint8Array | undefined> {
    const stats = await call<{ readonly size: bigint; isFile(): boolean }>((done) => this.#disk.fstat(fd, done));
    if (!stats.isFile() || stats.size > maxResumeBytes(this.#shape)) return undefined;
    const bytes = new Uint8Array(Number(stats.size));
    for (let at = 0; at < bytes.length; ) {
      const read = await call<number>((done) => this.#disk.readv(fd, [bytes.subarray(at)], at, done));
      if (read === 0) return undefined;
      at += read;
    }
    return bytes;
  }

  async #writeAll(fd: number, bytes: Uint8Array): Promise<void> {
    let views: readonly Uint8Array[] = [bytes];
    for (let at = 0; at < bytes.length; ) {
      const written = await call<number>((done) => this.#disk.writev(fd, views, at, done));
      if (written === 0) throw new Error(`expected ${bytes.length} bytes to be taken, ${at} were`);
      views = withoutFirst(views, written);
      at += written;
    }
  }

  async #closing<T>(fd: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      await call((done) => this.#disk.close(fd, done));
    }
  }
}

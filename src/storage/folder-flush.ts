/**
 * Makes names in folders last: a flush for all that were given while the one before was under way. Thousands of small downloads
 * that end together would otherwise each flush the one folder of their states.
 */
import { constants } from 'node:fs';
import { call, type Disk } from './disk.js';

export class FolderFlushes {
  readonly #disk: Disk;
  /** By folder: the flush under way, or the last one. */
  readonly #latest = new Map<string, Promise<void>>();
  /** By folder: the one that begins after it. */
  readonly #next = new Map<string, Promise<void>>();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Resolves when a flush is over that began after the call. Windows opens no folder, and needs no flush of one. */
  flush(folder: string): Promise<void> {
    if (process.platform === 'win32') return Promise.resolve();
    const next = this.#next.get(folder) ?? this.#after(folder);
    this.#next.set(folder, next);
    return next;
  }

  async #after(folder: string): Promise<void> {
    // Whoever asked for that one is told how it went.
    await this.#latest.get(folder)?.catch(() => {});
    this.#next.delete(folder);
    const flush = this.#flush(folder);
    this.#latest.set(folder, flush);
    await flush;
  }

  async #flush(folder: string): Promise<void> {
    const fd = await call<number>((done) => this.#disk.open(folder, constants.O_RDONLY, 0, done));
    try {
      await call((done) => this.#disk.fsync(fd, done));
    } finally {
      await call((done) => this.#disk.close(fd, done));
    }
  }
}

/**
 * The descriptors a thread keeps open, for all its torrents together: the least recently used one that is idle is closed when
 * another needs its place, one with an operation in flight never. When all are busy, the next operation waits.
 */
import { type Disk, nodeDisk } from './disk.js';

/** A file in one access mode; its identity is the key. */
export interface CachedFile {
  /** Called again after the file was closed to make room. */
  open(): Promise<number>;
  /** Never rejects: whoever needed the room is somebody else. */
  close(fd: number): Promise<void>;
}

interface Entry {
  /** -1 until it is open. */
  fd: number;
  /** Operations in flight. */
  users: number;
  /** None has begun yet. */
  isNew: boolean;
  readonly opening: Promise<number>;
}

export class OpenFiles {
  readonly disk: Disk;
  readonly #limit: number;
  readonly #entries = new Map<CachedFile, Entry>();
  /** Those of the entries that nobody uses, the least recently used first. */
  readonly #idle = new Map<CachedFile, Entry>();
  /** Descriptors open, being opened or being closed; never above the limit. */
  #count = 0;
  /** Who found all busy, the first one first. */
  readonly #waiting: (() => void)[] = [];

  /** @param limit descriptors, >= 1 */
  constructor(limit: number, disk: Disk = nodeDisk) {
    this.#limit = limit;
    this.disk = disk;
  }

  /**
   * Runs one operation on a file, opening it when it is not open. An operation must not use another file: with all
   * descriptors busy the two would wait for each other.
   * @param operation is told whether the file was opened just now
   */
  async use<T>(file: CachedFile, operation: (fd: number, isNew: boolean) => Promise<T>): Promise<T> {
    const entry = await this.#acquire(file);
    const { fd, isNew } = entry;
    entry.isNew = false;
    try {
      return await operation(fd, isNew);
    } finally {
      if (--entry.users === 0) this.#idle.set(file, entry);
      this.#wake();
    }
  }

  /** Closes a file that is idle; one that is not open is left alone. */
  async drop(file: CachedFile): Promise<void> {
    const entry = this.#idle.get(file);
    if (entry === undefined) return;
    await this.#close(file, entry);
    this.#wake();
  }

  async #acquire(file: CachedFile): Promise<Entry> {
    for (;;) {
      const entry = this.#entries.get(file);
      if (entry !== undefined) {
        entry.users++;
        this.#idle.delete(file);
        // Who was woken and needs no room leaves it to the next.
        this.#wake();
        if (entry.fd < 0) await entry.opening;
        return entry;
      }
      if (this.#count < this.#limit) return this.#open(file);
      await this.#makeRoom();
    }
  }

  async #open(file: CachedFile): Promise<Entry> {
    const entry: Entry = { fd: -1, users: 1, isNew: true, opening: file.open() };
    this.#entries.set(file, entry);
    this.#count++;
    try {
      entry.fd = await entry.opening;
      return entry;
    } catch (error) {
      this.#entries.delete(file);
      this.#count--;
      this.#wake();
      throw error;
    }
  }

  async #makeRoom(): Promise<void> {
    for (const [file, entry] of this.#idle) return this.#close(file, entry);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #close(file: CachedFile, entry: Entry): Promise<void> {
    this.#entries.delete(file);
    this.#idle.delete(file);
    await file.close(entry.fd);
    this.#count--;
  }

  /** The first one looks again, if there may be room: hundreds would otherwise look at each end of an operation. */
  #wake(): void {
    if (this.#idle.size > 0 || this.#count < this.#limit) this.#waiting.shift()?.();
  }
}

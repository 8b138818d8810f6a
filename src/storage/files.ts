/**
 * The files of one torrent below a root folder: positional writes and reads of byte ranges that cross file boundaries. Not a
 * queue (`write-queue.ts`) and no judge of paths, which the metainfo has checked. BEP 3, BEP 47.
 *
 * Files come into being when first written. One opened for writing gets its exact length at once: a shorter one grows, sparse;
 * a longer one is cut, since it is being overwritten anyway; one that shall be empty is not, since nothing is written to it. Reading
 * makes and changes no file. Pad files are never on disk.
 * Symlinks: refused as the file itself, followed in folders as long as they stay inside the root.
 */
import { fileError, SpateError } from '../errors.js';
import { call, type Disk, type FileFacts } from './disk.js';
import { Folders } from './folders.js';
import { each } from './lanes.js';
import { type Chunk, chunks, type FileEntry, totalLength, withoutFirst } from './layout.js';
import type { OpenFiles } from './open-files.js';
import type { Storage } from './storage.js';
import { changed, type StoreContext, TorrentFile } from './torrent-file.js';

export interface FileStoreConfig {
  /** Folder the paths of the table start from; made when needed, unless read-only. */
  readonly root: string;
  readonly files: readonly FileEntry[];
  /** Shared by the stores of a thread; its `disk` is what this store works with. */
  readonly openFiles: OpenFiles;
  /** Reads only and creates nothing: for uploads, where another thread writes. */
  readonly readonly?: boolean;
}

/**
 * Files flushed at a time: a flush can take its thread of the pool for seconds, and the others have writes to do. Two share a commit
 * of the journal: of many new small files each takes a third of the time then (ext4).
 */
const FLUSHES = 2;

export class FileStore implements Storage {
  readonly #files: readonly FileEntry[];
  readonly #openFiles: OpenFiles;
  readonly #disk: Disk;
  readonly #readonly: boolean;
  readonly #context: StoreContext;
  /** By 2 x index, + 1 for writing: the two modes have descriptors of their own. By path when entries share a file. */
  readonly #opened = new Map<number | string, TorrentFile>();
  /** Indices of files written since the last sync. */
  readonly #dirty = new Set<number>();
  #syncing: Promise<void> = Promise.resolve();
  #active = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor({ root, files, openFiles, readonly = false }: FileStoreConfig) {
    this.#files = files;
    this.#openFiles = openFiles;
    this.#disk = openFiles.disk;
    this.#readonly = readonly;
    const folders = new Folders(root, this.#disk, !readonly);
    this.#context = { root, disk: this.#disk, folders, closeFailure: undefined };
  }

  /** Makes the root folder and the zero-length files that are not there. @throws SpateError (LOCAL_IO, DISK_FULL) naming the path */
  prepare(): Promise<void> {
    return this.#run(async () => {
      this.#assertWritable();
      await this.#context.folders.check([], 0);
      const empty = [...this.#files.keys()].filter(
        (file) => this.#files[file]!.length === 0 && !this.#files[file]!.pad && !this.#files[file]!.symlink,
      );
      await each(empty, (file) => this.#openFiles.use(this.#file(file, true), async () => {}));
    });
  }

  /**
   * Writes adjacent views, one `writev` per file, a few files at a time. A view whose buffer was transferred away has no bytes and would be written
   * as such without an error: that is a fault of this program.
   * @throws SpateError (LOCAL_IO, DISK_FULL) naming the file, (INTERNAL) for an empty view or a range outside of the torrent
   */
  write(offset: number, views: readonly Uint8Array[]): Promise<void> {
    return this.#run(async () => {
      this.#assertWritable();
      await each(this.#chunks(offset, views), async (chunk) => {
        if (this.#files[chunk.file]!.pad) return;
        const file = this.#file(chunk.file, true);
        await this.#openFiles.use(file, async (fd, isNew) => {
          // Opening has looked already.
          if (!isNew) await this.#assertIntact(fd, file.path, this.#files[chunk.file]!);
          await this.#move('write', fd, file.path, chunk);
        });
        this.#dirty.add(chunk.file);
      });
      this.#throwCloseFailure();
    });
  }

  /**
   * Fills adjacent views. Pad files read as zeros.
   * @throws SpateError (LOCAL_IO) naming the file that is missing, short or unreadable, (INTERNAL) as `write`
   */
  readInto(offset: number, views: readonly Uint8Array[]): Promise<void> {
    return this.#run(async () => {
      for (const chunk of this.#chunks(offset, views)) {
        if (this.#files[chunk.file]!.pad) {
          for (const view of chunk.views) view.fill(0);
        } else {
          const file = this.#file(chunk.file, false);
          await this.#openFiles.use(file, (fd) => this.#move('read', fd, file.path, chunk));
        }
      }
    });
  }

  /**
   * Flushes the files written since the last call, and makes sure that they still are where they belong. Their folders are not
   * flushed: a file whose name a power cut took is a missing file, which resume notices.
   * @throws SpateError (LOCAL_IO, DISK_FULL) naming the file; it stays due
   */
  sync(): Promise<void> {
    return this.#run(async () => {
      // One after the other: a second caller must not find nothing due while the first one's flush is under way.
      const previous = this.#syncing;
      this.#syncing = previous.catch(() => {}).then(() => this.#sync());
      await this.#syncing;
      this.#throwCloseFailure();
    });
  }

  /** Closes every file after the operations in flight. @throws SpateError when a file that was written cannot be closed */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #sync(): Promise<void> {
    const due = [...this.#dirty];
    const keepDue = (index: number) => (error: unknown) => {
      this.#dirty.add(index);
      throw error;
    };
    const flush = async (index: number): Promise<void> => {
      this.#dirty.delete(index);
      await this.#flush(this.#file(index, true)).catch(keepDue(index));
    };
    await each(due, flush, FLUSHES);
    // After the last flush, which may take seconds: whoever records the files looks at them next.
    await each(due, (index) => this.#file(index, true).assertInPlace().catch(keepDue(index)));
  }

  #flush(file: TorrentFile): Promise<void> {
    return this.#openFiles.use(file, (fd) =>
      call((done) => this.#disk.fdatasync(fd, done)).catch((error) => {
        throw fileError(`sync ${file.path}`, error);
      }),
    );
  }

  async #close(): Promise<void> {
    if (this.#active > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await each([...this.#opened.values()], (file) => this.#openFiles.drop(file));
    this.#throwCloseFailure();
  }

  async #run(operation: () => Promise<void>): Promise<void> {
    if (this.#closing !== undefined) throw new SpateError('CLOSED', `the files in ${this.#context.root} are closed`);
    this.#active++;
    try {
      await operation();
    } finally {
      this.#active--;
      if (this.#active === 0) this.#onIdle?.();
    }
  }

  #assertWritable(): void {
    if (this.#readonly) throw new SpateError('INTERNAL', `${this.#context.root} is open for reading only`);
  }

  /** Bytes written to a file without a name are lost, and a file that was cut has lost some. */
  async #assertIntact(fd: number, path: string, { length, position }: FileEntry): Promise<void> {
    const facts = await call<FileFacts>((done) => this.#disk.fstat(fd, done)).catch((error) => {
      throw fileError(`look at ${path}`, error);
    });
    if (facts.nlink === 0n) throw fileError(`write ${path}`, changed(length, 'removed'));
    if (position === undefined && facts.size < length) throw fileError(`write ${path}`, changed(length, facts.size));
  }

  #throwCloseFailure(): void {
    if (this.#context.closeFailure !== undefined) throw this.#context.closeFailure;
  }

  #file(index: number, writing: boolean): TorrentFile {
    const { path, position } = this.#files[index]!;
    const key = position === undefined ? index * 2 + Number(writing) : `${writing} ${path.join('/')}`;
    let file = this.#opened.get(key);
    if (file === undefined) {
      file = new TorrentFile(this.#context, this.#files[index]!, writing);
      this.#opened.set(key, file);
    }
    return file;
  }

  #chunks(offset: number, views: readonly Uint8Array[]): Chunk[] {
    if (views.some((view) => view.byteLength === 0)) throw transferred(this.#context.root);
    try {
      return chunks(this.#files, offset, views);
    } catch (error) {
      throw new SpateError('INTERNAL', `${this.#context.root}: ${(error as RangeError).message}`, { cause: error });
    }
  }

  /** Writes or reads a whole chunk; the system may take or give less at a time. */
  async #move(what: 'read' | 'write', fd: number, path: string, chunk: Chunk): Promise<void> {
    let { position, length, views } = chunk;
    for (;;) {
      if (totalLength(views) !== length) throw transferred(path);
      const moved = await this.#moveSome(what, fd, views, position).catch((error) => {
        throw fileError(`${what} ${path}`, error);
      });
      if (moved === length) return;
      if (moved === 0) {
        const found = what === 'read' ? 'found the end of the file' : 'none was taken';
        throw fileError(`${what} ${path}`, new Error(`expected ${length} bytes at ${position}, ${found}`));
      }
      views = withoutFirst(views, moved);
      position += moved;
      length -= moved;
    }
  }

  #moveSome(what: 'read' | 'write', fd: number, views: readonly Uint8Array[], position: number): Promise<number> {
    return call((done) => {
      if (what === 'read') this.#disk.readv(fd, views, position, done);
      else this.#disk.writev(fd, views, position, done);
    });
  }
}

function transferred(path: string): SpateError {
  return new SpateError('INTERNAL', `${path}: a buffer was transferred away while in use`);
}

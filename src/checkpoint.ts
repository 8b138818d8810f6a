/**
 * What of one torrent would survive a power cut, and the record of it: it owns which pieces are flushed, which are only
 * written, and the resume state that names the former. It holds the lock of the path that is written to. Its owner tells it
 * what was written and when to look at the clock.
 *
 * The order that makes a state true: the pieces to be named are taken, their files flushed, and only then looked at for size
 * and time of last change; a piece that is written meanwhile is named next time. A change in between, also our own, makes the
 * file differ from its record, and costs hashing it.
 */
import { join } from 'node:path';
import type { CheckMode } from './api.js';
import { messageOf, SpateError } from './errors.js';
import { fold } from './protocol/paths.js';
import type { Disk } from './storage/disk.js';
import { flushFile, recordAll, recordOf, type Trust, trustIn } from './storage/file-records.js';
import type { FolderFlushes } from './storage/folder-flush.js';
import { takeFolderLock } from './storage/folder-lock.js';
import { realPath } from './storage/folders.js';
import { each } from './storage/lanes.js';
import { type FileEntry, spans } from './storage/layout.js';
import { type Lock, takeLock } from './storage/lock.js';
import type { FileRecord } from './storage/resume-state.js';
import { ResumeStore } from './storage/resume-store.js';
import { lockFolder, stateKey, statePath } from './storage/state-folder.js';
import type { Storage } from './storage/storage.js';
import { Bitfield } from './torrent/bitfield.js';
import type { Geometry, PieceIndex } from './torrent/geometry.js';

export interface CheckpointSettings {
  /** Where states and locks are kept. */
  readonly stateFolder: string;
  /** Folder of the payload. */
  readonly root: string;
  readonly name: string;
  readonly infohash: Uint8Array;
  /** As they lie on disk. */
  readonly files: readonly FileEntry[];
  /** Every file that may hold bytes, in an order that no choice of files changes: those that the state tells of; `files` when absent. */
  readonly places?: readonly FileEntry[];
  readonly geometry: Geometry;
  readonly storage: Pick<Storage, 'sync'>;
  readonly disk: Disk;
  /** Of the same disk. */
  readonly folders: FolderFlushes;
  readonly saveEveryMs: number;
  readonly random: () => number;
  readonly onWarning: (message: string) => void;
}

export class Checkpoint {
  readonly #settings: CheckpointSettings;
  readonly #file: ResumeStore;
  readonly #lockKey: string;
  readonly #places: readonly FileEntry[];
  /** The place of each file. */
  readonly #placeOf: readonly number[];
  readonly #locks: Lock[] = [];
  /** Pieces that are flushed. */
  readonly #flushed: Bitfield;
  /** Pieces that are written, or were found written, since the last flush. */
  #written: PieceIndex[] = [];
  /** Places that hold pieces which this process has not written. */
  readonly #foreign = new Set<number>();
  /** Places written since they were last looked at. */
  #touched = new Set<number>();
  #records: FileRecord[] = [];
  #partials = new Map<PieceIndex, Uint8Array>();
  #isDue = false;
  #saving: Promise<void> | undefined;
  /** The first time that it is told of is as good as a save: a download that ends soon is saved once. */
  #savedAt: number | undefined;
  #failure: unknown;

  constructor(settings: CheckpointSettings) {
    const { infohash, geometry, files, places = files, stateFolder, root, name, disk, folders } = settings;
    this.#settings = settings;
    this.#places = places;
    this.#placeOf = placesIn(places, files);
    const folder = realPath(root);
    this.#lockKey = `path ${join(folder, fold(name))}`;
    this.#file = new ResumeStore(
      statePath(stateFolder, stateKey(infohash, folder)),
      { infohash, geometry, fileCount: places.length },
      disk,
      folders,
    );
    this.#flushed = new Bitfield(geometry.pieceCount);
  }

  /**
   * Makes this the only download to its path, of this torrent or another one of its name, until `close`. A lock that cannot be had for
   * want of a usable folder is a warning.
   * @throws SpateError ALREADY_RUNNING
   */
  async lock(): Promise<void> {
    const { stateFolder, random, root, name, onWarning } = this.#settings;
    const inFolder = await takeFolderLock(root, fold(name));
    if (inFolder !== undefined) this.#locks.push(inFolder);
    try {
      const byPath = inFolder && (await takeLock(lockFolder(stateFolder), this.#lockKey, random));
      if (byPath !== undefined) return void this.#locks.push(byPath);
    } catch (error) {
      return onWarning(`${messageOf(error)}; a second download of ${name} into ${root} may not be kept out`);
    }
    this.close();
    throw new SpateError(
      'ALREADY_RUNNING',
      `${name} is being downloaded into ${root} by another process; wait for it, or stop it`,
    );
  }

  /**
   * What can be believed of the last run; everything must be hashed when that is nothing. Files are looked at first.
   * @param files as they lie on disk now, where that is not yet as they will be
   */
  async recall(mode: CheckMode, files: readonly FileEntry[] = this.#settings.files): Promise<Trust> {
    const { root, geometry, disk, onWarning } = this.#settings;
    this.#records = await recordAll(root, this.#places, disk);
    this.#warnOfLonger();
    const { pieceCount } = geometry;
    const none: Trust = { judged: new Bitfield(pieceCount), good: new Bitfield(pieceCount), partials: new Map() };
    const blind = mode === 'none' ? trustNothing(pieceCount) : none;
    if (mode === 'full') return none;
    try {
      const state = await this.#file.load();
      if (state === undefined) return blind;
      const placeOf = files === this.#settings.files ? this.#placeOf : placesIn(this.#places, files);
      const ofFiles = (records: readonly FileRecord[]) => placeOf.map((place) => records[place]!);
      const before = { ...state, files: ofFiles(state.files) };
      const trust = trustIn(before, ofFiles(this.#records), files, geometry, mode === 'auto');
      this.#partials = new Map(trust.partials);
      return mode === 'none' ? { ...trust, judged: blind.judged } : trust;
    } catch (error) {
      onWarning(
        `${messageOf(error)}; ${mode === 'none' ? 'nothing is taken as good' : 'hashing what is on disk instead'}`,
      );
      return blind;
    }
  }

  /** What the check has found. @param trusted pieces that were flushed in an earlier run */
  onChecked(have: Bitfield, trusted: Bitfield): void {
    for (const piece of have as Iterable<PieceIndex>) {
      if (trusted.has(piece)) this.#flushed.set(piece);
      else {
        this.#written.push(piece);
        for (const file of this.#filesOf(piece)) this.#foreign.add(file);
        this.#isDue = true;
      }
    }
  }

  /** A piece is with the operating system. */
  onWritten(piece: PieceIndex): void {
    this.#written.push(piece);
    for (const file of this.#filesOf(piece)) this.#touched.add(file);
    this.#partials.delete(piece);
    this.#isDue = true;
  }

  /** Blocks of an unfinished piece are with the operating system, in their place. */
  onSpilled(piece: PieceIndex, present: Uint8Array): void {
    this.#partials.set(piece, present);
    for (const file of this.#filesOf(piece)) this.#touched.add(file);
    this.#isDue = true;
  }

  /** Bytes that count for nothing yet were written: the files they are in have changed by us. */
  onFilled(offset: number, length: number): void {
    for (const file of this.#filesIn(offset, length)) this.#touched.add(file);
    this.#isDue = true;
  }

  /** The blocks of an unfinished piece are of no use. */
  onForgotten(piece: PieceIndex): void {
    if (this.#partials.delete(piece)) this.#isDue = true;
  }

  /** Starts to flush and save when it is time to. Never rejects: `finish` does. */
  onTick(now: number): void {
    this.#savedAt ??= now;
    if (!this.#isDue || this.#saving !== undefined || now - this.#savedAt < this.#settings.saveEveryMs) return;
    this.#savedAt = now;
    this.#saving = this.#save().finally(() => {
      this.#saving = undefined;
    });
  }

  /**
   * Flushes and saves what is left.
   * @throws SpateError when a file of the payload could not be flushed, now or earlier
   */
  async finish(): Promise<void> {
    await this.#saving;
    if (this.#isDue) await this.#save();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * As `finish`, for one that holds no lock: where a download is at work, the state is the download's. The lock is held no
   * longer than the writing of the state takes.
   */
  async finishIfFree(): Promise<void> {
    if (!this.#isDue || !(await this.#flush())) return;
    try {
      await this.lock();
    } catch {
      return;
    }
    await this.#store(new Map(this.#partials));
    this.close();
  }

  /** Gives the lock back. Safe to call again. */
  close(): void {
    for (const lock of this.#locks.splice(0)) lock.release();
  }

  async #save(): Promise<void> {
    const partials = new Map(this.#partials);
    if (await this.#flush()) await this.#store(partials);
  }

  /** Flushes what is written; what is written meanwhile is not counted. @returns whether all that is named is safe */
  async #flush(): Promise<boolean> {
    // After a flush that failed the kernel may call lost pages clean: the next one proves nothing.
    if (this.#failure !== undefined) return false;
    const { root, disk, storage } = this.#settings;
    const [named, touched] = [this.#written, this.#touched];
    this.#written = [];
    this.#touched = new Set();
    this.#isDue = false;
    try {
      await storage.sync();
      const lost = await this.#flushForeign();
      // What was hashed and not written keeps the record from before it was hashed.
      await each([...touched], async (file) => {
        this.#records[file] = await recordOf(root, this.#places[file]!, disk);
      });
      for (const piece of named) if (!this.#filesOf(piece).some((file) => lost.has(file))) this.#flushed.set(piece);
      return true;
    } catch (error) {
      this.#failure = error;
      return false;
    }
  }

  async #store(partials: ReadonlyMap<PieceIndex, Uint8Array>): Promise<void> {
    try {
      await this.#file.save({ have: this.#flushed, files: this.#records, partials });
    } catch (error) {
      this.#isDue = true;
      this.#settings.onWarning(messageOf(error));
    }
  }

  /** @returns files that could not be flushed: what they hold is hashed again next time */
  async #flushForeign(): Promise<Set<number>> {
    const { root, disk } = this.#settings;
    const lost = new Set<number>();
    for (const file of this.#foreign) await flushFile(root, this.#places[file]!, disk).catch(() => lost.add(file));
    this.#foreign.clear();
    return lost;
  }

  /** The places with a byte of a piece. */
  #filesOf(piece: PieceIndex): number[] {
    const { geometry } = this.#settings;
    return this.#filesIn(geometry.offsetOf(piece), geometry.lengthOf(piece));
  }

  /** The places with a byte of a range of the torrent. */
  #filesIn(offset: number, length: number): number[] {
    const { files } = this.#settings;
    return spans(files, offset, length)
      .filter(({ file }) => !files[file]!.pad)
      .map(({ file }) => this.#placeOf[file]!);
  }

  #warnOfLonger(): void {
    const { root, onWarning } = this.#settings;
    this.#records.forEach(({ size }, index) => {
      const { path, length } = this.#places[index]!;
      if (size > length)
        onWarning(`${join(root, ...path)} has ${size} bytes, expected ${length}; the first ones count`);
    });
  }
}

/** The index in `places` of each file, by its path; its own index where it has one to itself. */
function placesIn(places: readonly FileEntry[], files: readonly FileEntry[]): number[] {
  if (files === places) return [...files.keys()];
  const byPath = new Map(places.map(({ path }, place) => [path.join('/'), place]));
  return files.map(({ path }) => byPath.get(path.join('/'))!);
}

/** Nothing is hashed, and nothing is vouched for. */
export function trustNothing(pieceCount: number): Trust {
  return { judged: Bitfield.full(pieceCount), good: new Bitfield(pieceCount), partials: new Map() };
}

/**
 * One torrent's files: what is there, what is wanted, how it is kept. It owns the choice of files, their table as they lie on
 * disk, the store with its write queue, and the checkpoint. No swarm, and no state: its owner (`download.ts`) says what is next.
 *
 * Storage given from outside has none of that but the queue: no lock, no resume state, no part file, no room taken ahead.
 */
import type { DownloadSettings } from './api.js';
import { Checkpoint, trustNothing } from './checkpoint.js';
import { messageOf, type SpateError } from './errors.js';
import type { DownloadHost } from './host.js';
import type { Metainfo } from './protocol/metainfo.js';
import { type Partial, Spills } from './spill.js';
import { allocate } from './storage/allocate.js';
import type { Trust } from './storage/file-records.js';
import { FileStore } from './storage/files.js';
import { finishFiles } from './storage/finish.js';
import type { FileEntry } from './storage/layout.js';
import { paddingChecked } from './storage/padding.js';
import {
  copyFromPart,
  type DiskTableInput,
  diskTable,
  hasPartFile,
  liesElsewhere,
  placesOf,
  removePartFile,
  tableBefore,
  usesPartFile,
} from './storage/part-file.js';
import { Selection } from './storage/selection.js';
import type { Storage } from './storage/storage.js';
import { verifyFiles } from './storage/verify.js';
import { WriteQueue } from './storage/write-queue.js';
import { Bitfield } from './torrent/bitfield.js';
import type { Geometry, PieceIndex } from './torrent/geometry.js';
import { RateMeter } from './torrent/rate-meter.js';

export interface ContentSettings {
  readonly metainfo: Metainfo;
  readonly geometry: Geometry;
  readonly settings: Pick<DownloadSettings, 'out' | 'fetch' | 'check' | 'select' | 'storage'>;
  readonly host: Pick<
    DownloadHost<never>,
    'options' | 'openFiles' | 'folders' | 'stateFolder' | 'verifyThreads' | 'random' | 'now'
  >;
  readonly onWarning: (message: string) => void;
}

/** What is there. */
export interface Checked {
  /** Of all pieces. */
  readonly have: Bitfield;
  /** Of the chosen ones: how many are good, how many of these were not hashed, and how many there are. */
  readonly pieces: number;
  readonly trusted: number;
  readonly of: number;
}

export class Content {
  /** The file table as the bytes lie on disk. */
  readonly files: readonly FileEntry[];
  /** Pieces to fetch. */
  readonly wanted: Bitfield;
  readonly queue: WriteQueue;
  /** Unfinished pieces on disk; none with storage from outside, which may keep nothing. */
  readonly spills: Spills | undefined;
  readonly #settings: ContentSettings;
  readonly #fetches: boolean;
  readonly #selection: Selection;
  readonly #store: Storage;
  readonly #checkpoint: Checkpoint | undefined;
  /** Of hashing. */
  readonly #checking = new RateMeter();
  readonly #table: DiskTableInput;
  /** There was a part file when it was checked; no other is made but by a table that uses one. */
  #hadPart = false;
  #progress = 0;
  #have = 0;
  /** Bytes of all verified pieces on disk. */
  #verified = 0;

  /** @throws SpateError USAGE for a choice of files that the torrent does not have */
  constructor(settings: ContentSettings) {
    const { metainfo, geometry, host } = settings;
    const { out, fetch, select, storage } = settings.settings;
    this.#settings = settings;
    this.#fetches = fetch !== false;
    this.#selection = new Selection(metainfo.files, geometry, this.#fetches ? select : undefined);
    this.wanted = this.#fetches ? this.#selection.pieces : new Bitfield(geometry.pieceCount);
    const { infohash, files } = metainfo;
    this.#table = { root: out, infohash, files, geometry, wanted: this.#selection.files, readonly: !this.#fetches };
    this.files = storage === undefined ? diskTable(this.#table) : files;
    this.#store = storage ?? new FileStore({ root: out, files: this.files, openFiles: host.openFiles });
    const verified = storage ?? paddingChecked(this.files, this.#store);
    this.queue = new WriteQueue({ storage: verified, geometry, options: host.options });
    this.#checkpoint = storage === undefined ? this.#createCheckpoint() : undefined;
    this.spills = storage === undefined ? this.#createSpills(this.#store) : undefined;
  }

  /** Bytes of the chosen files. */
  get length(): number {
    return this.#selection.length;
  }

  /** Of those, in verified pieces on disk. */
  get have(): number {
    return this.#have;
  }

  /** Of those, to be fetched. */
  get left(): number {
    return this.#fetches ? this.length - this.#have : 0;
  }

  /** Bytes of the torrent that are not there, wanted or not: what makes a seed to others. */
  get lacking(): number {
    return this.#settings.metainfo.length - this.#verified;
  }

  /** Bytes judged by `check`, or written by `allocate`, so far. */
  get progress(): number {
    return this.#progress;
  }

  /** Bytes hashed per second. */
  checkRate(now: number): number {
    return this.#checking.bytesPerSecond(now);
  }

  /**
   * Takes the lock, and judges what is on disk.
   * @throws SpateError ALREADY_RUNNING, LOCAL_IO; the reason of `signal`
   */
  async check(signal: AbortSignal): Promise<Checked> {
    const { metainfo, geometry, host, settings } = this.#settings;
    // Who only reads may do so beside others.
    if (this.#fetches) await this.#checkpoint?.lock();
    this.#hadPart = settings.storage === undefined && this.#fetches && hasPartFile(settings.out, metainfo.infohash);
    const files = this.#hadPart ? tableBefore(this.#table) : this.files;
    const trust = await this.#recall(files);
    const have = await verifyFiles({
      root: settings.out,
      files,
      geometry,
      hashes: metainfo.pieceHashes,
      ...(trust !== undefined && { judged: trust.judged }),
      threads: host.verifyThreads,
      signal,
      onProgress: (bytes) => {
        this.#checking.add(bytes - this.#progress, host.now());
        this.#progress = bytes;
      },
    });
    const trusted = new Bitfield(geometry.pieceCount);
    for (const piece of trust?.good ?? []) if (trust?.judged.has(piece)) trusted.set(piece);
    for (const piece of trusted) have.set(piece);
    this.#checkpoint?.onChecked(have, trusted);
    await this.#useParts(files, have);
    await this.#usePartials(files, have, trust?.partials ?? new Map());
    if (!this.#fetches) await this.#checkpoint?.finishIfFree();
    return this.#count(have, trusted);
  }

  /** What is in the part file alone and belongs to a file that is wanted now goes there. */
  async #useParts(before: readonly FileEntry[], have: Bitfield): Promise<void> {
    const { metainfo, geometry, host, settings } = this.#settings;
    const { infohash } = metainfo;
    const [root, openFiles] = [settings.out, host.openFiles];
    const tables = { root, infohash, before, after: this.files, geometry, have, openFiles };
    for (const piece of await copyFromPart(tables, this.#store)) this.#checkpoint?.onWritten(piece);
  }

  /** Blocks of unfinished pieces that lie elsewhere than they shall go there; those that cannot be read are fetched again. */
  async #usePartials(before: readonly FileEntry[], have: Bitfield, partials: Trust['partials']): Promise<void> {
    const { geometry, host, settings } = this.#settings;
    const { spills } = this;
    if (spills === undefined || partials.size === 0) return;
    const store = new FileStore({ root: settings.out, files: before, openFiles: host.openFiles, readonly: true });
    const source = this.#createSpills(store);
    try {
      for (const [piece, present] of partials) {
        if (!this.wanted.has(piece) || have.has(piece)) continue;
        const [offset, length] = [geometry.offsetOf(piece), geometry.lengthOf(piece)];
        if (!liesElsewhere(before, this.files, offset, length)) {
          spills.found(piece, present);
          continue;
        }
        const buffer = new ArrayBuffer(length);
        source.found(piece, present);
        if ((await source.read(piece, buffer)) !== undefined) await spills.write(piece, { buffer, present });
      }
    } finally {
      await store.close();
    }
  }

  #count(have: Bitfield, trusted: Bitfield): Checked {
    const chosen = this.#selection.pieces;
    const counts = { pieces: 0, trusted: 0 };
    for (const piece of have as Iterable<PieceIndex>) {
      this.#add(piece);
      if (!chosen.has(piece)) continue;
      counts.pieces++;
      if (trusted.has(piece)) counts.trusted++;
    }
    return { have, ...counts, of: chosen.count };
  }

  async #recall(files: readonly FileEntry[]): Promise<Trust | undefined> {
    const { geometry, settings } = this.#settings;
    const { check = 'auto' } = settings;
    if (this.#checkpoint !== undefined) return await this.#checkpoint.recall(check, files);
    return check === 'none' ? trustNothing(geometry.pieceCount) : undefined;
  }

  /** Makes the folder and the empty files. */
  async prepare(): Promise<void> {
    if (this.#fetches) await this.#store.prepare();
  }

  /** Takes the room for what is missing. @throws SpateError DISK_FULL, LOCAL_IO; the reason of `signal` */
  async allocate(have: Bitfield, signal: AbortSignal): Promise<void> {
    const { geometry, settings } = this.#settings;
    this.#progress = 0;
    if (settings.storage !== undefined) return;
    await allocate({
      root: settings.out,
      files: this.files,
      geometry,
      storage: this.#store,
      have,
      wanted: this.wanted,
      isKept: (piece) => this.spills?.has(piece) === true,
      signal,
      onFilled: (offset, length) => {
        this.#progress += length;
        this.#checkpoint?.onFilled(offset, length);
      },
    });
  }

  /** A verified piece is with the operating system. */
  onWritten(piece: PieceIndex): void {
    this.#add(piece);
    this.#checkpoint?.onWritten(piece);
  }

  #add(piece: PieceIndex): void {
    this.#have += this.#selection.bytesIn(piece);
    this.#verified += this.#settings.geometry.lengthOf(piece);
  }

  onTick(now: number): void {
    if (this.#fetches) this.#checkpoint?.onTick(now);
  }

  /**
   * What is written is flushed, what is unfinished spilled, and both named in the resume state.
   * @param failure of the download: what has the same cause is not told again
   */
  async save(partials: ReadonlyMap<PieceIndex, Partial>, failure?: SpateError): Promise<void> {
    if (this.#checkpoint === undefined || !this.#fetches) return;
    await this.spills?.idle();
    const losses: SpateError[] = [];
    for (const [piece, partial] of partials) {
      await this.spills?.write(piece, partial).catch((error: SpateError) => losses.push(error));
    }
    const loss = losses.find(({ code }) => code !== failure?.code);
    if (loss !== undefined) this.#settings.onWarning(`unfinished pieces are lost: ${messageOf(loss)}`);
    await this.#checkpoint.finish();
  }

  /** The payload is there: what belongs to it beside its bytes, and away with the part file when nothing is in it. */
  async finish(): Promise<void> {
    const { metainfo, settings, onWarning } = this.#settings;
    if (!this.#fetches || settings.storage !== undefined) return;
    await finishFiles(settings.out, this.files, onWarning);
    if (this.#hadPart && !usesPartFile(this.files, metainfo.infohash)) {
      await removePartFile(settings.out, metainfo.infohash);
    }
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  /** Gives the lock back. */
  release(): void {
    this.#checkpoint?.close();
  }

  #createSpills(storage: Storage): Spills {
    return new Spills({
      geometry: this.#settings.geometry,
      storage,
      onSpilled: (piece, present) => this.#checkpoint?.onSpilled(piece, present),
      onForgotten: (piece) => this.#checkpoint?.onForgotten(piece),
    });
  }

  #createCheckpoint(): Checkpoint | undefined {
    const { metainfo, geometry, settings, host, onWarning } = this.#settings;
    const { stateFolder, options, random, openFiles, folders } = host;
    if (stateFolder === undefined) return undefined;
    const { infohash, name } = metainfo;
    return new Checkpoint({
      stateFolder,
      root: settings.out,
      name,
      infohash,
      files: this.files,
      places: placesOf(metainfo.files, infohash),
      geometry,
      storage: this.#store,
      disk: openFiles.disk,
      folders,
      saveEveryMs: options.saveEveryMs,
      random,
      onWarning,
    });
  }
}

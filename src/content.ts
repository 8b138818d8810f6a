/**
 * One torrent's files: what is there, what is wanted, how it is kept. It owns the choice of files, their table as they lie on
 * disk, the store with its write queue, and the checkpoint. No swarm, and no state: its owner (`download.ts`) says what is next.
 *
 * Storage given from outside has none of that but the queue: no lock, no resume state, no part file, no room taken ahead.
 */
import type { DownloadSettings } from './api.js';
import { Checkpoint, trustNothing } from './checkpoint.js';
import { messageOf } from './errors.js';
import type { DownloadHost } from './host.js';
import type { Metainfo } from './protocol/metainfo.js';
import { spill, unspill } from './spill.js';
import { allocate } from './storage/allocate.js';
import type { Trust } from './storage/file-records.js';
import { FileStore } from './storage/files.js';
import { finishFiles } from './storage/finish.js';
import type { FileEntry } from './storage/layout.js';
import { diskTable, placesOf, removePartFile, usesPartFile } from './storage/part-file.js';
import { Selection } from './storage/selection.js';
import type { Storage } from './storage/storage.js';
import { verifyFiles } from './storage/verify.js';
import { WriteQueue } from './storage/write-queue.js';
import { Bitfield } from './torrent/bitfield.js';
import type { Geometry, PieceIndex } from './torrent/geometry.js';
import { RateMeter } from './torrent/rate-meter.js';
import type { Partial } from './transfer.js';

export interface ContentSettings {
  readonly metainfo: Metainfo;
  readonly geometry: Geometry;
  readonly settings: Pick<DownloadSettings, 'out' | 'fetch' | 'check' | 'select' | 'storage'>;
  readonly host: Pick<
    DownloadHost<never>,
    'options' | 'openFiles' | 'stateFolder' | 'verifyThreads' | 'random' | 'budget' | 'now'
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
  readonly #settings: ContentSettings;
  readonly #fetches: boolean;
  readonly #selection: Selection;
  readonly #store: Storage;
  readonly #checkpoint: Checkpoint | undefined;
  /** Of hashing. */
  readonly #checking = new RateMeter();
  #partials: Trust['partials'] = new Map();
  #progress = 0;
  #have = 0;

  /** @throws SpateError USAGE for a choice of files that the torrent does not have */
  constructor(settings: ContentSettings) {
    const { metainfo, geometry, host } = settings;
    const { out, fetch, select, storage } = settings.settings;
    this.#settings = settings;
    this.#fetches = fetch !== false;
    this.#selection = new Selection(metainfo.files, geometry, this.#fetches ? select : undefined);
    this.wanted = this.#fetches ? this.#selection.pieces : new Bitfield(geometry.pieceCount);
    const { infohash, files } = metainfo;
    const table = { root: out, infohash, files, geometry, wanted: this.#selection.files, readonly: !this.#fetches };
    this.files = storage === undefined ? diskTable(table) : files;
    this.#store = storage ?? new FileStore({ root: out, files: this.files, openFiles: host.openFiles });
    this.queue = new WriteQueue({ storage: this.#store, geometry, options: host.options });
    this.#checkpoint = storage === undefined ? this.#createCheckpoint() : undefined;
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
    const trust = await this.#recall();
    this.#partials = trust?.partials ?? new Map();
    const have = await verifyFiles({
      root: settings.out,
      files: this.files,
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
    if (!this.#fetches) await this.#checkpoint?.finishIfFree();
    return this.#count(have, trusted);
  }

  #count(have: Bitfield, trusted: Bitfield): Checked {
    const chosen = this.#selection.pieces;
    const counts = { pieces: 0, trusted: 0 };
    for (const piece of have as Iterable<PieceIndex>) {
      this.#have += this.#selection.bytesIn(piece);
      if (!chosen.has(piece)) continue;
      counts.pieces++;
      if (trusted.has(piece)) counts.trusted++;
    }
    return { have, ...counts, of: chosen.count };
  }

  async #recall(): Promise<Trust | undefined> {
    const { geometry, settings } = this.#settings;
    const { check = 'auto' } = settings;
    if (this.#checkpoint !== undefined) return await this.#checkpoint.recall(check);
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
      signal,
      onProgress: (bytes) => {
        this.#progress = bytes;
      },
    });
  }

  /** Reads back the unfinished pieces of an earlier run. @param adopt takes each, with its buffer */
  async restore(have: Bitfield, adopt: (piece: PieceIndex, partial: Partial) => void): Promise<void> {
    const { geometry, host } = this.#settings;
    const due = new Map([...this.#partials].filter(([piece]) => this.wanted.has(piece) && !have.has(piece)));
    await unspill(due, geometry, this.#store, host.budget, adopt);
  }

  /** A verified piece is with the operating system. */
  onWritten(piece: PieceIndex): void {
    this.#have += this.#selection.bytesIn(piece);
    this.#checkpoint?.onWritten(piece);
  }

  onTick(now: number): void {
    if (this.#fetches) this.#checkpoint?.onTick(now);
  }

  /** What is written is flushed, what is unfinished spilled, and both named in the resume state. */
  async save(partials: ReadonlyMap<PieceIndex, Partial>): Promise<void> {
    if (this.#checkpoint === undefined || !this.#fetches) return;
    let spilled = new Map<PieceIndex, Uint8Array>();
    try {
      spilled = await spill(partials, this.#settings.geometry, this.#store);
    } catch (error) {
      this.#settings.onWarning(`unfinished pieces are lost: ${messageOf(error)}`);
    }
    await this.#checkpoint.finish(spilled);
  }

  /** The payload is there: what belongs to it beside its bytes, and away with the part file when nothing is in it. */
  async finish(): Promise<void> {
    const { metainfo, settings } = this.#settings;
    if (!this.#fetches || settings.storage !== undefined) return;
    await finishFiles(settings.out, this.files);
    if (this.#selection.files === undefined || !usesPartFile(this.files, metainfo.infohash)) {
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

  #createCheckpoint(): Checkpoint | undefined {
    const { metainfo, geometry, settings, host, onWarning } = this.#settings;
    const { stateFolder, options, random, openFiles } = host;
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
      saveEveryMs: options.saveEveryMs,
      random,
      onWarning,
    });
  }
}

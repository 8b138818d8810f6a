/**
 * One torrent's story: hash what is on disk, join the swarm, fetch what is missing, and then seed or leave. Wires metainfo,
 * storage, peer list, announcer and transfer, each of which is a value of its own; the session it lives in owns what the
 * torrents share. Part of the public API.
 *
 * | state | leaves it when |
 * | --- | --- |
 * | checking | hashed -> complete or seeding when nothing is missing, else downloading |
 * | downloading | the last wanted piece is on disk -> complete or seeding; a timeout or an error -> failed |
 * | seeding | an error -> failed |
 * | complete, failed, stopped | never; any state but these -> stopped by `stop` |
 */
import { resolve } from 'node:path';
import type { DownloadEvent, DownloadSettings, DownloadState, DownloadStats } from './api.js';
import type { Announcer, TrackerStatus } from './discovery/announcer.js';
import { SpateError } from './errors.js';
import type { FromGroup, ToGroup, TorrentStats } from './messages.js';
import type { Options } from './options.js';
import { Peers } from './peers.js';
import type { Family } from './protocol/address.js';
import type { Metainfo } from './protocol/metainfo.js';
import type { EncryptionMode } from './protocol/mse.js';
import { FileStore } from './storage/files.js';
import type { OpenFiles } from './storage/open-files.js';
import { verifyFiles } from './storage/verify.js';
import { WriteQueue } from './storage/write-queue.js';
import { Bitfield } from './torrent/bitfield.js';
import type { ByteBudget } from './torrent/byte-budget.js';
import { Geometry, type PieceIndex } from './torrent/geometry.js';
import { RateMeter } from './torrent/rate-meter.js';
import { SharedMemory } from './torrent/shared-memory.js';
import { Transfer } from './transfer.js';

/** What the torrents of a session share. */
export interface DownloadHost {
  readonly options: Options;
  readonly encryption: EncryptionMode;
  /** Address families that can be listened on and dialled from. */
  readonly families: readonly Family[];
  readonly groupCount: number;
  readonly budget: ByteBudget;
  readonly openFiles: OpenFiles;
  readonly verifyThreads: number;
  /** The announced port. */
  readonly port: number;
  readonly random: () => number;
  now(): number;
  createPeerId(): Uint8Array;
  createAnnouncer(settings: ConstructorParameters<typeof Announcer>[0]): Announcer;
  send(group: number, message: ToGroup): void;
  /** Groups to serve a torrent with, the least loaded first. */
  placeTorrent(pieceLength: number): number[];
  /** Leases may be possible now. */
  onCanLease(download: Download): void;
  /** Addresses wait to be dialled. */
  onCanDial(): void;
  /** The download has ended; nothing more will be sent for it. */
  onEnded(download: Download): void;
}

export class Download {
  readonly metainfo: Metainfo;
  readonly key: number;
  readonly #host: DownloadHost;
  readonly #settings: DownloadSettings;
  readonly #geometry: Geometry;
  readonly #peerId: Uint8Array;
  readonly #peers: Peers;
  readonly #store: FileStore;
  readonly #queue: WriteQueue;
  readonly #abort = new AbortController();
  readonly #down = new RateMeter();
  readonly #up = new RateMeter();
  readonly #running: Promise<void>;
  #state: DownloadState = 'checking';
  readonly #done = deferred();
  readonly #ended = deferred();
  #announcer: Announcer | undefined;
  #transfer: Transfer | undefined;
  #memory: SharedMemory | undefined;
  readonly #wanted: Bitfield;
  /** Groups that know the torrent, with the statistics each sent last. */
  readonly #groups = new Map<number, TorrentStats | undefined>();
  /** Groups that have not given their last buffer back. */
  readonly #leaving = new Set<number>();
  #onLeft: (() => void) | undefined;
  /** Written since the groups were last told. */
  #news: PieceIndex[] = [];
  #newsAt = 0;
  #checked = 0;
  #haveBytes = 0;
  #activatedAt = 0;
  #progressAt = 0;
  #downloaded = 0;
  #uploaded = 0;
  #wasted = 0;
  #lastTrackerError: string | undefined;
  #stopping: Promise<void> | undefined;

  constructor(key: number, metainfo: Metainfo, settings: DownloadSettings, host: DownloadHost) {
    this.key = key;
    this.metainfo = metainfo;
    this.#settings = settings;
    this.#host = host;
    this.#geometry = new Geometry(metainfo);
    this.#peerId = host.createPeerId();
    this.#peers = new Peers(
      {
        torrent: key,
        ownId: this.#peerId,
        options: host.options,
        encryption: host.encryption,
        families: host.families,
        send: (group, message) => host.send(group, message),
      },
      {
        onCanDial: () => host.onCanDial(),
        onPeer: (what, address, peerId) => this.#emit({ type: 'peer', what, address, ...(peerId && { peerId }) }),
        onWarning: (message) => this.#emit({ type: 'warning', message }),
      },
    );
    const { pieceCount } = this.#geometry;
    this.#wanted = settings.fetch === false ? new Bitfield(pieceCount) : Bitfield.full(pieceCount);
    this.#store = new FileStore({ root: settings.out, files: metainfo.files, openFiles: host.openFiles });
    this.#queue = new WriteQueue({ storage: this.#store, geometry: this.#geometry, options: host.options });
    this.#running = this.#run();
  }

  /**
   * Resolves when every wanted piece is verified on disk or, with `fetch: false`, when what is there has been hashed. Rejects
   * with a `SpateError`, CLOSED when `stop` came first.
   */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Resolves when the torrent has left its swarm, however far it came; rejects when a failure ended it, while seeding too. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get state(): DownloadState {
    return this.#state;
  }

  /** Where the payload is: the file or the folder. */
  get path(): string {
    return resolve(this.#settings.out, this.metainfo.name);
  }

  get dialling(): number {
    return this.#peers.dialling;
  }

  get connected(): number {
    return this.#peers.connected;
  }

  stats(): DownloadStats {
    const now = this.#host.now();
    let active = 0;
    for (const stats of this.#groups.values()) active += stats?.active ?? 0;
    return {
      state: this.#state,
      length: this.metainfo.length,
      checked: this.#checked,
      have: this.#haveBytes,
      left: this.#left,
      downloaded: this.#downloaded,
      uploaded: this.#uploaded,
      wasted: this.#wasted,
      downRate: this.#down.bytesPerSecond(now),
      upRate: this.#up.bytesPerSecond(now),
      peers: this.#peers.connected,
      activePeers: active,
      knownPeers: this.#peers.known,
    };
  }

  /** Leaves the swarm: what is being written is written, the trackers are told. Safe to call in any state, and again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#end('stopped');
    return this.#stopping;
  }

  get #left(): number {
    return this.#settings.fetch === false ? 0 : this.metainfo.length - this.#haveBytes;
  }

  /** The owner of whatever goes wrong before the swarm is joined. */
  async #run(): Promise<void> {
    try {
      const have = await this.#check();
      if (this.#stopping !== undefined) return;
      await this.#enter(have);
    } catch (error) {
      this.fail(error);
    }
  }

  async #check(): Promise<Bitfield> {
    const { out } = this.#settings;
    const have = await verifyFiles({
      root: out,
      files: this.metainfo.files,
      geometry: this.#geometry,
      hashes: this.metainfo.pieceHashes,
      threads: this.#host.verifyThreads,
      signal: this.#abort.signal,
      onProgress: (bytes) => {
        this.#checked = bytes;
      },
    });
    for (const piece of have) this.#haveBytes += this.#geometry.lengthOf(piece as PieceIndex);
    this.#emit({ type: 'checked', pieces: have.count, of: this.#geometry.pieceCount });
    return have;
  }

  async #enter(have: Bitfield): Promise<void> {
    const { fetch, seed } = this.#settings;
    if (fetch === false && have.count === 0 && this.#geometry.pieceCount > 0) {
      throw new SpateError(
        'BAD_DATA',
        `nothing to seed: no piece of ${this.metainfo.name} is in ${this.#settings.out}`,
      );
    }
    if (fetch !== false) await this.#store.prepare();
    if (this.#left === 0 && seed !== true) return this.#complete();
    if (this.#stopping !== undefined) return;
    this.#join(have);
    if (this.#left === 0) this.#complete();
  }

  /** Joins the swarm: groups, trackers, peers. */
  #join(have: Bitfield): void {
    const { options, random, groupCount, budget } = this.#host;
    const now = this.#host.now();
    this.#state = 'downloading';
    this.#activatedAt = this.#progressAt = now;
    this.#memory = SharedMemory.create(this.metainfo.pieceHashes, groupCount);
    this.#transfer = new Transfer(
      {
        torrent: this.key,
        geometry: this.#geometry,
        have,
        wanted: this.#wanted,
        memory: this.#memory,
        groupCount,
        budget,
        queue: this.#queue,
        corruptPieceLimit: options.corruptPieceLimit,
        endgameAfterMs: options.endgameAfterMs,
        random,
        send: (group, message) => this.#host.send(group, message),
      },
      {
        onCanLease: () => this.#host.onCanLease(this),
        onWritten: (piece) => this.#onWritten(piece),
        onComplete: () => this.#complete(),
        onError: (error) => this.fail(error),
      },
    );
    for (const group of this.#host.placeTorrent(this.metainfo.pieceLength)) this.addGroup(group);
    this.#peers.add(this.#settings.peers ?? [], now);
    this.#announce();
  }

  #announce(): void {
    const host = this.#host;
    const { options, families } = host;
    const tiers = [...this.metainfo.trackers, ...(this.#settings.trackers ?? []).map((url) => [url])];
    if (tiers.length === 0) return;
    this.#announcer = host.createAnnouncer({
      tiers,
      infohash: this.metainfo.infohash,
      peerId: this.#peerId,
      // A gateway may come to give another one.
      get port() {
        return host.port;
      },
      options,
      families,
      progress: () => ({ uploaded: this.#uploaded, downloaded: this.#downloaded, left: this.#left }),
      onStatus: (status) => this.#onTracker(status),
    });
    this.#listenTo(this.#announcer).catch((error: unknown) => this.fail(error));
  }

  async #listenTo(announcer: Announcer): Promise<void> {
    for await (const peers of announcer.peers(this.#abort.signal)) this.#peers.add(peers, this.#host.now());
  }

  #onTracker(status: TrackerStatus): void {
    if (status.state === 'error') this.#lastTrackerError = `${status.url}: ${status.message}`;
    this.#emit({ type: 'tracker', status });
  }

  /** Makes the torrent known to a group; the door learns of one when a peer asks for it. */
  addGroup(group: number): void {
    const memory = this.#memory;
    const transfer = this.#transfer;
    if (memory === undefined || transfer === undefined || this.#groups.has(group)) return;
    this.#groups.set(group, undefined);
    this.#host.send(group, {
      type: 'addTorrent',
      torrent: this.key,
      infohash: this.metainfo.infohash,
      peerId: this.#peerId,
      port: this.#host.port,
    });
    this.#host.send(group, {
      type: 'metainfo',
      torrent: this.key,
      geometry: { length: this.metainfo.length, pieceLength: this.metainfo.pieceLength },
      shared: memory.buffer,
      private: this.metainfo.private,
      metadataSize: this.metainfo.info.length,
      root: this.#settings.out,
      files: this.metainfo.files,
      have: transfer.have.bytes,
      wanted: this.#wanted.bytes,
    });
  }

  /** Leases one run of pieces to each group that wants some. @returns whether any was */
  grant(now: number): boolean {
    let granted = false;
    for (const group of this.#groups.keys()) granted = this.#transfer?.grant(group, now) || granted;
    return granted;
  }

  /** Whether a group waits for pieces. */
  get wantsMore(): boolean {
    return this.#transfer?.wantsMore === true;
  }

  flushGrants(): void {
    this.#transfer?.flush();
  }

  /** Dials addresses that are due, at most `allowance`. @returns how many */
  dial(allowance: number, now: number): number {
    return this.#stopping === undefined ? this.#peers.dial([...this.#groups.keys()], allowance, now) : 0;
  }

  onMessage(group: number, message: Extract<FromGroup, { torrent: number }>): void {
    const now = this.#host.now();
    switch (message.type) {
      case 'want':
        return this.#transfer?.onWant(group, message.count, message.leased);
      case 'verified':
        return this.#transfer?.onVerified(message.leases);
      case 'returned':
        return this.#transfer?.onReturned(message);
      case 'shared':
        return this.#transfer?.onShared(message);
      case 'corrupt':
        this.#peers.onCorrupt(group, message.peers);
        return this.#transfer?.onCorrupt(message);
      case 'connected':
        return this.#peers.onConnected(group, message);
      case 'connectFailed':
        return this.#peers.onConnectFailed(message, now);
      case 'disconnected':
        return this.#peers.onDisconnected(group, message, now);
      case 'discovered':
        if (!this.metainfo.private) this.#peers.add(message.peers, now);
        return;
      case 'listens':
        return this.#peers.onListens(group, message.peer, message.port);
      case 'readFailed':
        return this.fail(new SpateError('LOCAL_IO', message.message));
      case 'removed':
        return this.#onRemoved(group);
    }
  }

  onStats(group: number, stats: TorrentStats): void {
    const now = this.#host.now();
    if (this.#groups.has(group)) this.#groups.set(group, stats);
    this.#downloaded += stats.downloaded;
    this.#uploaded += stats.uploaded;
    this.#wasted += stats.wasted;
    this.#down.add(stats.downloaded, now);
    this.#up.add(stats.uploaded, now);
    if (stats.downloaded > 0) this.#progressAt = now;
  }

  onGroupDeath(group: number): void {
    if (!this.#groups.delete(group)) return;
    this.#transfer?.onGroupDeath(group);
    this.#peers.onGroupDeath(group, this.#host.now());
    if (this.#leaving.has(group)) this.#onRemoved(group);
    if (this.#stopping === undefined) this.addGroup(group);
  }

  onTick(now: number): void {
    this.#sendNews(now);
    if (this.#state !== 'downloading') return;
    if (this.#peers.connected + this.#peers.dialling === 0) this.#announcer?.wantMore();
    this.#checkPatience(now);
  }

  /** HAVEs go out in batches. */
  #sendNews(now: number): void {
    if (this.#news.length === 0 || now < this.#newsAt) return;
    this.#newsAt = now + this.#host.options.haveBatchMs;
    const pieces = this.#news;
    this.#news = [];
    for (const group of this.#groups.keys()) this.#host.send(group, { type: 'have', torrent: this.key, pieces });
  }

  #checkPatience(now: number): void {
    const { peerTimeoutMs, stallTimeoutMs } = this.#host.options;
    const hopeless = this.#announcer === undefined && this.#peers.isExhausted;
    if (!this.#peers.everConnected) {
      const waited = now - this.#activatedAt;
      if (hopeless || (peerTimeoutMs > 0 && waited >= peerTimeoutMs)) this.fail(this.#noPeers(waited));
      return;
    }
    const waited = now - this.#progressAt;
    if (!hopeless && (stallTimeoutMs === 0 || waited < stallTimeoutMs)) return;
    const bad = this.#transfer?.sawCorruption === true;
    const why = bad ? 'every peer left sent bad data' : 'no peer gives what is missing';
    this.fail(new SpateError(bad ? 'BAD_DATA' : 'STALLED', `${seconds(waited)} without a byte: ${why}`));
  }

  #noPeers(waitedMs: number): SpateError {
    const known = this.#peers.known;
    const tried = known > 0 ? `none of ${known} peers could be reached` : 'no peer is known';
    const tracker = this.#lastTrackerError === undefined ? '' : `; tracker ${this.#lastTrackerError}`;
    const none =
      this.#announcer === undefined && known === 0 ? '; the torrent names no tracker, add --tracker or --peer' : '';
    return new SpateError('UNAVAILABLE', `${tried} after ${seconds(waitedMs)}${tracker}${none}`);
  }

  #onWritten(piece: PieceIndex): void {
    this.#haveBytes += this.#geometry.lengthOf(piece);
    this.#news.push(piece);
  }

  #complete(): void {
    if (this.#state === 'failed' || this.#stopping !== undefined) return;
    if (this.#settings.seed === true) {
      this.#state = 'seeding';
      this.#announcer?.completed();
      this.#done.resolve();
      return;
    }
    this.#stopping = this.#end('complete');
  }

  /** Ends the download with an error; the first one counts. */
  fail(error: unknown): void {
    if (this.#stopping !== undefined) return;
    const failure =
      error instanceof SpateError ? error : new SpateError('INTERNAL', String((error as Error)?.stack ?? error));
    this.#stopping = this.#end('failed', failure);
  }

  /** The one way out, for every reason. `done` settles as soon as the payload is safe; trackers are told meanwhile. */
  async #end(state: 'complete' | 'failed' | 'stopped', error?: SpateError): Promise<void> {
    this.#state = state;
    this.#transfer?.stop();
    this.#abort.abort();
    let failure = error;
    let farewell: Promise<void> | undefined;
    try {
      await this.#running;
      await this.#leaveGroups();
      // The groups' last statistics are in: the trackers hear the true figures, while the disk finishes.
      if (state === 'complete') this.#announcer?.completed();
      farewell = this.#announcer?.stop();
      await this.#queue.idle();
      await this.#store.close();
    } catch (problem) {
      failure ??= problem as SpateError;
      this.#state = 'failed';
    }
    const unfinished = state === 'stopped' ? new SpateError('CLOSED', 'the download was stopped') : undefined;
    const outcome = failure ?? unfinished;
    if (outcome === undefined) this.#done.resolve();
    else this.#done.reject(outcome);
    await farewell;
    this.#host.onEnded(this);
    if (failure === undefined) this.#ended.resolve();
    else this.#ended.reject(failure);
  }

  /** Resolves when every group has given its last buffer back. */
  #leaveGroups(): Promise<void> {
    return new Promise((onLeft) => {
      this.#onLeft = onLeft;
      for (const group of this.#groups.keys()) {
        this.#leaving.add(group);
        this.#host.send(group, { type: 'removeTorrent', torrent: this.key, reason: 'removed' });
      }
      if (this.#leaving.size === 0) onLeft();
    });
  }

  #onRemoved(group: number): void {
    this.#leaving.delete(group);
    this.#groups.delete(group);
    if (this.#leaving.size === 0) this.#onLeft?.();
  }

  #emit(event: DownloadEvent): void {
    this.#settings.onEvent?.(event);
  }
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;

interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: SpateError) => void;
}

/** A promise settled from outside. That nobody waits for it is no fault: it can be asked for later. */
function deferred(): Deferred {
  let settle: Omit<Deferred, 'promise'> | undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  promise.catch(() => {});
  return { promise, ...settle! };
}

/**
 * One torrent's story: hash what is on disk, join the swarm, fetch what is missing, and then seed or leave. Wires metainfo,
 * content, peer list, announcer and transfer, each of which is a value of its own; the session it lives in owns what the
 * torrents share. Part of the public API.
 *
 * | state | leaves it when |
 * | --- | --- |
 * | checking | hashed -> complete or seeding when nothing is missing, else allocating or downloading |
 * | allocating | every missing byte has its room on disk -> downloading |
 * | downloading | the last wanted piece is on disk -> complete or seeding; a timeout or an error -> failed |
 * | seeding | an error -> failed |
 * | complete, failed, stopped | never; any state but these -> stopped by `stop` |
 */
import { resolve } from 'node:path';
import type { DownloadEvent, DownloadSettings, DownloadState, DownloadStats } from './api.js';
import { Content } from './content.js';
import { deferred } from './deferred.js';
import type { Announcer, TrackerStatus } from './discovery/announcer.js';
import { OVER } from './discovery/clock.js';
import { SpateError } from './errors.js';
import type { DownloadHost } from './host.js';
import type { FromGroup, TorrentStats } from './messages.js';
import { Patience } from './patience.js';
import { Peers } from './peers.js';
import type { Metainfo } from './protocol/metainfo.js';
import { rateOf } from './rate-split.js';
import type { Bitfield } from './torrent/bitfield.js';
import { Geometry, type PieceIndex } from './torrent/geometry.js';
import { RateMeter } from './torrent/rate-meter.js';
import { SharedMemory } from './torrent/shared-memory.js';
import { TorrentGroups } from './torrent-groups.js';
import { Transfer } from './transfer.js';
import type { TurnTaker } from './turns.js';

/** Under a limit below this a silence says nothing of the peers: it may be shared by a hundred torrents. */
const SLOW_BYTES_PER_SECOND = 65_536;

export class Download implements TurnTaker {
  readonly metainfo: Metainfo;
  readonly key: number;
  readonly #host: DownloadHost<Download>;
  readonly #settings: DownloadSettings;
  readonly #geometry: Geometry;
  readonly #peerId: Uint8Array;
  readonly #peers: Peers;
  readonly #content: Content;
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
  readonly #groups: TorrentGroups;
  readonly #isSlowByWish: boolean;
  /** Groups that dial for it; each learns of the torrent with its first peer, so that one peer costs one thread. */
  #placed: readonly number[] = [];
  #patience: Patience | undefined;
  #firstByteAt: number | undefined;
  #downloaded = 0;
  #uploaded = 0;
  #wasted = 0;
  #lastTrackerError: string | undefined;
  #stopping: Promise<void> | undefined;

  constructor(key: number, metainfo: Metainfo, settings: DownloadSettings, host: DownloadHost<Download>) {
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
        port: host.port,
        external: host.external,
        census: host.census,
        send: (group, message) => host.send(group, message),
      },
      {
        onCanDial: () => host.turns.onCanDial(this),
        onDial: (group) => this.addGroup(group),
        onPeer: (what, address, peerId) => this.#emit({ type: 'peer', what, address, ...(peerId && { peerId }) }),
        onWarning: (message) => this.#emit({ type: 'warning', message }),
      },
    );
    const maxDown = rateOf('maxDown', settings.maxDown);
    this.#isSlowByWish = [host.maxDown, maxDown].some((limit) => limit > 0 && limit < SLOW_BYTES_PER_SECOND);
    this.#groups = new TorrentGroups(key, host.options, (group, message) => host.send(group, message), maxDown);
    this.#content = new Content({
      metainfo,
      geometry: this.#geometry,
      settings,
      host,
      onWarning: (message) => this.#emit({ type: 'warning', message }),
    });
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

  get isFetching(): boolean {
    return this.#state === 'downloading';
  }

  get isQuiet(): boolean {
    return this.#state === 'seeding' && this.connections === 0;
  }

  get connected(): number {
    return this.#peers.connected;
  }

  get connections(): number {
    return this.#peers.connected + this.#peers.dialling;
  }

  /** When payload came first, of `performance.now()`; `undefined` before. */
  get firstByteAt(): number | undefined {
    return this.#firstByteAt;
  }

  stats(): DownloadStats {
    const now = this.#host.now();
    return {
      state: this.#state,
      length: this.#state === 'checking' ? this.metainfo.length : this.#content.length,
      checked: this.#content.progress,
      checkRate: this.#content.checkRate(now),
      have: this.#content.have,
      left: this.#content.left,
      downloaded: this.#downloaded,
      uploaded: this.#uploaded,
      wasted: this.#wasted,
      downRate: this.#down.bytesPerSecond(now),
      upRate: this.#up.bytesPerSecond(now),
      peers: this.#peers.connected,
      activePeers: this.#groups.activePeers,
      knownPeers: this.#peers.known,
    };
  }

  /** Leaves the swarm: what is being written is written, the trackers are told. Safe to call in any state, and again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#end('stopped');
    return this.#stopping;
  }

  /** The owner of whatever goes wrong before the swarm is joined. */
  async #run(): Promise<void> {
    try {
      const { have, ...counts } = await this.#content.check(this.#abort.signal);
      this.#emit({ type: 'checked', ...counts });
      if (this.#stopping !== undefined) return;
      await this.#enter(have);
    } catch (error) {
      this.fail(error);
    }
  }

  async #enter(have: Bitfield): Promise<void> {
    const { fetch, seed, alloc, out } = this.#settings;
    if (fetch === false && have.count === 0 && this.#geometry.pieceCount > 0) {
      throw new SpateError('BAD_DATA', `nothing to seed: no piece of ${this.metainfo.name} is in ${out}`);
    }
    await this.#content.prepare();
    if (this.#stopping !== undefined) return;
    this.#host.turns.join(this);
    if (this.#content.left === 0 && seed !== true) return this.#complete();
    if (this.#content.left > 0 && alloc === 'full') {
      this.#state = 'allocating';
      await this.#content.allocate(have, this.#abort.signal);
      if (this.#stopping !== undefined) return;
    }
    this.#join(have);
    if (this.#content.left === 0) this.#complete();
  }

  /** Joins the swarm: groups, trackers, peers. */
  #join(have: Bitfield): void {
    const { options, random, groupCount, budget, idle } = this.#host;
    const now = this.#host.now();
    this.#state = 'downloading';
    this.#patience = new Patience(options, now);
    this.#memory = SharedMemory.create(this.metainfo.pieceHashes, groupCount);
    this.#transfer = new Transfer(
      {
        torrent: this.key,
        geometry: this.#geometry,
        have,
        wanted: this.#content.wanted,
        memory: this.#memory,
        groupCount,
        budget,
        idle,
        queue: this.#content.queue,
        spills: this.#content.spills,
        corruptPieceLimit: options.corruptPieceLimit,
        endgameAfterMs: options.endgameAfterMs,
        isShared: () => this.#host.turns.isShared,
        budgetAheadMs: options.budgetAheadMs,
        rate: (at) => this.#down.bytesPerSecond(at),
        evidenceBytes: options.evidenceBytes,
        giverOf: (group, peer) => this.#peers.hostOf(group, peer),
        random,
        send: (group, message) => this.#host.send(group, message),
      },
      {
        onCanLease: () => this.#host.turns.onCanLease(this),
        onWritten: (piece) => this.#onWritten(piece),
        onGuilty: (host) => this.#peers.ban(host),
        onComplete: () => this.#complete(),
        onError: (error) => this.fail(error),
      },
    );
    this.#placed = this.#host.placeTorrent(this, this.#geometry);
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
      progress: () => ({
        uploaded: this.#uploaded,
        downloaded: this.#downloaded,
        left: this.#content.lacking,
        isDone: this.#content.left === 0,
      }),
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
    if (this.#memory === undefined || this.#transfer === undefined || this.#stopping !== undefined) return;
    this.#groups.add(
      group,
      { infohash: this.metainfo.infohash, peerId: this.#peerId, port: this.#host.port },
      {
        geometry: { length: this.metainfo.length, pieceLength: this.metainfo.pieceLength },
        shared: this.#memory.buffer,
        private: this.metainfo.private,
        metadataSize: this.metainfo.info.length,
        root: this.#settings.out,
        files: this.#content.files,
        have: this.#transfer.have.bytes,
        wanted: this.#content.wanted.bytes,
      },
    );
  }

  /** Leases one run of pieces to each group that wants some. @returns whether any was */
  grant(now: number): boolean {
    let granted = false;
    for (const group of this.#groups.all) granted = this.#transfer?.grant(group, now) || granted;
    return granted;
  }

  /** Whether a group waits for pieces. */
  get wantsMore(): boolean {
    return this.#transfer?.wantsMore === true;
  }

  lacksMemory(now: number): boolean {
    return this.#transfer?.lacksMemory(now) === true;
  }

  flushGrants(): void {
    this.#transfer?.flush();
  }

  get hasAddresses(): boolean {
    return this.#peers.waiting > 0;
  }

  /** Dials addresses that are due, at most `allowance`. @returns how many */
  dial(allowance: number, now: number): number {
    return this.#stopping === undefined ? this.#peers.dial(this.#placed, allowance, now) : 0;
  }

  /** Whether addresses are due that only wait for room in the session. */
  isWaiting(now: number): boolean {
    return this.#stopping === undefined && this.#peers.isWaiting(now);
  }

  /** The session is full: a useless peer makes room for addresses of any torrent. @returns whether one does */
  makeRoom(now: number): boolean {
    return this.#peers.makeRoom(true, now);
  }

  onMessage(group: number, message: Extract<FromGroup, { torrent: number }>): void {
    const now = this.#host.now();
    switch (message.type) {
      case 'want':
        return this.#transfer?.onWant(group, message.count, message.leased);
      case 'verified':
        this.#firstByteAt ??= now;
        return this.#transfer?.onVerified(message.leases);
      case 'returned':
        return this.#transfer?.onReturned(group, message, now);
      case 'shared':
        return this.#transfer?.onShared(message);
      case 'corrupt':
        return this.#transfer?.onCorrupt(group, message);
      case 'suggested':
        return this.#transfer?.onSuggested(message.piece);
      case 'connected':
        return this.#peers.onConnected(group, message, now);
      case 'connectFailed':
        return this.#peers.onConnectFailed(message, now);
      case 'disconnected':
        return this.#peers.onDisconnected(group, message, now);
      case 'discovered':
        if (!this.metainfo.private) this.#peers.onDiscovered(group, message.peer, message.peers, now);
        return;
      case 'listens':
        return this.#peers.onListens(group, message.peer, message.port, now);
      case 'seenAs':
        return this.#peers.onSeenAs(group, message.peer, message.host);
      case 'survey':
        return this.#peers.onSurvey(group, message);
      case 'torrentLoad':
        return this.#groups.onLoad(group, message.down);
      case 'readFailed':
        return this.fail(new SpateError('LOCAL_IO', message.message));
      case 'removed':
        return this.#groups.onRemoved(group);
    }
  }

  onStats(group: number, stats: TorrentStats): void {
    const now = this.#host.now();
    this.#groups.onStats(group, stats);
    this.#peers.onWorking(group, stats.working, now);
    this.#downloaded += stats.downloaded;
    this.#uploaded += stats.uploaded;
    this.#wasted += stats.wasted;
    this.#down.add(stats.downloaded, now);
    this.#up.add(stats.uploaded, now);
    if (stats.downloaded === 0) return;
    this.#firstByteAt ??= now;
    this.#patience?.onProgress();
  }

  onGroupDeath(group: number): void {
    if (!this.#groups.has(group)) return;
    this.#transfer?.onGroupDeath(group);
    this.#peers.onGroupDeath(group, this.#host.now());
    this.#groups.onRemoved(group);
    this.addGroup(group);
  }

  onTick(now: number): void {
    this.#groups.onTick(now);
    const isStarving = this.isFetching && !this.#isSlowByWish && this.#patience?.isStarving === true;
    this.#peers.onTick(isStarving, now);
    const roster = this.metainfo.private ? undefined : this.#peers.rosterNews(now);
    if (roster !== undefined) this.#groups.onRoster(roster);
    if (this.#state !== 'checking') this.#content.onTick(now);
    if (this.#state !== 'downloading') return;
    if (this.connections === 0 || isStarving) this.#announcer?.wantMore();
    this.#checkPatience(now);
  }

  #checkPatience(now: number): void {
    const prospects = {
      everConnected: this.#peers.everConnected,
      hopeless: this.#announcer === undefined && this.#peers.isExhausted,
      announces: this.#announcer !== undefined,
      knownPeers: this.#peers.known,
      isQueued: this.#announcer?.hasAsked === false && this.#peers.known === 0,
      trackerError: this.#lastTrackerError,
      sawCorruption: this.#transfer?.sawCorruption === true,
      isWriting: !this.#content.queue.isIdle,
    };
    const error = this.#patience?.onTick(prospects, now);
    if (error !== undefined) this.fail(error);
  }

  #onWritten(piece: PieceIndex): void {
    this.#content.onWritten(piece);
    this.#groups.onWritten(piece);
  }

  #complete(): void {
    if (this.#state === 'failed' || this.#stopping !== undefined) return;
    if (this.#settings.seed === true) {
      this.#state = 'seeding';
      this.#tellCompleted();
      this.#content.finish().then(this.#done.resolve, (error: unknown) => this.fail(error));
      return;
    }
    this.#stopping = this.#end('complete');
  }

  /** Trackers count who has all of it, not who has all he wants. */
  #tellCompleted(): void {
    if (this.#content.lacking === 0) this.#announcer?.completed();
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
    this.#host.turns.leave(this);
    this.#transfer?.stop();
    this.#abort.abort(OVER);
    let failure = error;
    let farewell: Promise<void> | undefined;
    try {
      await this.#running;
      await this.#groups.leave();
      this.#peers.leave();
      // The groups' last statistics are in: the trackers hear the true figures, while the disk finishes.
      if (state === 'complete') this.#tellCompleted();
      farewell = this.#announcer?.stop();
      await this.#content.queue.idle();
      await this.#content.save(this.#transfer?.partials ?? new Map(), error);
      await this.#content.close();
      if (state === 'complete') await this.#content.finish();
    } catch (problem) {
      failure ??= problem as SpateError;
      this.#state = 'failed';
    }
    this.#transfer?.dropPartials();
    this.#content.release();
    // Whoever still waits for a tracker holds no more than the numbers.
    this.#transfer = undefined;
    this.#memory = undefined;
    const unfinished = state === 'stopped' ? new SpateError('CLOSED', 'the download was stopped') : undefined;
    const outcome = failure ?? unfinished;
    if (outcome === undefined) this.#done.resolve();
    else this.#done.reject(outcome);
    await farewell;
    this.#host.onEnded(this);
    if (failure === undefined) this.#ended.resolve();
    else this.#ended.reject(failure);
  }

  #emit(event: DownloadEvent): void {
    this.#settings.onEvent?.(event);
  }
}

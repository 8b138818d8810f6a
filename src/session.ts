/**
 * The public API: a `Session` owns what its torrents share - the peer groups, the byte budget, the tracker clients, the
 * announced port - and hosts any number of `Download`s, to which it gives turns (`turns.ts`). Everything about one torrent is
 * in `download.ts`.
 */
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { DownloadSettings } from './api.js';
import { openFileLimit, withinDescriptors } from './descriptors.js';
import { Announcer } from './discovery/announcer.js';
import { systemClock } from './discovery/clock.js';
import { HttpTrackers } from './discovery/http-tracker.js';
import { Names } from './discovery/names.js';
import { gatewayMapping, type PortMapping } from './discovery/port-mapping/port-mapping.js';
import { UdpTrackers } from './discovery/udp-tracker.js';
import { Download } from './download.js';
import { SpateError } from './errors.js';
import { GroupPool } from './group-pool.js';
import type { DownloadHost } from './host.js';
import type { FromGroup, GroupFigures, ToGroup } from './messages.js';
import { type Options, resolveOptions } from './options.js';
import { VERSION } from './package.js';
import { canonicalIp, familyOf } from './protocol/address.js';
import { type Metainfo, parseMetainfo } from './protocol/metainfo.js';
import { type EncryptionMode, skeyHash } from './protocol/mse.js';
import { createPeerId } from './protocol/peer-id.js';
import { RateSplit, rateOf } from './rate-split.js';
import { type Disk, nodeDisk } from './storage/disk.js';
import { limitFlushes } from './storage/flush-limit.js';
import { FolderFlushes } from './storage/folder-flush.js';
import { OpenFiles } from './storage/open-files.js';
import { prune } from './storage/state-folder.js';
import { type Target, Targets, targetPath } from './storage/targets.js';
import { ByteBudget } from './torrent/byte-budget.js';
import { Census } from './torrent/census.js';
import { ExternalAddress } from './torrent/external-address.js';
import type { GeometryShape } from './torrent/geometry.js';
import { IdleBuffers } from './torrent/idle-buffers.js';
import { Turns } from './turns.js';

export type { CheckMode, DownloadEvent, DownloadSettings, DownloadState, DownloadStats } from './api.js';
export type { Download } from './download.js';
export { type ErrorCode, SpateError } from './errors.js';
export type { Options } from './options.js';
export { VERSION } from './package.js';
export { type Metainfo, type MetainfoFile, parseMetainfo } from './protocol/metainfo.js';
export type { FileSelection } from './storage/selection.js';

export interface SessionSettings {
  /** Peer groups, each a thread; the number of cores when absent. */
  readonly workers?: number;
  /** TCP port to listen on; 0 or absent picks a free one. */
  readonly port?: number;
  /** Local address to listen on and connect from; every one when absent. */
  readonly bind?: string;
  /**
   * Message stream encryption: `prefer` (the default) dials in plaintext and encrypts when that is refused, `require` speaks
   * nothing else, `off` never encrypts.
   */
  readonly encryption?: EncryptionMode;
  /**
   * Ask the gateway to forward the port (PCP, NAT-PMP, UPnP); off when absent: a library opens no door unasked. Never on
   * loopback.
   */
  readonly nat?: boolean;
  /** What becomes of that, a line at a time. */
  readonly onNat?: (line: string) => void;
  /** What asks the gateway: lets a test be one. */
  readonly createMapping?: typeof gatewayMapping;
  /** What looks up names, which the session closes: lets a test be the DNS. */
  readonly names?: Names;
  /** Most bytes per second received and sent, all torrents together; 0 or absent for no limit. */
  readonly maxDown?: number;
  readonly maxUp?: number;
  /**
   * Folder for resume state and locks, such as `~/.local/state/spate`. Without one, the default, nothing is remembered: what is
   * on disk is hashed at every start, and nothing keeps another process from downloading into the same folder.
   */
  readonly stateFolder?: string;
  /** Overrides of the engine's tunables, such as `memoryBytes`. */
  readonly options?: Partial<Options>;
  /** The compiled peer-group worker, when it is not beside this file. */
  readonly workerUrl?: URL;
  /** Groups measure themselves, for `measure`. */
  readonly measure?: boolean;
  /** Uniform in [0, 1), for everything random: makes a test repeatable. */
  readonly random?: () => number;
  /** What writes and reads the payload: lets a test fail it. */
  readonly disk?: Disk;
}

const MAX_WORKERS = 64;
/** A torrent is spread over as many groups as can each hold this many of its pieces. */
const PIECES_PER_GROUP = 3;

export class Session {
  readonly #settings: SessionSettings;
  /** Canonical; `undefined` for every address. */
  readonly #bind: string | undefined;
  readonly #options: Options;
  /** For ids that strangers must not guess. */
  readonly #secret: () => number;
  readonly #pool: GroupPool;
  readonly #budget: ByteBudget;
  readonly #openFiles: OpenFiles;
  readonly #names: Names;
  readonly #http: HttpTrackers;
  readonly #udp: UdpTrackers;
  readonly #host: DownloadHost<Download>;
  readonly #rates: RateSplit;
  readonly #nat: PortMapping | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #census: Census;
  readonly #turns: Turns<Download>;
  readonly #downloads = new Map<number, Download>();
  readonly #byInfohash = new Map<string, Download>();
  readonly #targets = new Targets();
  /** By the key of the download. */
  readonly #targetOf = new Map<number, Target>();
  #keys = 0;
  #port = 0;
  #listening: { resolve: (port: number) => void; reject: (error: SpateError) => void } | undefined;
  #fatal: SpateError | undefined;
  readonly #measuring = new Map<number, (figures: GroupFigures) => void>();
  #pruning: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Says that the session ends. */
  readonly #goodbye = new AbortController();

  private constructor(settings: SessionSettings) {
    const workers = settings.workers ?? availableParallelism();
    if (!Number.isInteger(workers) || workers < 1 || workers > MAX_WORKERS) {
      throw new SpateError('USAGE', `workers must be 1 to ${MAX_WORKERS}, got ${workers}`);
    }
    this.#settings = settings;
    setMaxListeners(0, this.#goodbye.signal);
    this.#bind = localAddress(settings.bind);
    this.#options = resolved(settings.options ?? {}, workers);
    this.#secret = settings.random ?? unguessable;
    this.#budget = new ByteBudget(this.#options.memoryBytes);
    const disk = limitFlushes(settings.disk ?? nodeDisk, this.#options.flushesInFlight);
    this.#openFiles = new OpenFiles(this.#options.openFiles, disk);
    this.#census = new Census(this.#options.maxPeers);
    this.#turns = new Turns(this.#options, this.#census, () => performance.now());
    this.#names = settings.names ?? new Names();
    const reach = { lookup: this.#names.lookup, ...(this.#bind !== undefined && { bind: this.#bind }) };
    const findPeers: Names['peers'] = (named, signal) => this.#names.peers(named, signal);
    this.#http = new HttpTrackers(this.#options, { userAgent: `spate/${VERSION}`, findPeers, ...reach });
    this.#udp = new UdpTrackers(this.#options, { random: this.#secret, ...reach });
    this.#nat = settings.nat === true ? this.#createMapping() : undefined;
    this.#host = this.#createHost(workers);
    this.#pool = new GroupPool(
      {
        size: workers,
        bind: this.#bind,
        encryption: settings.encryption ?? 'prefer',
        options: this.#options,
        workerUrl: settings.workerUrl,
        ...(settings.measure === true && { measure: true }),
      },
      {
        onStart: (group) => this.#rates.tell(group),
        onMessage: (group, message) => this.#onMessage(group, message),
        onDeath: (group, reason) => this.#onDeath(group, reason),
        onFatal: (error) => this.#onFatal(error),
      },
    );
    const limits = { down: rateOf('maxDown', settings.maxDown), up: rateOf('maxUp', settings.maxUp) };
    this.#rates = new RateSplit(limits, (group, shares) => {
      if (this.#pool.isRunning(group)) this.#send(group, { type: 'limits', ...shares });
    });
    for (let group = 0; group < workers; group++) this.#rates.add(group);
    this.#timer = setInterval(() => this.#onTick(), this.#options.haveBatchMs);
  }

  /**
   * Starts the workers and listens.
   * @throws SpateError USAGE for a setting out of range, CANNOT_LISTEN when the port or address cannot be had
   */
  static async open(settings: SessionSettings = {}): Promise<Session> {
    const session = new Session(settings);
    try {
      session.#port = await session.#listen(settings.port ?? 0);
      session.#nat?.start(session.#port);
      const { stateFolder, random = Math.random } = settings;
      if (stateFolder !== undefined) session.#pruning = prune(stateFolder, Date.now(), random);
    } catch (error) {
      await session.close();
      throw error;
    }
    return session;
  }

  /** The port that is listened on; announced, too, unless the gateway forwards another one to it. */
  get port(): number {
    return this.#port;
  }

  /**
   * Starts a torrent.
   * @param torrent the bytes of a `.torrent`, or what `parseMetainfo` made of them
   * @throws SpateError INVALID_TORRENT, DUPLICATE_TORRENT when its infohash is here already, USAGE when a file of it
   * would be written where another torrent has one, CLOSED
   */
  add(torrent: Uint8Array | Metainfo, settings: DownloadSettings): Download {
    const metainfo = torrent instanceof Uint8Array ? parseMetainfo(torrent) : torrent;
    if (this.#fatal !== undefined) throw this.#fatal;
    if (this.#closing !== undefined) throw new SpateError('CLOSED', 'the session is closed');
    const infohash = hex(metainfo.infohash);
    if (this.#byInfohash.has(infohash)) {
      throw new SpateError('DUPLICATE_TORRENT', `${metainfo.name} (${infohash}) is in this session already`);
    }
    const target: Target = {
      path: targetPath(settings.out, metainfo.name),
      owner: infohash,
      readonly: settings.fetch === false,
      files: () => metainfo.files,
    };
    const other = this.#targets.inTheWayOf(target);
    if (other !== undefined) {
      const path = resolve(settings.out, metainfo.name);
      throw new SpateError('USAGE', `${metainfo.name} would be written where ${other.owner} is: ${path}`);
    }
    const download = new Download(++this.#keys, metainfo, settings, this.#host);
    this.#downloads.set(download.key, download);
    this.#targetOf.set(download.key, target);
    this.#targets.add(target);
    this.#byInfohash.set(infohash, download);
    // An encrypted peer at the door names no more than this hash.
    this.#byInfohash.set(hex(skeyHash(metainfo.infohash)), download);
    return download;
  }

  /** What each group has measured so far; for a session that was opened with `measure`, one call at a time. */
  async measure(): Promise<GroupFigures[]> {
    if (this.#settings.measure !== true) throw new SpateError('USAGE', 'this session was not opened to be measured');
    const asked = Array.from({ length: this.#pool.size }, (_, group) => {
      const answer = new Promise<GroupFigures>((resolve) => this.#measuring.set(group, resolve));
      this.#send(group, { type: 'measure' });
      return answer;
    });
    return await Promise.all(asked);
  }

  /** Stops every download, tells the trackers (2 s at most) and ends the threads. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#goodbye.abort();
    await Promise.all([this.#nat?.close(), ...[...this.#downloads.values()].map((download) => download.stop())]);
    clearInterval(this.#timer);
    this.#http.close();
    this.#udp.close();
    this.#names.close();
    await this.#pool.close();
    await this.#pruning;
  }

  #createMapping(): PortMapping | undefined {
    const { createMapping = gatewayMapping, onNat: onDetail = () => {} } = this.#settings;
    return createMapping({ options: this.#options, bind: this.#bind, random: this.#secret, onDetail });
  }

  #createHost(workers: number): DownloadHost<Download> {
    const session = this;
    return {
      options: this.#options,
      encryption: this.#settings.encryption ?? 'prefer',
      families: this.#bind === undefined ? [4, 6] : [familyOf(this.#bind)],
      groupCount: workers,
      budget: this.#budget,
      idle: new IdleBuffers(this.#budget, this.#options.spillAfterMs),
      openFiles: this.#openFiles,
      folders: new FolderFlushes(this.#openFiles.disk),
      verifyThreads: workers,
      maxDown: rateOf('maxDown', this.#settings.maxDown),
      external: new ExternalAddress(this.#bind),
      census: this.#census,
      turns: this.#turns,
      stateFolder: this.#settings.stateFolder,
      random: this.#settings.random ?? Math.random,
      get port() {
        return session.#nat?.externalPort ?? session.#port;
      },
      now: () => performance.now(),
      createPeerId: () => createPeerId(VERSION, this.#secret),
      createAnnouncer: (settings) =>
        new Announcer(settings, {
          http: this.#http,
          udp: this.#udp,
          clock: systemClock,
          random: this.#secret,
          closing: this.#goodbye.signal,
        }),
      send: (group, message) => this.#send(group, message),
      placeTorrent: (download, geometry) => this.#place(download, geometry),
      onEnded: (download) => this.#onEnded(download),
    };
  }

  #send(group: number, message: ToGroup): void {
    this.#pool.send(group, message);
  }

  /** The first group is the door: the only one that listens. */
  #listen(port: number): Promise<number> {
    return new Promise((listening, reject) => {
      this.#listening = { resolve: listening, reject };
      this.#send(DOOR, { type: 'listen', port });
    });
  }

  #onMessage(group: number, message: FromGroup): void {
    switch (message.type) {
      case 'listening':
        return this.#listening?.resolve(message.port);
      case 'listenFailed':
        return this.#onListenFailed(message.message);
      case 'measured':
        return this.#measuring.get(group)?.(message.figures);
      case 'load':
        return this.#rates.onLoad(group, message.down, message.up);
      case 'incoming':
        return this.#onIncoming(group, message.infohash);
      case 'stats':
        for (const stats of message.torrents) this.#downloads.get(stats.torrent)?.onStats(group, stats);
        return;
      default:
        this.#downloads.get(message.torrent)?.onMessage(group, message);
    }
  }

  #onListenFailed(message: string): void {
    const where = `${this.#settings.bind ?? 'any address'} port ${this.#port || (this.#settings.port ?? 0)}`;
    const error = new SpateError('CANNOT_LISTEN', `cannot listen on ${where}: ${message}`);
    this.#listening?.reject(error);
    if (this.#port !== 0) this.#onFatal(error);
  }

  /** A peer has come for a torrent that the door does not serve: add it there, or send the peer away. */
  #onIncoming(group: number, infohash: Uint8Array): void {
    const download = this.#byInfohash.get(hex(infohash));
    if (download === undefined) this.#send(group, { type: 'refuse', infohash });
    else download.addGroup(group);
  }

  #onDeath(group: number, _reason: string): void {
    if (group === DOOR && this.#port !== 0) this.#send(group, { type: 'listen', port: this.#port });
    for (const download of this.#downloads.values()) download.onGroupDeath(group);
  }

  #onFatal(error: SpateError): void {
    this.#fatal = error;
    this.#listening?.reject(error);
    for (const download of [...this.#downloads.values()]) download.fail(error);
  }

  #onTick(): void {
    const now = performance.now();
    this.#rates.onTick(now);
    this.#turns.onTick(now);
  }

  /** As many as half of the budget, which a fast torrent may have beside many slow ones, can feed, and as its length is worth. */
  #place(download: Download, { length, pieceLength }: GeometryShape): readonly number[] {
    const fed = Math.floor(this.#budget.capBytes / 2 / (PIECES_PER_GROUP * pieceLength));
    const worth = Math.ceil(length / this.#options.groupBytes);
    return this.#pool.place(download.key, Math.max(1, Math.min(fed, worth)));
  }

  #onEnded(download: Download): void {
    this.#downloads.delete(download.key);
    this.#pool.displace(download.key);
    this.#targets.delete(this.#targetOf.get(download.key)!);
    this.#targetOf.delete(download.key);
    this.#byInfohash.delete(hex(download.metainfo.infohash));
    this.#byInfohash.delete(hex(skeyHash(download.metainfo.infohash)));
  }
}

const DOOR = 0;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');

/** @throws SpateError USAGE for what is no IP address; `::` stands for every one */
function localAddress(bind: string | undefined): string | undefined {
  if (bind === undefined) return undefined;
  const address = canonicalIp(bind);
  if (address === undefined) throw new SpateError('USAGE', `expected a local IP address to bind, got ${bind}`);
  return address === '::' ? undefined : address;
}

const POOLED = 1024;
let pool = Buffer.alloc(0);

/** Slower than `Math.random`, though by little: a call for each four bytes is what is dear. */
function unguessable(): number {
  if (pool.length < 4) pool = randomBytes(POOLED);
  const value = pool.readUInt32LE() / 2 ** 32;
  pool = pool.subarray(4);
  return value;
}

function resolved(overrides: Partial<Options>, workers: number): Options {
  try {
    return withinDescriptors(resolveOptions(overrides), overrides, openFileLimit(), workers);
  } catch (error) {
    throw new SpateError('USAGE', (error as Error).message);
  }
}

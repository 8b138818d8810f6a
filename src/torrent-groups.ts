/**
 * One torrent's presence in the peer groups: which of them know it, what each said of it last, what all of them are to be
 * told. What they fetch is the transfer's business, whom they are connected to the peers'.
 */
import type { GroupLoad, ToGroup, TorrentStats } from './messages.js';
import type { Options } from './options.js';
import type { PexPeer } from './protocol/extension.js';
import { RateSplit } from './rate-split.js';
import type { PieceIndex } from './torrent/geometry.js';
import { splitSlots } from './torrent/slots.js';

type AddTorrent = Omit<Extract<ToGroup, { type: 'addTorrent' }>, 'type' | 'torrent'>;
type Metainfo = Omit<Extract<ToGroup, { type: 'metainfo' }>, 'type' | 'torrent'>;

type GroupsOptions = Pick<Options, 'haveBatchMs' | 'uploadSlots' | 'chokeRoundMs'>;

export class TorrentGroups {
  readonly #torrent: number;
  readonly #options: GroupsOptions;
  readonly #send: (group: number, message: ToGroup) => void;
  /** Groups that know the torrent, with the statistics each sent last. */
  readonly #stats = new Map<number, TorrentStats | undefined>();
  #all: readonly number[] | undefined;
  /** Groups that have not given their last buffer back. */
  readonly #leaving = new Set<number>();
  #onLeft: (() => void) | undefined;
  /** Written since the groups were last told. */
  #news: PieceIndex[] = [];
  #newsAt = 0;
  /** Upload slots that each group has. */
  readonly #slots = new Map<number, number>();
  #splits = 0;
  #splitAt = 0;
  readonly #rate: RateSplit;
  /** Peers that all groups may tell of. */
  #roster: readonly PexPeer[] = [];

  /** @param maxDown bytes per second that all groups together may receive, 0 for no limit */
  constructor(torrent: number, options: GroupsOptions, send: (group: number, message: ToGroup) => void, maxDown = 0) {
    this.#torrent = torrent;
    this.#options = options;
    this.#send = send;
    this.#rate = new RateSplit({ down: maxDown, up: 0 }, (group, { down }) =>
      send(group, { type: 'torrentLimit', torrent, down }),
    );
  }

  /** The groups that know the torrent. */
  get all(): readonly number[] {
    this.#all ??= [...this.#stats.keys()];
    return this.#all;
  }

  has(group: number): boolean {
    return this.#stats.has(group);
  }

  /** Peers that gave a block lately. */
  get activePeers(): number {
    let active = 0;
    for (const stats of this.#stats.values()) active += stats?.active ?? 0;
    return active;
  }

  /** Makes the torrent known to a group, unless it knows it. */
  add(group: number, torrent: AddTorrent, metainfo: Metainfo): void {
    if (this.#stats.has(group)) return;
    this.#stats.set(group, undefined);
    this.#all = undefined;
    this.#send(group, { type: 'addTorrent', torrent: this.#torrent, ...torrent });
    this.#send(group, { type: 'metainfo', torrent: this.#torrent, ...metainfo });
    if (this.#roster.length > 0) this.#send(group, { type: 'roster', torrent: this.#torrent, peers: this.#roster });
    this.#rate.add(group);
    this.#splitSlots();
  }

  /** How a group uses its share of the torrent's rate limit. */
  onLoad(group: number, down: GroupLoad): void {
    this.#rate.onLoad(group, down);
  }

  /** A group that has its first interested peer need not wait for the next split. */
  onStats(group: number, stats: TorrentStats): void {
    if (!this.#stats.has(group)) return;
    const before = this.#stats.get(group)?.interested ?? 0;
    this.#stats.set(group, stats);
    if (before === 0 && stats.interested > 0) this.#splitSlots();
  }

  /** Tells every group of the peers that others may be told of. */
  onRoster(peers: readonly PexPeer[]): void {
    this.#roster = peers;
    for (const group of this.#stats.keys()) this.#send(group, { type: 'roster', torrent: this.#torrent, peers });
  }

  onWritten(piece: PieceIndex): void {
    this.#news.push(piece);
  }

  /** HAVEs go out in batches; upload slots follow the interested peers. */
  onTick(now: number): void {
    if (now >= this.#splitAt) {
      this.#splitAt = now + this.#options.chokeRoundMs;
      this.#splits++;
      this.#splitSlots();
    }
    this.#rate.onTick(now);
    if (this.#news.length === 0 || now < this.#newsAt) return;
    this.#newsAt = now + this.#options.haveBatchMs;
    const pieces = this.#news;
    this.#news = [];
    for (const group of this.#stats.keys()) this.#send(group, { type: 'have', torrent: this.#torrent, pieces });
  }

  /** Takes the torrent out of every group. Resolves when each has given its last buffer back. */
  leave(): Promise<void> {
    return new Promise((onLeft) => {
      this.#onLeft = onLeft;
      for (const group of this.#stats.keys()) {
        this.#leaving.add(group);
        this.#send(group, { type: 'removeTorrent', torrent: this.#torrent, reason: 'removed' });
      }
      if (this.#leaving.size === 0) onLeft();
    });
  }

  /** The torrent has left a group, or the group died with it. */
  onRemoved(group: number): void {
    this.#leaving.delete(group);
    this.#stats.delete(group);
    this.#all = undefined;
    this.#slots.delete(group);
    if (this.#onLeft === undefined) this.#rate.remove(group);
    if (this.#leaving.size === 0) this.#onLeft?.();
  }

  /** Tells each group its share of the upload slots, where that is not what it has. */
  #splitSlots(): void {
    const groups = this.all;
    const demands = groups.map((group) => this.#stats.get(group) ?? { peers: 0, interested: 0 });
    const shares = splitSlots(this.#options.uploadSlots, demands, this.#splits);
    for (const [index, group] of groups.entries()) {
      const slots = shares[index]!;
      if (this.#slots.get(group) === slots) continue;
      this.#slots.set(group, slots);
      this.#send(group, { type: 'slots', torrent: this.#torrent, slots });
    }
  }
}

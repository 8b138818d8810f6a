/**
 * One torrent's presence in the peer groups: which of them know it, what each said of it last, what all of them are to be
 * told. What they fetch is the transfer's business, whom they are connected to the peers'.
 */
import type { ToGroup, TorrentStats } from './messages.js';
import type { PieceIndex } from './torrent/geometry.js';

type AddTorrent = Omit<Extract<ToGroup, { type: 'addTorrent' }>, 'type' | 'torrent'>;
type Metainfo = Omit<Extract<ToGroup, { type: 'metainfo' }>, 'type' | 'torrent'>;

export class TorrentGroups {
  readonly #torrent: number;
  readonly #haveBatchMs: number;
  readonly #send: (group: number, message: ToGroup) => void;
  /** Groups that know the torrent, with the statistics each sent last. */
  readonly #stats = new Map<number, TorrentStats | undefined>();
  /** Groups that have not given their last buffer back. */
  readonly #leaving = new Set<number>();
  #onLeft: (() => void) | undefined;
  /** Written since the groups were last told. */
  #news: PieceIndex[] = [];
  #newsAt = 0;

  constructor(torrent: number, haveBatchMs: number, send: (group: number, message: ToGroup) => void) {
    this.#torrent = torrent;
    this.#haveBatchMs = haveBatchMs;
    this.#send = send;
  }

  /** The groups that know the torrent. */
  get all(): readonly number[] {
    return [...this.#stats.keys()];
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
    this.#send(group, { type: 'addTorrent', torrent: this.#torrent, ...torrent });
    this.#send(group, { type: 'metainfo', torrent: this.#torrent, ...metainfo });
  }

  onStats(group: number, stats: TorrentStats): void {
    if (this.#stats.has(group)) this.#stats.set(group, stats);
  }

  onWritten(piece: PieceIndex): void {
    this.#news.push(piece);
  }

  /** HAVEs go out in batches. */
  onTick(now: number): void {
    if (this.#news.length === 0 || now < this.#newsAt) return;
    this.#newsAt = now + this.#haveBatchMs;
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
    if (this.#leaving.size === 0) this.#onLeft?.();
  }
}

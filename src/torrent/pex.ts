/**
 * Peer exchange with one peer (BEP 11), in both directions. Pure; times are passed in. At most 50 peers are added and 50
 * dropped per message, a message at most every 65 s: anacrolix closes under 45 s, webtorrent under 60 s.
 */
import { addressKey, type PeerAddress } from '../protocol/address.js';
import type { PexPeer } from '../protocol/extension.js';

const SEND_EVERY_MS = 65_000;
const MOST = 50;
/** A peer that sends more often is not listened to. */
const LISTEN_EVERY_MS = 30_000;

export class Pex {
  /** What the peer has been told, by key. */
  readonly #told = new Map<string, PeerAddress>();
  #sendAt = 0;
  #listenAt = Number.NEGATIVE_INFINITY;

  /** Whether it is time to tell the peer anything. */
  isDue(now: number): boolean {
    return now >= this.#sendAt;
  }

  /**
   * What to tell the peer now; `undefined` when it is too early or nothing has changed.
   * @param connected the peers we are connected to, without this one
   */
  news(connected: readonly PexPeer[], now: number): { added: PexPeer[]; dropped: PeerAddress[] } | undefined {
    if (!this.isDue(now)) return undefined;
    const present = new Set(connected.map(addressKey));
    const added = connected.filter((peer) => !this.#told.has(addressKey(peer))).slice(0, MOST);
    const dropped = [...this.#told].filter(([key]) => !present.has(key)).slice(0, MOST);
    if (added.length + dropped.length === 0) return undefined;
    this.#sendAt = now + SEND_EVERY_MS;
    for (const [key] of dropped) this.#told.delete(key);
    for (const peer of added) this.#told.set(addressKey(peer), peer);
    return { added, dropped: dropped.map(([, peer]) => peer) };
  }

  /** @returns whether a message that comes now is listened to */
  accepts(now: number): boolean {
    if (now < this.#listenAt) return false;
    this.#listenAt = now + LISTEN_EVERY_MS;
    return true;
  }
}

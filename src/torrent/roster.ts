/**
 * The established peers of one torrent that others can be told of (BEP 11), whichever group they are connected to. Main keeps
 * it, the groups get it when it has changed. Pure; times are passed in.
 */
import { addressKey, type PeerAddress } from '../protocol/address.js';
import { PEX_FLAGS, type PexPeer } from '../protocol/extension.js';

/** Peers told of: a PEX message has room for 50. The longest connected stay, so that nobody seems to come and go. */
const MOST = 200;

interface Entry {
  readonly host: string;
  /** That it listens on; `undefined` while an incoming peer has not said. */
  port: number | undefined;
  flags: number;
}

export class Roster {
  readonly #everyMs: number;
  readonly #entries = new Map<string, Entry>();
  #hasChanged = false;
  #nextAt = 0;

  /** @param everyMs how often it is told at most */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  onConnected(group: number, peer: number, address: PeerAddress, how: { incoming: boolean; encrypted: boolean }): void {
    const { host } = address;
    // A link-local address is nothing to anybody elsewhere.
    if (host.includes('%')) return;
    const { incoming, encrypted } = how;
    const flags = (encrypted ? PEX_FLAGS.encryption : 0) | (incoming ? 0 : PEX_FLAGS.reachable);
    this.#entries.set(keyOf(group, peer), { host, port: incoming ? undefined : address.port, flags });
    this.#hasChanged ||= !incoming;
  }

  /** An incoming peer has named the port it listens on. */
  onListens(group: number, peer: number, port: number): void {
    const entry = this.#entries.get(keyOf(group, peer));
    if (entry === undefined || entry.port !== undefined) return;
    entry.port = port;
    this.#hasChanged = true;
  }

  /** The peers of a group that want nothing; all others do. */
  onSeeds(group: number, seeds: readonly number[]): void {
    const keys = new Set(seeds.map((peer) => keyOf(group, peer)));
    for (const [key, entry] of this.#entries) {
      if (!key.startsWith(`${group}/`)) continue;
      const flags = keys.has(key) ? entry.flags | PEX_FLAGS.uploadOnly : entry.flags & ~PEX_FLAGS.uploadOnly;
      this.#hasChanged ||= flags !== entry.flags && entry.port !== undefined;
      entry.flags = flags;
    }
  }

  onDisconnected(group: number, peer: number): void {
    const key = keyOf(group, peer);
    this.#hasChanged ||= this.#entries.get(key)?.port !== undefined;
    this.#entries.delete(key);
  }

  onGroupDeath(group: number): void {
    for (const key of [...this.#entries.keys()]) {
      if (key.startsWith(`${group}/`)) this.onDisconnected(group, Number(key.slice(key.indexOf('/') + 1)));
    }
  }

  /** The peers, each address once, when they have changed and it is time; `undefined` otherwise. */
  news(now: number): readonly PexPeer[] | undefined {
    if (!this.#hasChanged || now < this.#nextAt) return undefined;
    this.#hasChanged = false;
    this.#nextAt = now + this.#everyMs;
    const peers = new Map<string, PexPeer>();
    for (const { host, port, flags } of this.#entries.values()) {
      if (port === undefined || peers.size === MOST) continue;
      const key = addressKey({ host, port });
      peers.set(key, { host, port, flags: flags | (peers.get(key)?.flags ?? 0) });
    }
    return [...peers.values()];
  }
}

const keyOf = (group: number, peer: number): string => `${group}/${peer}`;

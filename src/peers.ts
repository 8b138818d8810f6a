/**
 * The swarm side of one torrent on main: whom to dial and through which group, which of two connections to one peer stays,
 * who is banned. The state is the peer list's; this turns it into messages. It touches no socket and knows no piece.
 */
import type { FromGroup, ToGroup } from './messages.js';
import type { Options } from './options.js';
import { canonicalIp, type Family, familyOf, type PeerAddress } from './protocol/address.js';
import type { EncryptionMode } from './protocol/mse.js';
import { PeerList } from './torrent/peer-list.js';

type Connected = Extract<FromGroup, { type: 'connected' }>;
type ConnectFailed = Extract<FromGroup, { type: 'connectFailed' }>;
type Disconnected = Extract<FromGroup, { type: 'disconnected' }>;

export interface PeersSettings {
  readonly torrent: number;
  readonly ownId: Uint8Array;
  readonly encryption: EncryptionMode;
  /** Address families that can be dialled; addresses of another are not remembered. */
  readonly families: readonly Family[];
  readonly options: Options;
  readonly send: (group: number, message: ToGroup) => void;
}

export interface PeersEvents {
  /** Addresses wait to be dialled, or there is room for more. */
  onCanDial(): void;
  /** Something happened to a peer, in words. */
  onPeer(what: string, address: PeerAddress, peerId?: Uint8Array): void;
  onWarning(message: string): void;
}

export class Peers {
  readonly #settings: PeersSettings;
  readonly #events: PeersEvents;
  readonly #list: PeerList;

  constructor(settings: PeersSettings, events: PeersEvents) {
    this.#settings = settings;
    this.#events = events;
    const { reconnectMs, silentMs } = settings.options;
    this.#list = new PeerList(settings.ownId, reconnectMs, settings.encryption, silentMs);
  }

  get connected(): number {
    return this.#list.connected;
  }

  get dialling(): number {
    return this.#list.dialling;
  }

  /** Addresses heard of. */
  get known(): number {
    return this.#list.known;
  }

  get everConnected(): boolean {
    return this.#list.everConnected;
  }

  /** Whether nobody is connected, dialled or waiting to be. */
  get isExhausted(): boolean {
    return this.#list.isExhausted;
  }

  add(addresses: Iterable<PeerAddress>, now: number): void {
    const reachable = [...addresses].filter(({ host }) => this.#settings.families.includes(familyOf(host)));
    if (this.#list.add(reachable, now) > 0) this.#events.onCanDial();
  }

  /**
   * Dials addresses that are due, at most `allowance`, each through the least loaded group.
   * @returns how many
   */
  dial(groups: readonly number[], allowance: number, now: number): number {
    const { torrent, options, send } = this.#settings;
    this.#list.freeSilentTwins(now);
    const { connected, incoming, dialling } = this.#list;
    // Who comes in does not keep us from dialling: a crowd at the door could starve a download.
    const room = Math.min(allowance, options.peersPerTorrent - (connected - incoming) - dialling);
    let dialled = 0;
    while (dialled < room && groups.length > 0) {
      const group = groups.reduce((least, next) => (this.#list.load(next) < this.#list.load(least) ? next : least));
      const address = this.#list.dial(group, now);
      if (address === undefined) break;
      send(group, { type: 'connect', torrent, ...address, encrypted: this.#list.isEncrypted(address) });
      dialled++;
    }
    return dialled;
  }

  onConnected(group: number, { peer, host, port, peerId, incoming }: Connected, now: number): void {
    const address = { host: canonicalIp(host) ?? host, port };
    if (this.#list.isBanned(address)) return this.#drop(group, peer, 'banned');
    const double = this.#list.onConnected({ group, peer, address, peerId, incoming }, now);
    if (double !== undefined) this.#drop(double.group, double.peer, 'duplicate');
    if (double?.group === group && double.peer === peer) return;
    if (incoming && double === undefined && this.#list.incoming > this.#settings.options.peersPerTorrent)
      return this.#drop(group, peer, 'full');
    this.#events.onPeer('connected', address, peerId);
  }

  /** An incoming peer can be dialled as well, once it has left. */
  onListens(group: number, peer: number, port: number): void {
    this.#list.onListens(group, peer, port);
  }

  onConnectFailed({ host, port, reason }: ConnectFailed, now: number): void {
    this.#list.onDialFailed({ host, port }, reason, now);
    this.#events.onPeer(`not connected: ${reason}`, { host, port });
    this.#events.onCanDial();
  }

  onDisconnected(group: number, { peer, reason, downloaded, uploaded }: Disconnected, now: number): void {
    const connection = this.#list.connection(group, peer);
    this.#list.onDisconnected(group, peer, reason, downloaded + uploaded > 0, now);
    if (connection === undefined) return;
    this.#events.onPeer(`disconnected: ${reason}`, connection.address, connection.peerId);
    this.#events.onCanDial();
  }

  /** These connections have moved payload of late. */
  onWorking(group: number, peers: readonly number[], now: number): void {
    for (const peer of peers) this.#list.onWorking(group, peer, now);
  }

  /** The IP address of a connection, also of one that has gone. */
  hostOf(group: number, peer: number): string | undefined {
    return this.#list.hostOf(group, peer);
  }

  /** A host has sent bad data: whatever connections it has go, and none is made with it or taken from it again. */
  ban(host: string): void {
    if (this.#list.isBannedHost(host)) return;
    for (const { group, peer } of this.#list.ban(host)) this.#drop(group, peer, 'banned');
    this.#events.onWarning(`peer ${host} is banned: it sent bad data`);
  }

  onGroupDeath(group: number, now: number): void {
    for (const { address } of this.#list.onGroupDeath(group, now)) {
      this.#events.onWarning(`peer ${address.host} is banned: two worker threads died while it was connected`);
    }
  }

  #drop(group: number, peer: number, reason: 'banned' | 'duplicate' | 'full'): void {
    this.#settings.send(group, { type: 'drop', peers: [peer], reason });
  }
}

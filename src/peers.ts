/**
 * The swarm side of one torrent on main: whom to dial and through which group, which of two connections to one peer stays,
 * who is banned. The state is the peer list's; this turns it into messages. It touches no socket and knows no piece.
 */
import type { DisconnectReason, FromGroup, ToGroup } from './messages.js';
import type { Options } from './options.js';
import { canonicalIp, type Family, familyOf, isLoopback, isUnicast, type PeerAddress } from './protocol/address.js';
import type { PexPeer } from './protocol/extension.js';
import type { EncryptionMode } from './protocol/mse.js';
import type { Census } from './torrent/census.js';
import type { ExternalAddress } from './torrent/external-address.js';
import { Pace } from './torrent/pace.js';
import { type PeerConnection, PeerList } from './torrent/peer-list.js';
import { PeerRanking } from './torrent/peer-ranking.js';
import { Roster } from './torrent/roster.js';
import { Turnover } from './torrent/turnover.js';

type Connected = Extract<FromGroup, { type: 'connected' }>;
type ConnectFailed = Extract<FromGroup, { type: 'connectFailed' }>;
type Disconnected = Extract<FromGroup, { type: 'disconnected' }>;
type Survey = Extract<FromGroup, { type: 'survey' }>;

export interface PeersSettings {
  readonly torrent: number;
  readonly ownId: Uint8Array;
  readonly encryption: EncryptionMode;
  /** Address families that can be dialled; addresses of another are not remembered. */
  readonly families: readonly Family[];
  /** The port we announce. */
  readonly port: number;
  /** Where the world sees us, as far as the session's peers tell. */
  readonly external: ExternalAddress;
  readonly options: Options;
  /** The session's connections. */
  readonly census: Census;
  readonly send: (group: number, message: ToGroup) => void;
}

export interface PeersEvents {
  /** Addresses wait to be dialled, or there is room for more. */
  onCanDial(): void;
  /** The group is about to be told to dial. */
  onDial(group: number): void;
  /** Something happened to a peer, in words. */
  onPeer(what: string, address: PeerAddress, peerId?: Uint8Array): void;
  onWarning(message: string): void;
}

export class Peers {
  readonly #settings: PeersSettings;
  readonly #events: PeersEvents;
  readonly #list: PeerList;
  readonly #ranking: PeerRanking;
  readonly #turnover: Turnover<PeerConnection>;
  readonly #roster: Roster;
  readonly #dials: Pace;
  /** As the session's census has it. */
  #counted = { connected: 0, dialling: 0 };

  constructor(settings: PeersSettings, events: PeersEvents) {
    this.#settings = settings;
    this.#events = events;
    const { reconnectMs, silentMs, turnoverPerMinute, surveyMs, peersPerTorrent, dialsPerSecond } = settings.options;
    this.#list = new PeerList(settings.ownId, reconnectMs, settings.encryption, silentMs);
    this.#ranking = new PeerRanking(settings.external, settings.port);
    this.#turnover = new Turnover(turnoverPerMinute);
    this.#roster = new Roster(surveyMs);
    this.#dials = new Pace(peersPerTorrent, dialsPerSecond);
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

  /** Addresses that could be dialled, now or later. */
  get waiting(): number {
    return this.#list.waiting;
  }

  /** Whether nobody is connected, dialled or waiting to be. */
  get isExhausted(): boolean {
    return this.#list.isExhausted;
  }

  /** Addresses from a tracker or the user, or from a peer at the host `teller`. */
  add(addresses: Iterable<PeerAddress>, now: number, teller?: string): void {
    const reachable = [...addresses].filter((address) => this.#isReachable(address, teller));
    if (this.#list.add(reachable, now, teller) > 0) this.#events.onCanDial();
  }

  /** Many trackers name us among the others; and nobody else has a word in what this machine is asked over its own loopback. */
  #isReachable({ host, port }: PeerAddress, teller: string | undefined): boolean {
    const { families, external, port: ours } = this.#settings;
    const family = familyOf(host);
    if (!families.includes(family) || !isUnicast(host) || (port === ours && host === external.of(family))) return false;
    return teller === undefined || !isLoopback(host) || isLoopback(teller);
  }

  /**
   * Dials addresses that are due, at most `allowance`, each through the least loaded group.
   * @returns how many
   */
  dial(groups: readonly number[], allowance: number, now: number): number {
    const { torrent, send } = this.#settings;
    const room = Math.min(allowance, this.#roomToDial, this.#dials.available(now));
    // With more addresses than room their canonical priority decides (BEP 40).
    const rank = this.#list.waiting > room ? this.#rank : undefined;
    let dialled = 0;
    while (dialled < room && groups.length > 0) {
      const group = groups.reduce((least, next) => (this.#list.load(next) < this.#list.load(least) ? next : least));
      const address = this.#list.dial(group, now, rank);
      if (address === undefined) break;
      this.#events.onDial(group);
      send(group, { type: 'connect', torrent, ...address, encrypted: this.#list.isEncrypted(address) });
      dialled++;
    }
    this.#dials.take(dialled);
    this.#count();
    return dialled;
  }

  #count(): void {
    const { connected, dialling } = this.#list;
    this.#settings.census.onChange(connected - this.#counted.connected, dialling - this.#counted.dialling);
    this.#counted = { connected, dialling };
  }

  /** Who comes in does not keep us from dialling: a crowd at the door could starve a download. */
  get #roomToDial(): number {
    const { connected, incoming, dialling } = this.#list;
    return this.#settings.options.peersPerTorrent - (connected - incoming) - dialling;
  }

  readonly #rank = (address: PeerAddress): number | undefined => this.#ranking.of(address);

  /** Whether addresses are due that only wait for room in the session. */
  isWaiting(now: number): boolean {
    return this.#roomToDial > 0 && this.#list.hasDue(now);
  }

  /** @param starving whether we lack pieces and nobody has given anything for a while */
  onTick(starving: boolean, now: number): void {
    this.#turnover.isStarving = starving;
    if (this.#list.freeSilentTwins(now)) this.#events.onCanDial();
    this.makeRoom(false, now);
  }

  /** The torrent is full, or the session is: somebody useless makes room for addresses that wait. @returns whether one does */
  makeRoom(sessionIsFull: boolean, now: number): boolean {
    const isFull = sessionIsFull || this.#roomToDial + this.#turnover.leaving(false) <= 0;
    const leaving = this.#turnover.leaving(true) + this.#turnover.leaving(false);
    if (sessionIsFull && leaving > 0) return true;
    if (!isFull || !this.#turnover.canChoose(now) || !(sessionIsFull || this.#list.hasDue(now))) return false;
    return this.#replace((connection) => sessionIsFull || !connection.incoming, undefined, now);
  }

  /** Has one of some connections go for others, if any may. */
  #replace(isOfUse: (connection: PeerConnection) => boolean, newcomer: number | undefined, now: number): boolean {
    const connections = [...this.#list.connections()].filter(isOfUse);
    const chosen = this.#turnover.choose(connections, ({ address }) => this.#ranking.of(address), newcomer, now);
    if (chosen !== undefined) this.#drop(chosen.group, chosen.peer, 'useless');
    return chosen !== undefined;
  }

  /** Whether an incoming peer, already counted, can stay: where there are too many, somebody else has to go for it. */
  #admits(newcomer: PeerConnection, now: number): boolean {
    const { options, census } = this.#settings;
    const crowd = this.#list.incoming - this.#turnover.leaving(true) - options.peersPerTorrent;
    const surplus = census.excess - this.#turnover.leaving(true) - this.#turnover.leaving(false);
    if (Math.max(crowd, surplus) <= 0) return true;
    if (Math.max(crowd, surplus) > 1) return false;
    const isOfUse = (other: PeerConnection): boolean => other !== newcomer && (crowd <= 0 || other.incoming);
    return this.#replace(isOfUse, this.#ranking.of(newcomer.address), now);
  }

  onConnected(group: number, { peer, host, port, peerId, incoming, encrypted }: Connected, now: number): void {
    const address = { host: canonicalIp(host) ?? host, port };
    if (this.#list.isBanned(address)) return this.#drop(group, peer, 'banned');
    const double = this.#list.onConnected({ group, peer, address, peerId, incoming }, now);
    this.#count();
    this.#roster.onConnected(group, peer, address, { incoming, encrypted: encrypted === true });
    if (double !== undefined) this.#drop(double.group, double.peer, 'duplicate');
    if (double?.group === group && double.peer === peer) return;
    const connection = this.#list.connection(group, peer);
    // Who takes the place of its twin needs no other.
    const needsPlace = incoming && double === undefined && connection !== undefined;
    if (needsPlace && !this.#admits(connection, now)) return this.#drop(group, peer, 'full');
    this.#events.onPeer('connected', address, peerId);
  }

  /** An incoming peer can be dialled as well, once it has left. */
  onListens(group: number, peer: number, port: number, now: number): void {
    this.#list.onListens(group, peer, port, now);
    this.#roster.onListens(group, peer, port);
  }

  /** A peer has told whom else it is connected to. */
  onDiscovered(group: number, peer: number, addresses: readonly PeerAddress[], now: number): void {
    const teller = this.#list.hostOf(group, peer);
    if (teller !== undefined) this.add(addresses, now, teller);
  }

  /** A peer has told the address it sees us at. */
  onSeenAs(group: number, peer: number, host: string): void {
    const voter = this.#list.connection(group, peer)?.address.host;
    if (voter !== undefined) this.#settings.external.onClaim(voter, host);
  }

  /** A group has looked over its peers. */
  onSurvey(group: number, { useless, quiet, seeds }: Survey): void {
    this.#turnover.onSurvey(group, useless, quiet);
    this.#roster.onSeeds(group, seeds);
  }

  /** The peers that others may be told of, when they have changed and it is time. */
  rosterNews(now: number): readonly PexPeer[] | undefined {
    return this.#roster.news(now);
  }

  onConnectFailed({ host, port, reason }: ConnectFailed, now: number): void {
    this.#list.onDialFailed({ host, port }, reason, now);
    this.#count();
    this.#events.onPeer(`not connected: ${reason}`, { host, port });
    this.#events.onCanDial();
  }

  onDisconnected(group: number, { peer, reason, downloaded, uploaded }: Disconnected, now: number): void {
    const connection = this.#list.connection(group, peer);
    // Who had to go for others is not dialled again before them, whatever it once gave.
    const isUseful = reason !== 'useless' && downloaded + uploaded > 0;
    this.#list.onDisconnected(group, peer, reason, isUseful, now);
    this.#count();
    this.#roster.onDisconnected(group, peer);
    if (connection === undefined) return;
    this.#turnover.onGone(connection);
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
    this.#turnover.onGroupDeath(group);
    this.#roster.onGroupDeath(group);
    const banned = this.#list.onGroupDeath(group, now);
    this.#count();
    this.#events.onCanDial();
    for (const { address } of banned) {
      this.#events.onWarning(`peer ${address.host} is banned: two worker threads died while it was connected`);
    }
  }

  /** The torrent has left: nobody is connected here any more. */
  leave(): void {
    this.#settings.census.onChange(-this.#counted.connected, -this.#counted.dialling);
    this.#counted = { connected: 0, dialling: 0 };
  }

  #drop(group: number, peer: number, reason: DisconnectReason): void {
    this.#settings.send(group, { type: 'drop', peers: [peer], reason });
  }
}

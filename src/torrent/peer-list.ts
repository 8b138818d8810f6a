/**
 * The peers of one torrent, as main knows them: where they can be reached, who is connected, whom to dial next and whom
 * never again. Pure; times are passed in.
 *
 * | state | leaves it when |
 * | --- | --- |
 * | idle | its time has come and there is room -> dialling |
 * | dialling | connected; failed -> idle, later each time |
 * | connected | disconnected -> idle |
 * | never | - (ourselves, a second address of a connected peer, banned) |
 *
 * A ban is of an IP address, whatever the port. A peer id proves nothing, since anybody can claim it: of two connections that
 * claim one, what each has given counts before their age and direction do.
 */
import type { DisconnectReason } from '../messages.js';
import { addressKey, type PeerAddress } from '../protocol/address.js';
import type { EncryptionMode } from '../protocol/mse.js';
import { AddressBook, type Sourced } from './address-book.js';
import type { Rank } from './dial-queue.js';
import { worseOf } from './duplicates.js';
import { Hosts } from './hosts.js';

interface Entry extends Sourced {
  state: 'idle' | 'dialling' | 'connected' | 'never';
  /** The group that dials or holds it. */
  group: number;
  failures: number;
  dialAt: number;
  /** Whether it is to be dialled encrypted. */
  encrypted: boolean;
  /** Whether the other way has just failed. */
  isSecondTry: boolean;
  /** State `never`, but only as long as this peer is connected: the address is another one of it. */
  twin: string | undefined;
}

/** One established connection. */
export interface PeerConnection {
  readonly group: number;
  /** Number in its group. */
  readonly peer: number;
  readonly address: PeerAddress;
  readonly peerId: Uint8Array;
  readonly incoming: boolean;
  /** Group deaths it was connected during. */
  deaths: number;
  /** When it was established, ms. */
  readonly since: number;
  /** When it last moved payload, either way; when it was established if it never did. */
  workedAt: number;
}

const MAX_BACKOFF_MS = 3_600_000;
/** Of the first wait, for who is there and hung up before the handshake: full most of the time, and often not for long. */
const BUSY_SHARE = 1 / 8;

export class PeerList {
  readonly #ownId: Uint8Array;
  readonly #reconnectMs: number;
  readonly #encryption: EncryptionMode;
  readonly #silentMs: number;
  readonly #book = new AddressBook<Entry>();
  readonly #connections = new Map<string, PeerConnection>();
  /** Connections that are to be dropped as duplicates and have not gone yet. */
  readonly #doomed = new Set<PeerConnection>();
  /** Entries in state `idle`: nothing to look for when there are none. */
  #idle = 0;
  #dialling = 0;
  #incoming = 0;
  /** Dials and dialled connections by group. */
  readonly #loads = new Map<number, number>();
  #everConnected = false;
  /** Deaths survived, by address: a peer that takes a group with it twice is not dialled a third time. */
  readonly #deaths = new Map<string, number>();
  readonly #hosts = new Hosts();
  /** When it is looked next for addresses whose peer is only claimed to be connected. */
  #freeAt = 0;

  /**
   * @param ownId our peer id
   * @param reconnectMs first wait before an address is dialled again; doubles. Who hung up waits less
   * @param silentMs a connection that moved no payload for so long loses against another of its peer; longer than dials that
   * cross are apart
   */
  constructor(
    ownId: Uint8Array,
    reconnectMs: number,
    encryption: EncryptionMode = 'prefer',
    silentMs: number = Number.POSITIVE_INFINITY,
  ) {
    this.#silentMs = silentMs;
    this.#ownId = ownId;
    this.#reconnectMs = reconnectMs;
    this.#encryption = encryption;
  }

  /** Connections that are established. */
  get connected(): number {
    return this.#connections.size;
  }

  /** Connections that came in. */
  get incoming(): number {
    return this.#incoming;
  }

  get dialling(): number {
    return this.#dialling;
  }

  /** Addresses heard of. */
  get known(): number {
    return this.#book.size;
  }

  get everConnected(): boolean {
    return this.#everConnected;
  }

  /** Whether nobody is connected, dialled or waiting to be. */
  get isExhausted(): boolean {
    return this.#connections.size + this.#dialling + this.#idle === 0;
  }

  /** Dials of a group and the connections that came of them. */
  load(group: number): number {
    return this.#loads.get(group) ?? 0;
  }

  connections(): IterableIterator<PeerConnection> {
    return this.#connections.values();
  }

  connection(group: number, peer: number): PeerConnection | undefined {
    return this.#connections.get(`${group}/${peer}`);
  }

  /**
   * @param teller the host of the peer that told them; `undefined` for trackers and the user
   * @returns how many were new
   */
  add(addresses: Iterable<PeerAddress>, now: number, teller?: string): number {
    let added = 0;
    const untried = this.#book.untried();
    for (const address of addresses) {
      const known = this.#book.get(addressKey(address));
      if (known !== undefined && teller === undefined) this.#book.believe(known);
      if (known !== undefined || this.#hosts.isBanned(address.host)) continue;
      if (teller !== undefined && teller !== address.host && this.#book.isKnownEnough(address.host)) continue;
      if (this.#book.isFull(teller)) {
        // Nothing makes room for hearsay.
        const least = teller === undefined ? untried.next().value : undefined;
        if (least === undefined) continue;
        this.#forget(least);
      }
      this.#book.add(this.#entryOf(address, now, teller));
      this.#idle++;
      added++;
    }
    return added;
  }

  /** Addresses that could be dialled, now or later. */
  get waiting(): number {
    return this.#idle;
  }

  /** Whether an address is due to be dialled. */
  hasDue(now: number): boolean {
    return this.#idle > 0 && this.#book.next(now, undefined) !== undefined;
  }

  /**
   * The next address for a group to dial, marked as dialling; `undefined` when none is due.
   * @param rank of equals the one it is highest for comes first, else the one heard of first
   */
  dial(group: number, now: number, rank?: Rank): PeerAddress | undefined {
    const entry = this.#idle > 0 ? this.#book.next(now, rank) : undefined;
    if (entry === undefined) return undefined;
    entry.group = group;
    this.#move(entry, 'dialling');
    return entry.address;
  }

  /** Whether an address is to be dialled encrypted. */
  isEncrypted(address: PeerAddress): boolean {
    return this.#book.get(addressKey(address))?.encrypted === true;
  }

  /**
   * A peer that hangs up on a plaintext handshake may want encryption: it is tried at once. Who says nothing, or is kept from it on the
   * way, is tried encrypted next time, and in plaintext right after that.
   */
  onDialFailed(address: PeerAddress, reason: DisconnectReason, now: number): void {
    const entry = this.#book.get(addressKey(address));
    if (entry?.state !== 'dialling') return;
    const { encrypted, isSecondTry } = entry;
    const isRefusal = reason === 'closed' || (encrypted && (reason === 'silent' || reason === 'protocol'));
    const triesOtherWay = this.#encryption === 'prefer' && isRefusal && !isSecondTry;
    if (triesOtherWay) this.#move(entry, 'idle');
    else this.#retire(entry, reason, false, now, reason === 'closed' ? BUSY_SHARE * this.#reconnectMs : undefined);
    entry.isSecondTry = triesOtherWay;
    if (this.#encryption === 'prefer') entry.encrypted = !encrypted && (triesOtherWay || reason === 'silent');
  }

  /**
   * A connection is established.
   * @returns the connection to drop when the peer is connected twice, or claims to be
   */
  onConnected(
    connection: Omit<PeerConnection, 'deaths' | 'since' | 'workedAt'>,
    now: number,
  ): PeerConnection | undefined {
    const { group, peer, address, peerId, incoming } = connection;
    const key = addressKey(address);
    const fresh: PeerConnection = { ...connection, deaths: this.#deaths.get(key) ?? 0, since: now, workedAt: now };
    const twin = this.#findTwin(peerId);
    this.#connections.set(`${group}/${peer}`, fresh);
    if (incoming) this.#incoming++;
    this.#everConnected = true;
    const entry = this.#book.get(key);
    if (entry !== undefined && !incoming) {
      this.#book.believe(entry);
      this.#move(entry, 'connected');
    }
    if (twin === undefined) return undefined;
    const doomed = worseOf(twin, fresh, this.#ownId, this.#silentMs, now);
    this.#doomed.add(doomed);
    return doomed;
  }

  /** A connection has moved payload. */
  onWorking(group: number, peer: number, now: number): void {
    const connection = this.connection(group, peer);
    if (connection !== undefined) connection.workedAt = now;
  }

  /**
   * Addresses that were put aside because their peer seems to be connected, from another host, are tried again when that
   * connection is silent: it may only claim to be that peer. Each time later, since two idle ways to one peer look the same.
   * @returns whether there are any
   */
  freeSilentTwins(now: number): boolean {
    if (now < this.#freeAt) return false;
    this.#freeAt = now + this.#silentMs;
    const before = this.#idle;
    for (const entry of this.#book.values()) {
      if (entry.twin === undefined || entry.dialAt > now) continue;
      const twin = this.#findTwin(Buffer.from(entry.twin, 'latin1'));
      if (twin === undefined || twin.address.host === entry.address.host) continue;
      if (now - twin.workedAt >= this.#silentMs) this.#free(entry);
    }
    return this.#idle > before;
  }

  /** The IP address of a connection, also of one that has gone. */
  hostOf(group: number, peer: number): string | undefined {
    return this.connection(group, peer)?.address.host ?? this.#hosts.ofDeparted(group, peer);
  }

  /**
   * A connected peer has named the port it listens on: an address to dial when it has left, and not before. One that waits for its time
   * anyway goes on waiting: two that hang up on one another would dial each other back and forth.
   */
  onListens(group: number, peer: number, port: number, now: number): void {
    const connection = this.connection(group, peer);
    if (connection === undefined || !connection.incoming) return;
    const address = { host: connection.address.host, port };
    this.add([address], 0, address.host);
    const entry = this.#book.get(addressKey(address));
    if (entry?.state !== 'idle' || entry.dialAt > now) return;
    this.#move(entry, 'never');
    entry.twin = idOf(connection.peerId);
  }

  /** @param useful whether the peer gave or took payload */
  onDisconnected(group: number, peer: number, reason: DisconnectReason, useful: boolean, now: number): void {
    const connection = this.connection(group, peer);
    if (connection === undefined) return;
    this.#connections.delete(`${group}/${peer}`);
    this.#hosts.onDeparted(group, peer, connection.address.host);
    if (connection.incoming) this.#incoming--;
    // The other end knows the rule, too, and may be quicker to close.
    const isDuplicate = this.#doomed.delete(connection) || reason === 'duplicate';
    this.#freeTwins(connection, now + this.#restMs(reason));
    const entry = this.#book.get(addressKey(connection.address));
    if (entry?.state !== 'connected' || connection.incoming) return;
    this.#retire(entry, isDuplicate ? 'duplicate' : reason, useful, now);
    if (!isDuplicate) return;
    entry.twin = idOf(connection.peerId);
    this.#freeTwins(connection, now);
  }

  /** A group died and its connections with it. @returns those that should be banned: twice is no accident */
  onGroupDeath(group: number, now: number): PeerConnection[] {
    const suspects: PeerConnection[] = [];
    const onlyOne = this.#connections.size === 1;
    for (const connection of [...this.#connections.values()]) {
      if (connection.group !== group) continue;
      connection.deaths++;
      this.#deaths.set(addressKey(connection.address), connection.deaths);
      if (connection.deaths >= 2 && !onlyOne) suspects.push(connection);
      this.onDisconnected(group, connection.peer, 'closed', true, now);
      const entry = this.#book.get(addressKey(connection.address));
      if (entry?.state === 'idle') entry.dialAt = now;
    }
    for (const entry of this.#book.values()) {
      if (entry.state === 'dialling' && entry.group === group) this.#move(entry, 'idle');
    }
    for (const { address } of suspects) this.#shun(address);
    this.#hosts.onGroupDeath(group);
    return suspects;
  }

  /** A host has sent bad data: nothing is dialled there again. @returns its open connections */
  ban(host: string): PeerConnection[] {
    this.#hosts.ban(host);
    for (const { address } of this.#book.values()) if (address.host === host) this.#shun(address);
    return [...this.#connections.values()].filter(({ address }) => address.host === host);
  }

  isBannedHost(host: string): boolean {
    return this.#hosts.isBanned(host);
  }

  /** Whether a connection with this address is refused. */
  isBanned(address: PeerAddress): boolean {
    const entry = this.#book.get(addressKey(address));
    return this.#hosts.isBanned(address.host) || (entry?.state === 'never' && entry.twin === undefined);
  }

  /** The address is never dialled again. Its neighbours may be others behind one IP address: nothing is proven. */
  #shun(address: PeerAddress): void {
    const key = addressKey(address);
    const known = this.#book.get(key);
    const entry = known ?? this.#entryOf(address, 0, undefined);
    if (known === undefined) {
      this.#book.add(entry);
      this.#idle++;
    }
    entry.twin = undefined;
    this.#move(entry, 'never');
  }

  #entryOf(address: PeerAddress, dialAt: number, teller: string | undefined): Entry {
    const encrypted = this.#encryption === 'require';
    return {
      address,
      state: 'idle',
      group: 0,
      failures: 0,
      dialAt,
      encrypted,
      isSecondTry: false,
      teller,
      twin: undefined,
    };
  }

  #findTwin(peerId: Uint8Array): PeerConnection | undefined {
    for (const connection of this.#connections.values()) {
      if (Buffer.compare(connection.peerId, peerId) === 0 && !this.#doomed.has(connection)) return connection;
    }
    return undefined;
  }

  /** A peer has left: the other addresses that claim to be it may be dialled again. Anybody can claim a peer id. */
  #freeTwins({ peerId }: PeerConnection, now: number): void {
    if (this.#findTwin(peerId) !== undefined) return;
    const twin = idOf(peerId);
    for (const entry of this.#book.values()) {
      if (entry.twin !== twin) continue;
      entry.dialAt = now;
      this.#free(entry);
    }
  }

  #free(entry: Entry): void {
    entry.twin = undefined;
    this.#move(entry, 'idle');
  }

  /** How long nobody calls back who has gone: who had to go for others waits for these, and of two seeds neither wants the other. */
  #restMs(reason: DisconnectReason): number {
    if (reason === 'both-seeds') return Number.POSITIVE_INFINITY;
    return reason === 'useless' ? this.#reconnectMs : 0;
  }

  #retire(entry: Entry, reason: DisconnectReason, useful: boolean, now: number, firstMs = this.#reconnectMs): void {
    const hopeless = reason === 'self' || reason === 'duplicate' || reason === 'banned';
    this.#move(entry, hopeless ? 'never' : 'idle');
    if (useful) entry.failures = 0;
    else if (!hopeless && this.#book.givesWay(entry)) this.#forget(entry);
    const backoffMs = Math.min(firstMs * 2 ** entry.failures, MAX_BACKOFF_MS);
    entry.dialAt = now + Math.max(backoffMs, this.#restMs(reason));
    if (!useful) entry.failures++;
    this.#book.toTheEnd(entry);
  }

  #forget(entry: Entry): void {
    this.#move(entry, 'never');
    this.#book.delete(entry);
  }

  #move(entry: Entry, state: Entry['state']): void {
    if (entry.state === 'idle') this.#idle--;
    if (entry.state === 'dialling') this.#dialling--;
    if (isLoad(entry.state)) this.#loads.set(entry.group, this.load(entry.group) - 1);
    if (state === 'idle') {
      this.#idle++;
      this.#book.onIdle(entry);
    }
    if (state === 'dialling') this.#dialling++;
    if (isLoad(state)) this.#loads.set(entry.group, this.load(entry.group) + 1);
    entry.state = state;
  }
}

const isLoad = (state: Entry['state']): boolean => state === 'dialling' || state === 'connected';

const idOf = (peerId: Uint8Array): string => Buffer.from(peerId).toString('latin1');

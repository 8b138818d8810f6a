/**
 * Announces and scrapes over UDP (BEP 15, URL data BEP 41): one client per session with one socket per address family, because
 * a tracker gives its connection id to an address. Connections are shared by all torrents of a tracker. The packets are read and
 * written by `protocol/tracker-udp.ts`; when to announce is decided by `announcer.ts`.
 */
import dgram from 'node:dgram';
import { messageOf } from '../errors.js';
import type { Options } from '../options.js';
import { addressKey, canonicalIp, type Family, familyOf, isPort, type PeerAddress } from '../protocol/address.js';
import { type AnnounceAnswer, type AnnounceRequest, printable, TrackerError } from '../protocol/announce.js';
import { type ScrapeCounts, scrapeBatches } from '../protocol/scrape.js';
import {
  announceRequest,
  connectRequest,
  parseUdpAnswer,
  scrapeRequest,
  type UdpAnswer,
} from '../protocol/tracker-udp.js';
import { type Clock, OVER, systemClock, unlessAborted, within } from './clock.js';
import { addressesOf, type Lookup, noAddress, usableFamily } from './lookup.js';
import { Pacer } from './pacer.js';

export type UdpTrackerOptions = Pick<Options, 'udpResendMs' | 'udpTotalMs'>;

export interface UdpTrackerDeps {
  /** Uniform in [0, 1), unpredictable: transaction ids keep strangers from answering. */
  readonly random: () => number;
  readonly clock?: Clock;
  readonly lookup: Lookup;
  /** Canonical local address to send from, which also decides the family; any when absent. */
  readonly bind?: string | undefined;
}

/** BEP 15: a client uses a connection id for a minute. */
const CONNECTION_LIFE_MS = 60_000;
/** Requests of many torrents go out one by one, when more than this come at once. */
const PACE_MS = 1;
const BURST = 32;

/** What a connect request brought. */
interface Link {
  /** Where the answer came from, and announces go. */
  readonly to: PeerAddress;
  readonly connectionId: bigint;
}

/** A link, or the attempt to get one; the attempt ends with its last waiter. */
interface Connection {
  readonly link: Promise<Link>;
  readonly attempt: AbortController;
  waiters: number;
  /** On the clock; infinite during the attempt. */
  usableUntil: number;
}

interface Transaction {
  /** Only this address may answer. */
  readonly from: string;
  resolve(answer: UdpAnswer): void;
  reject(error: unknown): void;
}

export class UdpTrackers {
  readonly #options: UdpTrackerOptions;
  readonly #random: () => number;
  readonly #clock: Clock;
  readonly #lookup: Lookup;
  readonly #bind: string | undefined;
  readonly #pacer: Pacer;
  readonly #sockets = new Map<Family, dgram.Socket>();
  readonly #transactions = new Map<number, Transaction>();
  /** By host and port as the URL has them, and families. */
  readonly #connections = new Map<string, Connection>();
  #closed = false;

  constructor(options: UdpTrackerOptions, deps: UdpTrackerDeps) {
    this.#options = options;
    this.#random = deps.random;
    this.#clock = deps.clock ?? systemClock;
    this.#lookup = deps.lookup;
    this.#bind = deps.bind;
    this.#pacer = new Pacer(this.#clock, PACE_MS, BURST);
  }

  /**
   * One announce, with the name look-up and the connect request it may need.
   * @param tracker its URL as the torrent has it
   * @param family the only one to announce over; when absent, the first that answers
   * @param onSent called at once: no queue is longer than a second or two
   * @throws TrackerError; or the signal's reason when it is aborted
   */
  async announce(
    tracker: string,
    request: AnnounceRequest,
    signal: AbortSignal,
    family?: Family,
    onSent?: () => void,
  ): Promise<AnnounceAnswer> {
    onSent?.();
    const target = udpTarget(tracker, usableFamily(family, this.#bind));
    const write: Writer = (connectionId, transactionId) =>
      announceRequest(connectionId, transactionId, request, target.urlData);
    return (await this.#request(target, 'announce', write, signal)).answer;
  }

  /**
   * The counts of swarms, asked for in as many packets as it takes, one after the other.
   * @param tracker its announce URL as the torrent has it
   * @param infohashes 20 bytes each
   * @returns in the order of `infohashes`; `undefined` for what the answer leaves out
   * @throws TrackerError; or the signal's reason when it is aborted
   */
  async scrape(
    tracker: string,
    infohashes: readonly Uint8Array[],
    signal: AbortSignal,
  ): Promise<(ScrapeCounts | undefined)[]> {
    const target = udpTarget(tracker, usableFamily(undefined, this.#bind));
    const found: (ScrapeCounts | undefined)[] = [];
    for (const batch of scrapeBatches(infohashes)) {
      const write: Writer = (connectionId, transactionId) => scrapeRequest(connectionId, transactionId, batch);
      const { counts } = await this.#request(target, 'scrape', write, signal);
      found.push(...batch.map((_, i) => counts[i]));
    }
    return found;
  }

  /** Closes the sockets; announces under way fail. */
  close(): void {
    this.#closed = true;
    const reason = new TrackerError('the client was closed');
    this.#pacer.close(reason);
    for (const { attempt } of this.#connections.values()) attempt.abort(reason);
    this.#connections.clear();
    this.#dropSockets(reason);
  }

  #request<A extends Action>(target: Target, action: A, write: Writer, signal: AbortSignal): Promise<AnswerTo<A>> {
    const { udpTotalMs } = this.#options;
    const late = (): Error => new TrackerError(`no answer within ${udpTotalMs} ms`);
    return within(this.#clock, udpTotalMs, late, signal, (bounds) => this.#ask(target, action, write, bounds));
  }

  async #ask<A extends Action>(target: Target, action: A, write: Writer, signal: AbortSignal): Promise<AnswerTo<A>> {
    for (;;) {
      const known = this.#usable(target.key);
      const connection = known ?? this.#open(target);
      const { to, connectionId } = await this.#linkOf(connection, target.key, signal);
      const written = (transactionId: number): Uint8Array => write(connectionId, transactionId);
      const answer = await this.#exchange(to, written, signal).catch((error: unknown) => {
        this.#forget(target.key, connection);
        throw error;
      });
      if (isAnswerTo(action, answer)) return answer;
      if (answer.action !== 'error') throw unexpected(action, answer.action);
      // A tracker that was restarted knows nothing of the connection ids it gave before.
      const outdated = known !== undefined && /connection/i.test(answer.message);
      if (!outdated) throw refusal(answer.message);
      this.#forget(target.key, connection);
    }
  }

  // Connections

  #usable(key: string): Connection | undefined {
    const connection = this.#connections.get(key);
    return connection !== undefined && this.#clock.now() < connection.usableUntil ? connection : undefined;
  }

  /** The link of a connection; an attempt nobody waits for any more is given up. */
  async #linkOf(connection: Connection, key: string, signal: AbortSignal): Promise<Link> {
    connection.waiters++;
    try {
      return await unlessAborted(connection.link, signal);
    } finally {
      connection.waiters--;
      const pending = connection.usableUntil === Number.POSITIVE_INFINITY;
      if (pending && connection.waiters === 0) {
        this.#forget(key, connection);
        connection.attempt.abort(signal.reason);
      }
    }
  }

  /** Starts to connect; everybody who asks meanwhile waits for the same attempt. */
  #open(target: Target): Connection {
    const attempt = new AbortController();
    const link = this.#link(target, attempt.signal);
    const connection: Connection = { link, attempt, waiters: 0, usableUntil: Number.POSITIVE_INFINITY };
    this.#connections.set(target.key, connection);
    link.then(
      () => {
        // Early enough that the last resend is still within the minute.
        connection.usableUntil = this.#clock.now() + CONNECTION_LIFE_MS - this.#options.udpTotalMs;
      },
      () => this.#forget(target.key, connection),
    );
    return connection;
  }

  #forget(key: string, connection: Connection): void {
    if (this.#connections.get(key) === connection) this.#connections.delete(key);
  }

  /** Asks the first address of each family at once, since either may lead nowhere; the first answer wins. */
  async #link({ host, port, families }: Target, signal: AbortSignal): Promise<Link> {
    const addresses = await unlessAborted(addressesOf(host, this.#lookup), signal).catch((error: unknown) => {
      throw asTrackerError(error);
    });
    const hosts = families.flatMap((family) => addresses.find((a) => familyOf(a) === family) ?? []);
    if (hosts.length === 0) throw asTrackerError(noAddress(host, addresses.length === 0 ? undefined : families[0]));
    const decided = new AbortController();
    const onAbort = (): void => decided.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.any(hosts.map((address) => this.#handshake({ host: address, port }, decided.signal)));
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error;
    } finally {
      signal.removeEventListener('abort', onAbort);
      decided.abort(OVER);
    }
  }

  async #handshake(to: PeerAddress, signal: AbortSignal): Promise<Link> {
    const answer = await this.#exchange(to, connectRequest, signal);
    if (answer.action === 'connect') return { to, connectionId: answer.connectionId };
    throw answer.action === 'error' ? refusal(answer.message) : unexpected('connect', answer.action);
  }

  // Packets

  /** Sends one request until it is answered or the signal is aborted. */
  async #exchange(
    to: PeerAddress,
    write: (transactionId: number) => Uint8Array,
    signal: AbortSignal,
  ): Promise<UdpAnswer> {
    await this.#pacer.turn(signal);
    const transactionId = this.#freshTransactionId();
    const settled = new AbortController();
    const answered = new Promise<UdpAnswer>((resolve, reject) => {
      this.#transactions.set(transactionId, { from: addressKey(to), resolve, reject });
      this.#sendRepeatedly(to, write(transactionId), settled.signal, reject).catch(reject);
    });
    try {
      return await unlessAborted(answered, signal);
    } finally {
      this.#transactions.delete(transactionId);
      settled.abort(OVER);
    }
  }

  async #sendRepeatedly(
    to: PeerAddress,
    packet: Uint8Array,
    signal: AbortSignal,
    onError: (error: TrackerError) => void,
  ): Promise<void> {
    for (let waitMs = this.#options.udpResendMs; ; waitMs *= 2) {
      this.#socket(familyOf(to.host)).send(packet, to.port, to.host, (error: Error | null) => {
        if (error) onError(asTrackerError(error));
      });
      const again = await this.#clock.sleep(waitMs, signal).then(
        () => true,
        () => false,
      );
      if (!again) return;
    }
  }

  #freshTransactionId(): number {
    for (;;) {
      const transactionId = Math.floor(this.#random() * 2 ** 32);
      if (!this.#transactions.has(transactionId)) return transactionId;
    }
  }

  #onPacket(bytes: Uint8Array, from: dgram.RemoteInfo, family: Family): void {
    if (bytes.length < 8) return;
    const transactionId = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
    const transaction = this.#transactions.get(transactionId);
    const host = canonicalIp(from.address);
    if (transaction === undefined || host === undefined) return;
    if (transaction.from !== addressKey({ host, port: from.port })) return;
    try {
      transaction.resolve(parseUdpAnswer(bytes, family));
    } catch (error) {
      transaction.reject(error);
    }
  }

  #socket(family: Family): dgram.Socket {
    if (this.#closed) throw new TrackerError('the client was closed');
    const open = this.#sockets.get(family);
    if (open !== undefined) return open;
    const socket = dgram.createSocket(family === 4 ? { type: 'udp4' } : { type: 'udp6', ipv6Only: true });
    this.#sockets.set(family, socket);
    // Otherwise the first packet binds it to any address.
    if (this.#bind !== undefined) socket.bind({ address: this.#bind, port: 0 });
    socket.on('message', (bytes, from) => this.#onPacket(bytes, from, family));
    // Nothing else will answer on this socket; the next announce opens another.
    socket.on('error', (error) => this.#dropSockets(asTrackerError(error), family));
    return socket;
  }

  #dropSockets(error: TrackerError, only?: Family): void {
    for (const [family, socket] of this.#sockets) {
      if (only !== undefined && family !== only) continue;
      this.#sockets.delete(family);
      socket.close();
    }
    for (const { from, reject } of this.#transactions.values()) {
      if (only === undefined || from.startsWith('[') === (only === 6)) reject(error);
    }
  }
}

type Action = 'announce' | 'scrape';
type AnswerTo<A extends Action> = Extract<UdpAnswer, { action: A }>;
type Writer = (connectionId: bigint, transactionId: number) => Uint8Array;

const isAnswerTo = <A extends Action>(action: A, answer: UdpAnswer): answer is AnswerTo<A> => answer.action === action;

interface Target {
  readonly host: string;
  readonly port: number;
  /** To ask over; the first answer wins. */
  readonly families: readonly Family[];
  /** Host, port and families, to share connections by. */
  readonly key: string;
  /** BEP 41: path and query. */
  readonly urlData: string;
}

/** @throws TrackerError when it is no `udp://HOST:PORT` URL */
function udpTarget(tracker: string, family: Family | undefined): Target {
  const url = URL.canParse(tracker) ? new URL(tracker) : undefined;
  const port = Number(url?.port);
  if (url?.protocol !== 'udp:' || url.hostname === '' || !isPort(port)) {
    throw new TrackerError(`expected udp://HOST:PORT, got ${JSON.stringify(printable(tracker))}`);
  }
  const host = url.hostname.toLowerCase();
  const families: readonly Family[] = family === undefined ? [4, 6] : [family];
  return { host, port, families, key: `${host}:${port} ${families}`, urlData: `${url.pathname}${url.search}` };
}

const ANSWERS = { connect: 'a connect answer', announce: 'an announce answer', scrape: 'a scrape answer' } as const;

function unexpected(expected: keyof typeof ANSWERS, got: keyof typeof ANSWERS): TrackerError {
  return new TrackerError(`expected ${ANSWERS[expected]}, got ${ANSWERS[got]}`);
}

function refusal(message: string): TrackerError {
  return new TrackerError(`the tracker refused: ${message || 'no reason given'}`);
}

function asTrackerError(error: unknown): TrackerError {
  return error instanceof TrackerError ? error : new TrackerError(printable(messageOf(error)), { cause: error });
}

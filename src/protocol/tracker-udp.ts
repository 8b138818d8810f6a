/**
 * The packets of UDP trackers (BEP 15) and the URL data option (BEP 41), both directions: a client writes requests and reads
 * answers, the embedded tracker the other way round. One packet is one datagram; nothing here knows a socket, resends or checks
 * who sent it. All numbers are big-endian.
 */
import { decodeCompact, encodeCompact, type Family, type PeerAddress } from './address.js';
import {
  type AnnounceAnswer,
  type AnnounceEvent,
  type AnnounceRequest,
  MAX_PEERS,
  printable,
  TrackerError,
} from './announce.js';
import { MAX_SCRAPE, type ScrapeCounts } from './scrape.js';

/** The constant every connect request starts with. */
const PROTOCOL_ID = 0x41727101980n;

const ACTION = { connect: 0, announce: 1, scrape: 2, error: 3 } as const;

/** BEP 15: the numbers of the events; none is 0, and `paused`, which came later, has none. */
const EVENTS: readonly (AnnounceEvent | undefined)[] = [undefined, 'completed', 'started', 'stopped'];

const CONNECT_REQUEST_LENGTH = 16;
const CONNECT_ANSWER_LENGTH = 16;
const ANNOUNCE_REQUEST_LENGTH = 98;
const ANNOUNCE_ANSWER_LENGTH = 20;
const SCRAPE_REQUEST_LENGTH = 16;
const SCRAPE_ANSWER_LENGTH = 8;
const ERROR_LENGTH = 8;

const INFOHASH_LENGTH = 20;
/** Seeders, completed and leechers of one swarm. */
const COUNTS_LENGTH = 12;

/** BEP 41 option types. */
const OPTION = { end: 0, nop: 1, urlData: 2 } as const;
const OPTION_MAX = 255;

export type UdpAnswer =
  | { readonly action: 'connect'; readonly transactionId: number; readonly connectionId: bigint }
  | { readonly action: 'announce'; readonly transactionId: number; readonly answer: AnnounceAnswer }
  /** In the order of the request's infohashes. */
  | { readonly action: 'scrape'; readonly transactionId: number; readonly counts: readonly ScrapeCounts[] }
  | { readonly action: 'error'; readonly transactionId: number; readonly message: string };

export type UdpRequest =
  | { readonly action: 'connect'; readonly transactionId: number }
  | {
      readonly action: 'announce';
      readonly transactionId: number;
      readonly connectionId: bigint;
      readonly request: AnnounceRequest;
      /** Path and query of the tracker's URL, when the client sent them. */
      readonly urlData: string;
    }
  | {
      readonly action: 'scrape';
      readonly transactionId: number;
      readonly connectionId: bigint;
      readonly infohashes: readonly Uint8Array[];
    };

// The client's side

/** @param transactionId unsigned 32 bits */
export function connectRequest(transactionId: number): Uint8Array {
  const { bytes, view } = packet(CONNECT_REQUEST_LENGTH);
  view.setBigUint64(0, PROTOCOL_ID);
  view.setUint32(8, ACTION.connect);
  view.setUint32(12, transactionId);
  return bytes;
}

/**
 * @param connectionId from the tracker's connect answer
 * @param transactionId unsigned 32 bits
 * @param urlData path and query of the tracker's URL (BEP 41); '' sends the plain packet of BEP 15
 */
export function announceRequest(
  connectionId: bigint,
  transactionId: number,
  request: AnnounceRequest,
  urlData = '',
): Uint8Array {
  const options = urlDataOptions(urlData);
  const { bytes, view } = packet(ANNOUNCE_REQUEST_LENGTH + options.length);
  view.setBigUint64(0, connectionId);
  view.setUint32(8, ACTION.announce);
  view.setUint32(12, transactionId);
  bytes.set(request.infohash, 16);
  bytes.set(request.peerId, 36);
  view.setBigUint64(56, BigInt(request.downloaded));
  view.setBigUint64(64, BigInt(request.left));
  view.setBigUint64(72, BigInt(request.uploaded));
  view.setUint32(80, Math.max(0, EVENTS.indexOf(request.event)));
  view.setUint32(84, 0); // the address is the packet's sender
  view.setUint32(88, request.key);
  view.setInt32(92, request.numwant);
  view.setUint16(96, request.port);
  bytes.set(options, ANNOUNCE_REQUEST_LENGTH);
  return bytes;
}

/**
 * @param connectionId from the tracker's connect answer
 * @param transactionId unsigned 32 bits
 * @param infohashes 1 to `MAX_SCRAPE` of them
 */
export function scrapeRequest(
  connectionId: bigint,
  transactionId: number,
  infohashes: readonly Uint8Array[],
): Uint8Array {
  const { bytes, view } = packet(SCRAPE_REQUEST_LENGTH + infohashes.length * INFOHASH_LENGTH);
  view.setBigUint64(0, connectionId);
  view.setUint32(8, ACTION.scrape);
  view.setUint32(12, transactionId);
  for (const [i, infohash] of infohashes.entries()) bytes.set(infohash, SCRAPE_REQUEST_LENGTH + i * INFOHASH_LENGTH);
  return bytes;
}

/**
 * Reads what a tracker sent.
 * @param family of the sender's address: it decides the length of a peer entry
 * @throws TrackerError when the packet is too short for its action or the action is unknown
 */
export function parseUdpAnswer(bytes: Uint8Array, family: Family): UdpAnswer {
  const view = viewOf(bytes);
  need(bytes, ERROR_LENGTH, 'any answer');
  const action = view.getUint32(0);
  const transactionId = view.getUint32(4);
  switch (action) {
    case ACTION.connect:
      need(bytes, CONNECT_ANSWER_LENGTH, 'a connect answer');
      return { action: 'connect', transactionId, connectionId: view.getBigUint64(8) };
    case ACTION.announce:
      need(bytes, ANNOUNCE_ANSWER_LENGTH, 'an announce answer');
      return { action: 'announce', transactionId, answer: announceAnswerOf(view, bytes, family) };
    case ACTION.scrape:
      return { action: 'scrape', transactionId, counts: countsOf(view) };
    case ACTION.error:
      return { action: 'error', transactionId, message: printable(bytes.subarray(ERROR_LENGTH)) };
    default:
      throw new TrackerError(`expected a UDP tracker's answer with action 0 to 3, got action ${action}`);
  }
}

function announceAnswerOf(view: DataView, bytes: Uint8Array, family: Family): AnnounceAnswer {
  const seconds = notNegative(view.getInt32(8));
  return {
    peers: decodeCompact(bytes.subarray(ANNOUNCE_ANSWER_LENGTH), family, MAX_PEERS),
    names: [],
    intervalMs: seconds === undefined ? undefined : seconds * 1000,
    minIntervalMs: undefined,
    trackerId: undefined,
    seeders: notNegative(view.getInt32(16)),
    leechers: notNegative(view.getInt32(12)),
    warning: undefined,
  };
}

/** What a packet has of them; an entry that is cut short is none. */
function countsOf(view: DataView): ScrapeCounts[] {
  const count = Math.min(Math.floor((view.byteLength - SCRAPE_ANSWER_LENGTH) / COUNTS_LENGTH), MAX_SCRAPE);
  return Array.from({ length: count }, (_, i) => {
    const at = SCRAPE_ANSWER_LENGTH + i * COUNTS_LENGTH;
    return { seeders: view.getUint32(at), completed: view.getUint32(at + 4), leechers: view.getUint32(at + 8) };
  });
}

function need(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length >= length) return;
  throw new TrackerError(`expected at least ${length} bytes for ${what} of a UDP tracker, got ${bytes.length}`);
}

function notNegative(value: number): number | undefined {
  return value < 0 ? undefined : value;
}

// The tracker's side

/** Reads what a client sent; `undefined` when it is none of the requests, which a tracker leaves unanswered. */
export function parseUdpRequest(bytes: Uint8Array): UdpRequest | undefined {
  if (bytes.length < CONNECT_REQUEST_LENGTH) return undefined;
  const view = viewOf(bytes);
  const connectionId = view.getBigUint64(0);
  const action = view.getUint32(8);
  const transactionId = view.getUint32(12);
  if (action === ACTION.connect && connectionId === PROTOCOL_ID) return { action: 'connect', transactionId };
  if (action === ACTION.scrape) {
    const infohashes = infohashesOf(bytes);
    return infohashes.length === 0 ? undefined : { action: 'scrape', transactionId, connectionId, infohashes };
  }
  const event = bytes.length < ANNOUNCE_REQUEST_LENGTH ? 0 : view.getUint32(80);
  if (action !== ACTION.announce || bytes.length < ANNOUNCE_REQUEST_LENGTH || event >= EVENTS.length) return undefined;
  const request: AnnounceRequest = {
    infohash: bytes.slice(16, 36),
    peerId: bytes.slice(36, 56),
    downloaded: Number(view.getBigUint64(56)),
    left: Number(view.getBigUint64(64)),
    uploaded: Number(view.getBigUint64(72)),
    event: EVENTS[event],
    key: view.getUint32(88),
    numwant: view.getInt32(92),
    port: view.getUint16(96),
  };
  return { action: 'announce', transactionId, connectionId, request, urlData: urlDataOf(bytes) };
}

/** Those of a scrape request; one that is cut short, and what comes after the last that is answered, is left out. */
function infohashesOf(bytes: Uint8Array): Uint8Array[] {
  const count = Math.min(Math.floor((bytes.length - SCRAPE_REQUEST_LENGTH) / INFOHASH_LENGTH), MAX_SCRAPE);
  return Array.from({ length: count }, (_, i) => {
    const at = SCRAPE_REQUEST_LENGTH + i * INFOHASH_LENGTH;
    return bytes.slice(at, at + INFOHASH_LENGTH);
  });
}

export function connectAnswer(transactionId: number, connectionId: bigint): Uint8Array {
  const { bytes, view } = packet(CONNECT_ANSWER_LENGTH);
  view.setUint32(0, ACTION.connect);
  view.setUint32(4, transactionId);
  view.setBigUint64(8, connectionId);
  return bytes;
}

export interface UdpAnnounceAnswer {
  /** Seconds. */
  readonly interval: number;
  readonly seeders: number;
  readonly leechers: number;
  readonly peers: readonly PeerAddress[];
}

/** @param family of the client's address; peers of the other family are left out */
export function announceAnswer(transactionId: number, answer: UdpAnnounceAnswer, family: Family): Uint8Array {
  const peers = encodeCompact(answer.peers, family);
  const { bytes, view } = packet(ANNOUNCE_ANSWER_LENGTH + peers.length);
  view.setUint32(0, ACTION.announce);
  view.setUint32(4, transactionId);
  view.setUint32(8, answer.interval);
  view.setUint32(12, answer.leechers);
  view.setUint32(16, answer.seeders);
  bytes.set(peers, ANNOUNCE_ANSWER_LENGTH);
  return bytes;
}

/** @param counts of the request's infohashes, in their order */
export function scrapeAnswer(transactionId: number, counts: readonly ScrapeCounts[]): Uint8Array {
  const { bytes, view } = packet(SCRAPE_ANSWER_LENGTH + counts.length * COUNTS_LENGTH);
  view.setUint32(0, ACTION.scrape);
  view.setUint32(4, transactionId);
  for (const [i, { seeders, completed = 0, leechers }] of counts.entries()) {
    const at = SCRAPE_ANSWER_LENGTH + i * COUNTS_LENGTH;
    view.setUint32(at, seeders);
    view.setUint32(at + 4, completed);
    view.setUint32(at + 8, leechers);
  }
  return bytes;
}

export function errorAnswer(transactionId: number, message: string): Uint8Array {
  const text = new TextEncoder().encode(message);
  const { bytes, view } = packet(ERROR_LENGTH + text.length);
  view.setUint32(0, ACTION.error);
  view.setUint32(4, transactionId);
  bytes.set(text, ERROR_LENGTH);
  return bytes;
}

// BEP 41

/** URL data options, in as many pieces of at most 255 bytes as it takes; the packet's end is theirs. */
function urlDataOptions(urlData: string): Uint8Array {
  const data = new TextEncoder().encode(urlData);
  const options: number[] = [];
  for (let start = 0; start < data.length; start += OPTION_MAX) {
    const part = data.subarray(start, start + OPTION_MAX);
    options.push(OPTION.urlData, part.length, ...part);
  }
  return Uint8Array.from(options);
}

/** The URL data after an announce request; other options are skipped, one that is cut short gives what is there. */
function urlDataOf(bytes: Uint8Array): string {
  const data: number[] = [];
  let at = ANNOUNCE_REQUEST_LENGTH;
  while (at < bytes.length && bytes[at] !== OPTION.end) {
    const type = bytes[at++];
    if (type === OPTION.nop) continue;
    const length = bytes[at++] ?? 0;
    if (type === OPTION.urlData) data.push(...bytes.subarray(at, at + length));
    at += length;
  }
  return new TextDecoder().decode(Uint8Array.from(data));
}

function packet(length: number): { readonly bytes: Uint8Array; readonly view: DataView } {
  const bytes = new Uint8Array(length);
  return { bytes, view: viewOf(bytes) };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

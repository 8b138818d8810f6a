/**
 * Announce and scrape of HTTP trackers as URL and bencode (BEP 3, compact peers BEP 23, IPv6 peers BEP 7, scrape BEP 48), both
 * directions: a client writes the URL and reads the answer, the embedded tracker the other way round. Sends nothing and knows no
 * HTTP; tolerant of what real trackers answer, since one peer list in an odd form is better than none.
 */
import {
  canonicalIp,
  decodeCompact,
  encodeCompact,
  type Family,
  type HostPort,
  isName,
  isPort,
  type PeerAddress,
} from './address.js';
import {
  type AnnounceAnswer,
  type AnnounceEvent,
  type AnnounceRequest,
  MAX_PEERS,
  printable,
  TrackerError,
} from './announce.js';
import {
  asBytes,
  asDict,
  asInteger,
  asList,
  asText,
  type BencodeDict,
  BencodeError,
  type BencodeValue,
  decodePrefix,
  encode,
} from './bencode.js';
import type { ScrapeCounts } from './scrape.js';

/** Most peers taken by host name: each costs a look-up, and names are rare. */
export const MAX_NAMES = 16;

/** A list of `MAX_PEERS` dictionaries, several times over. */
const MAX_TOKENS = 100_000;

/** A longer tracker id is not echoed: it would end in our URL. */
const MAX_TRACKER_ID = 512;

const DICT = 0x64;

const ANNOUNCE = 'announce';

// The client's side

/**
 * The URL of one announce. The tracker's own query (a passkey, say) stays first; a fragment is dropped. The 20-byte values are
 * escaped here, byte by byte: `URLSearchParams` takes them for text and corrupts them.
 * @param tracker the tracker's URL as the torrent has it
 */
export function announceUrl(tracker: string, request: AnnounceRequest): string {
  const pairs = [
    `info_hash=${escapeBytes(request.infohash)}`,
    `peer_id=${escapeBytes(request.peerId)}`,
    `port=${request.port}`,
    `uploaded=${request.uploaded}`,
    `downloaded=${request.downloaded}`,
    `left=${request.left}`,
    'compact=1',
    `numwant=${request.numwant}`,
    `key=${request.key.toString(16).padStart(8, '0').toUpperCase()}`,
  ];
  if (request.event !== undefined) pairs.push(`event=${request.event}`);
  if (request.trackerId !== undefined) pairs.push(`trackerid=${escapeBytes(request.trackerId)}`);
  return withQuery(tracker, pairs);
}

/**
 * Where a tracker is scraped. BEP 48: `announce` in the path becomes `scrape`; of several the last, which names the page.
 * @param tracker its announce URL as the torrent has it
 * @returns `undefined` when the path has none: the tracker cannot be scraped
 */
export function scrapePage(tracker: string): string | undefined {
  const [, origin = '', path = '', query = ''] = /^([a-z]+:\/\/[^/?#]*)([^?#]*)(\?[^#]*)?/i.exec(tracker) ?? [];
  const at = path.lastIndexOf(ANNOUNCE);
  if (at === -1) return undefined;
  return `${origin}${path.slice(0, at)}scrape${path.slice(at + ANNOUNCE.length)}${query}`;
}

/**
 * The URL of one scrape. Each infohash is in it once: opentracker answers a repeated one with a repeated key, which is no bencode.
 * @param page from `scrapePage`; its own query stays first, as in `announceUrl`
 */
export function scrapeUrl(page: string, infohashes: readonly Uint8Array[]): string {
  const pairs = infohashes.map((infohash) => `info_hash=${escapeBytes(infohash)}`);
  return withQuery(page, [...new Set(pairs)]);
}

function withQuery(page: string, pairs: readonly string[]): string {
  const url = page.split('#', 1)[0]!;
  const separator = !url.includes('?') ? '?' : /[?&]$/.test(url) ? '' : '&';
  return `${url}${separator}${pairs.join('&')}`;
}

/** Every byte but RFC 3986's unreserved characters as `%XX`. */
export function escapeBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    text += /[A-Za-z0-9._~-]/.test(char) ? char : `%${byte.toString(16).padStart(2, '0').toUpperCase()}`;
  }
  return text;
}

/**
 * Reads the body of an answer. Bytes after the dictionary are ignored: some trackers end it with a line feed.
 * @throws TrackerError with the tracker's `failure reason`, or naming what came instead of a bencoded dictionary
 */
export function parseHttpAnswer(body: Uint8Array): AnnounceAnswer {
  const answer = decodeAnswer(body);
  const reason = failureReason(answer);
  if (reason !== undefined) throw new TrackerError(reason);
  const four = peersOf(answer.get('peers'), 4);
  const six = peersOf(answer.get('peers6'), 6);
  const trackerId = asBytes(answer.get('tracker id'));
  const warning = asText(answer.get('warning message'));
  return {
    peers: [...four.peers, ...six.peers],
    names: [...four.names, ...six.names].slice(0, MAX_NAMES),
    intervalMs: milliseconds(answer.get('interval')),
    minIntervalMs: milliseconds(answer.get('min interval')),
    trackerId: trackerId !== undefined && trackerId.length <= MAX_TRACKER_ID ? trackerId : undefined,
    seeders: notNegative(answer.get('complete')),
    leechers: notNegative(answer.get('incomplete')),
    warning: warning === undefined ? undefined : printable(warning),
  };
}

/**
 * Reads the body of a scrape's answer.
 * @param infohashes what was asked for
 * @returns in their order; `undefined` for what the tracker does not count
 * @throws TrackerError as `parseHttpAnswer`
 */
export function parseHttpScrape(body: Uint8Array, infohashes: readonly Uint8Array[]): (ScrapeCounts | undefined)[] {
  const answer = decodeAnswer(body);
  const reason = failureReason(answer);
  if (reason !== undefined) throw new TrackerError(reason);
  const files = asDict(answer.get('files'));
  if (files === undefined) throw new TrackerError('expected a scrape answer with files, got one without');
  return infohashes.map((infohash) => {
    const file = asDict(files.get(asKey(infohash)));
    const seeders = notNegative(file?.get('complete'));
    const leechers = notNegative(file?.get('incomplete'));
    if (seeders === undefined || leechers === undefined) return undefined;
    return { seeders, completed: notNegative(file?.get('downloaded')), leechers };
  });
}

/** How `BencodeDict` spells a key of these bytes. */
function asKey(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes);
  return text.includes('\ufffd') ? Buffer.from(bytes).toString('hex') : text;
}

/** The `failure reason` in a body that need not be a tracker's answer, such as that of a 404; `undefined` when it has none. */
export function failureIn(body: Uint8Array): string | undefined {
  if (body[0] !== DICT) return undefined;
  try {
    return failureReason(decodeAnswer(body));
  } catch (error) {
    if (error instanceof TrackerError) return undefined;
    throw error;
  }
}

function failureReason(answer: BencodeDict): string | undefined {
  if (!answer.has('failure reason')) return undefined;
  return `the tracker refused: ${printable(asText(answer.get('failure reason')) ?? '') || 'no reason given'}`;
}

function decodeAnswer(body: Uint8Array): BencodeDict {
  if (body.length === 0) throw new TrackerError('expected a bencoded answer, got an empty one');
  if (body[0] !== DICT) {
    const start = printable(body.subarray(0, 40));
    const what = start.startsWith('<') ? 'HTML or XML' : 'something else';
    throw new TrackerError(`expected a bencoded answer, got ${what} that starts with ${JSON.stringify(start)}`);
  }
  try {
    // A number that is too large is no reason to do without the peers beside it.
    const limits = { maxBytes: body.length, maxDepth: 10, maxTokens: MAX_TOKENS, maxInteger: Number.POSITIVE_INFINITY };
    const { value } = decodePrefix(body, limits);
    return asDict(value) ?? new Map();
  } catch (error) {
    if (!(error instanceof BencodeError)) throw error;
    throw new TrackerError(`the answer is damaged: ${error.message}`, { cause: error });
  }
}

interface PeerList {
  readonly peers: PeerAddress[];
  readonly names: HostPort[];
}

/** BEP 23 and 7: a string of compact entries; BEP 3: a list of dictionaries, in which either family and names may occur. */
function peersOf(value: BencodeValue | undefined, family: Family): PeerList {
  const compact = asBytes(value);
  const found: PeerList = { peers: compact ? decodeCompact(compact, family, MAX_PEERS) : [], names: [] };
  for (const entry of (asList(value) ?? []).slice(0, MAX_PEERS)) {
    const peer = asDict(entry);
    const host = asText(peer?.get('ip'));
    const port = asInteger(peer?.get('port'));
    if (host === undefined || !isPort(port)) continue;
    const ip = canonicalIp(host);
    if (ip !== undefined) found.peers.push({ host: ip, port });
    else if (isName(host)) found.names.push({ host: host.toLowerCase(), port });
  }
  return found;
}

/** Seconds on the wire. */
function milliseconds(value: BencodeValue | undefined): number | undefined {
  const seconds = notNegative(value);
  return seconds === undefined ? undefined : seconds * 1000;
}

function notNegative(value: BencodeValue | undefined): number | undefined {
  const number = asInteger(value);
  return number !== undefined && number >= 0 ? number : undefined;
}

// The tracker's side

export interface HttpAnnounce {
  readonly request: AnnounceRequest;
  /** Whether the client takes compact peers; BEP 23 lets a tracker assume so. */
  readonly compact: boolean;
}

/**
 * Reads the query of an announce URL.
 * @param query what follows `?`
 * @throws TrackerError naming the parameter that is missing or wrong
 */
export function parseAnnounceQuery(query: string): HttpAnnounce {
  const values = new Map(pairsOf(query));
  const text = (name: string): string | undefined => {
    const value = values.get(name);
    return value && String.fromCharCode(...value.subarray(0, 20));
  };
  const id = (name: string): Uint8Array => twentyBytes(name, values.get(name));
  const count = (name: string, otherwise: number): number => {
    const digits = text(name);
    if (digits === undefined || digits === '') return otherwise;
    const number = /^\d+$/.test(digits) ? Number(digits) : Number.NaN;
    if (Number.isSafeInteger(number)) return number;
    throw new TrackerError(`expected ${name} to be a whole number, got ${JSON.stringify(printable(digits))}`);
  };
  const port = count('port', 0);
  if (!isPort(port)) throw new TrackerError(`expected port to be 1 to 65535, got ${port}`);
  const request: AnnounceRequest = {
    infohash: id('info_hash'),
    peerId: id('peer_id'),
    port,
    uploaded: count('uploaded', 0),
    downloaded: count('downloaded', 0),
    left: count('left', 1),
    numwant: count('numwant', DEFAULT_NUMWANT),
    key: Number.parseInt(text('key') ?? '0', 16) >>> 0,
    event: EVENTS.find((event) => event === text('event')),
    trackerId: values.get('trackerid'),
  };
  return { request, compact: text('compact') !== '0' };
}

/**
 * Reads the query of a scrape URL.
 * @param query what follows `?`
 * @returns at least one infohash
 * @throws TrackerError when there is none, or one that is none
 */
export function parseScrapeQuery(query: string): Uint8Array[] {
  const wanted = pairsOf(query).filter(([name]) => name === 'info_hash');
  // BEP 48 knows no scrape of everything.
  if (wanted.length === 0) throw new TrackerError('expected 20 bytes of info_hash, got none');
  return wanted.map(([name, value]) => twentyBytes(name, value));
}

/** Names and values of a query, in order. */
function pairsOf(query: string): [string, Uint8Array][] {
  return query.split('&').map((pair) => {
    const [name, value = ''] = pair.split('=', 2) as [string, string?];
    return [name, unescapeBytes(value)];
  });
}

function twentyBytes(name: string, value: Uint8Array | undefined): Uint8Array {
  if (value?.length === 20) return value;
  throw new TrackerError(`expected 20 bytes of ${name}, got ${value?.length ?? 'none'}`);
}

const EVENTS: readonly AnnounceEvent[] = ['started', 'completed', 'stopped', 'paused'];

/** BEP 3's customary number when a client names none. */
const DEFAULT_NUMWANT = 50;

/** `%XX` becomes a byte; anything else is one byte per character. */
function unescapeBytes(text: string): Uint8Array {
  const plain = text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Uint8Array.from(plain, (char) => char.charCodeAt(0) & 0xff);
}

export interface HttpAnnounceAnswer {
  /** Seconds. */
  readonly interval: number;
  readonly seeders: number;
  readonly leechers: number;
  readonly peers: readonly PeerAddress[];
}

/** The body of an answer with peers; with `compact` those of IPv6 are in `peers6`, else all are in a list of dictionaries. */
export function httpAnswer({ interval, seeders, leechers, peers }: HttpAnnounceAnswer, compact: boolean): Uint8Array {
  const counts = { complete: seeders, incomplete: leechers, interval };
  if (!compact) return encode({ ...counts, peers: peers.map(({ host, port }) => ({ ip: host, port })) });
  const six = encodeCompact(peers, 6);
  return encode({ ...counts, peers: encodeCompact(peers, 4), peers6: six.length > 0 ? six : undefined });
}

/** The body of a scrape's answer; an infohash that occurs twice is told once. */
export function httpScrapeAnswer(
  swarms: readonly (readonly [infohash: Uint8Array, counts: ScrapeCounts])[],
): Uint8Array {
  // By hand: `encode` takes no keys of arbitrary bytes. Latin-1 has one character per byte, in their order.
  const files = new Map(swarms.map(([infohash, counts]) => [latin1(infohash), counts]));
  const keys = [...files.keys()].sort();
  const entries = keys.map((key) => {
    const { seeders, completed, leechers } = files.get(key)!;
    return `20:${key}${latin1(encode({ complete: seeders, downloaded: completed, incomplete: leechers }))}`;
  });
  return Uint8Array.from(Buffer.from(`d5:filesd${entries.join('')}ee`, 'latin1'));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

/** The body of an answer that refuses. */
export function httpFailure(reason: string): Uint8Array {
  return encode({ 'failure reason': reason });
}

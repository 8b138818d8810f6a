/**
 * Announces and scrapes over HTTP and HTTPS (BEP 3, 48): one client per session, whose connections are kept and shared by all
 * torrents, for each address family apart (BEP 7). Bounds everything a tracker decides: time, redirects, length of the answer
 * before and after decompression. What an answer means is read by `protocol/tracker-http.ts`; when to announce is decided by
 * `announcer.ts`.
 */
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { messageOf } from '../errors.js';
import type { Options } from '../options.js';
import { canonicalIp, type Family, familyOf, type HostPort, type PeerAddress } from '../protocol/address.js';
import { type AnnounceAnswer, type AnnounceRequest, printable, TrackerError } from '../protocol/announce.js';
import { type ScrapeCounts, scrapeBatches } from '../protocol/scrape.js';
import {
  announceUrl,
  failureIn,
  parseHttpAnswer,
  parseHttpScrape,
  scrapePage,
  scrapeUrl,
} from '../protocol/tracker-http.js';
import { Gates } from './gate.js';
import { type Lookup, netLookup, noAddress, usableFamily } from './lookup.js';

export type HttpTrackerOptions = Pick<
  Options,
  'trackerConnectMs' | 'trackerTotalMs' | 'trackerBodyBytes' | 'trackerRedirects' | 'trackerConnectionsPerHost'
>;

export interface HttpTrackerDeps {
  /** `spate/<version>`. */
  readonly userAgent: string;
  readonly lookup: Lookup;
  /** The addresses of peers that are given by name, as many as are found soon. */
  readonly findPeers: (named: readonly HostPort[], signal: AbortSignal) => Promise<PeerAddress[]>;
  /** Canonical local address to connect from, which also decides the family; any when absent. */
  readonly bind?: string | undefined;
}

/** 1xx answers to one request (RFC 9110, section 15.2); an endless row of them keeps a core busy. */
const MAX_INTERIM = 16;
/** What may be read for an answer beyond twice its body: headers, frames, and short bodies byte by byte. */
const MAX_WRAPPING = 128 * 1024;
const CRUMBS = 'expected an answer, got crumbs of one';

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

interface Response {
  readonly status: number;
  readonly statusText: string;
  readonly headers: http.IncomingHttpHeaders;
  /** As sent; empty for a redirect, whose body nobody reads. */
  readonly body: Buffer;
}

/** A request, and what to make of the answer. */
interface Question<T> {
  readonly url: string;
  /** Whether it can wait for others: nobody waits for the answer. */
  readonly canWait: boolean;
  /** The URL that asks the same elsewhere: a tracker that redirects its bare address forgets our parameters. */
  at(page: string): string;
  read(body: Buffer, signal: AbortSignal): T | Promise<T>;
  /** It has a connection. */
  readonly onSent?: (() => void) | undefined;
}

/** What one request obeys: `begin` starts the total time, once it has a socket. */
interface Bounds {
  readonly family: Family | undefined;
  readonly canWait: boolean;
  readonly signal: AbortSignal;
  begin(): void;
}

export class HttpTrackers {
  readonly #options: HttpTrackerOptions;
  readonly #userAgent: string;
  readonly #lookup: Lookup;
  readonly #findPeers: HttpTrackerDeps['findPeers'];
  readonly #bind: string | undefined;
  /** By scheme and family. */
  readonly #agents = new Map<string, http.Agent>();
  readonly #gates: Gates;
  /** Questions under way, or waiting. */
  readonly #asking = new Set<AbortController>();
  /** Why there are no answers any more. */
  #closed: TrackerError | undefined;
  /** By origin and family, the last connection that failed, until one succeeds. */
  readonly #failed = new Map<string, { readonly at: number; readonly error: unknown }>();

  constructor(options: HttpTrackerOptions, { userAgent, lookup, findPeers, bind }: HttpTrackerDeps) {
    this.#options = options;
    this.#gates = new Gates(options.trackerConnectionsPerHost);
    this.#userAgent = userAgent;
    this.#lookup = lookup;
    this.#findPeers = findPeers;
    this.#bind = bind;
  }

  /**
   * One announce. The times start when a connection is free: in a batch, hundreds of torrents queue for one tracker.
   * @param tracker its URL as the torrent has it
   * @param family the only one to announce over; any when absent
   * @param onSent called when it has a connection
   * @throws TrackerError; or the signal's reason when it is aborted
   */
  async announce(
    tracker: string,
    request: AnnounceRequest,
    signal: AbortSignal,
    family?: Family,
    onSent?: () => void,
  ): Promise<AnnounceAnswer> {
    const at = (page: string): string => announceUrl(page, request);
    // A tracker shared by thousands: who begins must not wait behind those who leave.
    const canWait = request.event === 'completed' || request.event === 'stopped';
    const read = async (body: Buffer, bounds: AbortSignal): Promise<AnnounceAnswer> => {
      const { names, ...answer } = parseHttpAnswer(body);
      // Who is done or leaves has no use for peers.
      const named = names.length > 0 && !canWait ? await this.#findPeers(names, bounds) : [];
      return { ...answer, peers: [...answer.peers, ...named], names: [] };
    };
    return this.#ask({ url: at(tracker), canWait, at, read, onSent }, signal, family);
  }

  /**
   * The counts of swarms, asked for in as many requests as it takes, one after the other.
   * @param tracker its announce URL as the torrent has it
   * @param infohashes 20 bytes each
   * @returns in the order of `infohashes`; `undefined` for what the tracker does not count
   * @throws TrackerError, also when the URL is none that can be scraped; or the signal's reason when it is aborted
   */
  async scrape(
    tracker: string,
    infohashes: readonly Uint8Array[],
    signal: AbortSignal,
  ): Promise<(ScrapeCounts | undefined)[]> {
    const page = scrapePage(tracker);
    if (page === undefined) {
      throw new TrackerError(`expected "announce" in the path of a tracker to scrape, got ${quoted(tracker)}`);
    }
    const found: (ScrapeCounts | undefined)[] = [];
    for (const batch of scrapeBatches(infohashes)) {
      const at = (elsewhere: string): string => scrapeUrl(elsewhere, batch);
      const read = (body: Buffer): (ScrapeCounts | undefined)[] => parseHttpScrape(body, batch);
      found.push(...(await this.#ask({ url: at(page), canWait: true, at, read }, signal)));
    }
    return found;
  }

  async #ask<T>(question: Question<T>, signal: AbortSignal, wanted?: Family): Promise<T> {
    signal.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    const family = usableFamily(wanted, this.#bind);
    const { trackerTotalMs } = this.#options;
    const bounds = new AbortController();
    const onAbort = (): void => bounds.abort(signal.reason);
    const onLate = (): void => bounds.abort(new TrackerError(`no complete answer within ${trackerTotalMs} ms`));
    signal.addEventListener('abort', onAbort, { once: true });
    this.#asking.add(bounds);
    let timer: NodeJS.Timeout | undefined;
    const begin = (): void => {
      timer ??= setTimeout(onLate, trackerTotalMs);
      question.onSent?.();
    };
    try {
      const response = await this.#follow(question, {
        family,
        canWait: question.canWait,
        signal: bounds.signal,
        begin,
      });
      const answer = await this.#read(response, (body) => question.read(body, bounds.signal));
      bounds.signal.throwIfAborted();
      return answer;
    } catch (error) {
      if (bounds.signal.aborted) throw bounds.signal.reason;
      throw error instanceof TrackerError ? error : new TrackerError(causeOf(error), { cause: error });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      this.#asking.delete(bounds);
    }
  }

  /** Closes every connection; announces under way fail. */
  close(): void {
    // Before the agents: they would give queueing requests new connections.
    this.#closed = new TrackerError('the client was closed');
    for (const bounds of this.#asking) bounds.abort(this.#closed);
    for (const agent of this.#agents.values()) agent.destroy();
  }

  /** Requests a URL and what it redirects to. */
  async #follow({ url: first, at }: Question<unknown>, bounds: Bounds): Promise<Response> {
    let url = httpUrl(first);
    for (let redirects = 0; ; redirects++) {
      const response = await this.#request(url, bounds);
      const { location } = response.headers;
      if (!REDIRECTS.includes(response.status) || location === undefined) return response;
      if (redirects === this.#options.trackerRedirects) {
        throw new TrackerError(`expected at most ${redirects} redirects, got one more`);
      }
      const target = httpUrl(location, url);
      url = target.searchParams.has('info_hash') ? target : httpUrl(at(target.href));
    }
  }

  /** One request, when a connection is free for it; again when it met a kept one that the tracker had just closed. */
  async #request(url: URL, bounds: Bounds): Promise<Response> {
    const askedAt = performance.now();
    const destination = `${url.origin} ${bounds.family ?? ''}`;
    return await this.#gates.pass(destination, bounds.canWait, bounds.signal, async () => {
      for (let stale = 0; ; stale++) {
        bounds.signal.throwIfAborted();
        const mayRetry = stale < this.#options.trackerConnectionsPerHost;
        const response = await this.#exchange(url, bounds, askedAt, mayRetry);
        if (response !== undefined) return response;
      }
    });
  }

  /**
   * @param askedAt since when the request waits for a connection
   * @returns `undefined` when a kept connection turned out dead and `mayRetry`
   */
  #exchange(
    url: URL,
    { family, signal, begin }: Bounds,
    askedAt: number,
    mayRetry: boolean,
  ): Promise<Response | undefined> {
    const { get } = url.protocol === 'https:' ? https : http;
    const agent = this.#agentFor(url, family);
    const destination = `${url.origin} ${family ?? ''}`;
    const headers = { 'user-agent': this.#userAgent, accept: '*/*', 'accept-encoding': 'gzip, deflate' };
    let stopWatching = (): void => {};
    const exchanged = new Promise<Response | undefined>((resolve, reject) => {
      const sent = get(url, { agent, headers });
      const fail = (error: unknown): void => {
        reject(error);
        sent.destroy();
      };
      const onAbort = (): void => fail(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      stopWatching = () => signal.removeEventListener('abort', onAbort);
      let answered = false;
      let readBefore = 0;
      let interim = 0;
      sent.once('socket', (socket: Socket) => {
        begin();
        readBefore = socket.bytesRead;
        if (socket.connecting) this.#watchConnect(destination, socket, askedAt, fail);
      });
      sent.once('response', (response) => {
        answered = true;
        // opentracker closes each and does not say so; what is sent on one that it has closed can cost it the next one, too.
        if (!saysKeepAlive(response)) sent.shouldKeepAlive = false;
        this.#receive(response, readBefore).then(resolve, fail);
      });
      sent.on('information', () => {
        if (++interim > MAX_INTERIM) fail(new TrackerError(`expected an answer, got ${interim} interim ones`));
      });
      // Node would hang up without an error.
      sent.once('upgrade', ({ statusCode }) => fail(new TrackerError(`the tracker answered ${statusCode}`)));
      sent.on('error', (error: NodeJS.ErrnoException) => {
        const died = error.code === 'ECONNRESET' || error.code === 'EPIPE';
        if (mayRetry && died && sent.reusedSocket && !answered) resolve(undefined);
        else fail(error);
      });
    });
    return exchanged.finally(() => stopWatching());
  }

  /**
   * An agent of its own for each family: its look-ups give addresses of that one alone, and connections are not mixed up.
   * @throws TrackerError when the URL names an address of the other family
   */
  #agentFor({ protocol, hostname }: URL, family: Family | undefined): http.Agent {
    const literal = canonicalIp(hostname.replace(/^\[|\]$/g, ''));
    if (family !== undefined && literal !== undefined && familyOf(literal) !== family) {
      const cause = noAddress(hostname, family);
      throw new TrackerError(cause.message, { cause });
    }
    const key = `${protocol}${family ?? ''}`;
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const settings = {
      keepAlive: true,
      maxSockets: this.#options.trackerConnectionsPerHost,
      // Closes connections that are idle for so long; requests have their own deadlines.
      timeout: this.#options.trackerTotalMs,
      lookup: netLookup(this.#lookup, family),
      ...(this.#bind === undefined ? {} : { localAddress: this.#bind }),
    };
    const agent = protocol === 'https:' ? new https.Agent(settings) : new http.Agent(settings);
    this.#agents.set(key, agent);
    return agent;
  }

  /**
   * Bounds the time to connect, and fails every request that was queueing behind a connection that failed: hundreds of torrents
   * would otherwise wait for one dead tracker, four at a time.
   */
  #watchConnect(destination: string, socket: Socket, askedAt: number, fail: (error: unknown) => void): void {
    const { trackerConnectMs } = this.#options;
    const failed = this.#failed.get(destination);
    if (failed !== undefined && failed.at >= askedAt) return fail(failed.error);
    const onFailed = (error: unknown): void => {
      this.#failed.set(destination, { at: performance.now(), error });
      fail(error);
    };
    const onLate = (): void => onFailed(new TrackerError(`not connected within ${trackerConnectMs} ms`));
    const timer = setTimeout(onLate, trackerConnectMs);
    const onClose = (): void => clearTimeout(timer);
    socket.once('error', onFailed);
    socket.once('close', onClose);
    // The connection outlives the request: it must not hold on to it.
    socket.once(destination.startsWith('https:') ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      socket.off('error', onFailed);
      socket.off('close', onClose);
      this.#failed.delete(destination);
    });
  }

  /** @param readBefore what its socket had read before the request */
  async #receive(response: http.IncomingMessage, readBefore: number): Promise<Response> {
    const { statusCode: status = 0, statusMessage = '', headers } = response;
    const head = { status, statusText: printable(statusMessage), headers };
    if (REDIRECTS.includes(status) && headers.location !== undefined) {
      response.on('error', () => {}).destroy();
      return { ...head, body: Buffer.alloc(0) };
    }
    const { socket } = response;
    const chunks: Buffer[] = [];
    let length = 0;
    return new Promise((resolve, reject) => {
      const onCut = (): void => reject(new TrackerError('the connection ended before the answer did'));
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        chunks.push(chunk);
        if (length > this.#options.trackerBodyBytes) reject(this.#tooLong());
        // Chunks of a byte each are two million events within the cap.
        if (socket.bytesRead - readBefore > 2 * length + MAX_WRAPPING) reject(new TrackerError(CRUMBS));
      });
      response.on('error', onCut).on('close', onCut);
      response.on('end', () => resolve({ ...head, body: Buffer.concat(chunks, length) }));
    });
  }

  async #read<T>(response: Response, read: (body: Buffer) => T | Promise<T>): Promise<T> {
    const { status, statusText } = response;
    if (status >= 200 && status < 300) return await read(await this.#decoded(response));
    // Some trackers refuse with a bencoded reason and an honest status.
    const body = await this.#decoded(response).catch(() => undefined);
    const reason = body && failureIn(body);
    throw new TrackerError(reason ?? `the tracker answered ${status} ${statusText}`.trimEnd());
  }

  /** The body as it was before compression; the cap holds while it is inflated, so a bomb never unfolds. */
  async #decoded({ headers, body }: Response): Promise<Buffer> {
    const encoding = (headers['content-encoding'] ?? '').trim().toLowerCase();
    if (encoding === '' || encoding === 'identity' || body.length === 0) return body;
    const inflate = DECODERS.get(encoding)?.(body);
    if (inflate === undefined) {
      throw new TrackerError(`expected content encoding gzip or deflate, got ${JSON.stringify(printable(encoding))}`);
    }
    try {
      return await inflate(body, { maxOutputLength: this.#options.trackerBodyBytes });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw this.#tooLong();
      throw new TrackerError(`the compressed answer is damaged: ${messageOf(error)}`, { cause: error });
    }
  }

  #tooLong(): TrackerError {
    return new TrackerError(`expected an answer of at most ${this.#options.trackerBodyBytes} bytes, got more`);
  }
}

type Inflate = (body: Buffer, options: zlib.ZlibOptions) => Promise<Buffer>;

const gunzip: Inflate = promisify(zlib.gunzip);
const inflate: Inflate = promisify(zlib.inflate);
const inflateRaw: Inflate = promisify(zlib.inflateRaw);

/** By `Content-Encoding`. RFC 9110: `deflate` is the zlib format, but some servers send the bare stream. */
const DECODERS = new Map<string, (body: Buffer) => Inflate>([
  ['gzip', () => gunzip],
  ['x-gzip', () => gunzip],
  ['deflate', (body) => ((body[0]! & 0x0f) === 8 ? inflate : inflateRaw)],
]);

/**
 * @param base what a relative URL is relative to
 * @throws TrackerError when it is no URL or neither http nor https
 */
function httpUrl(text: string, base?: URL): URL {
  const url = parsed(text, base);
  if (url === undefined) throw new TrackerError(`expected an http or https URL, got ${quoted(text)}`);
  if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  throw new TrackerError(`expected an http or https URL, got a redirect to ${quoted(text)}`);
}

function parsed(text: string, base: URL | undefined): URL | undefined {
  try {
    return new URL(text, base?.href);
  } catch {
    return undefined;
  }
}

/** One line for a failed connection; trying both families of a name ends in an `AggregateError` without a message. */
function causeOf(error: unknown): string {
  const causes = error instanceof AggregateError && error.message === '' ? error.errors : [error];
  return printable(causes.map(messageOf).join('; ')) || 'the connection failed';
}

const quoted = (text: string): string => JSON.stringify(printable(text));

/** HTTP/1.1 means it without a word (RFC 9112, section 9.3), but not every tracker that says HTTP/1.1 does. */
function saysKeepAlive({ headers }: http.IncomingMessage): boolean {
  return /\bkeep-alive\b/i.test(headers.connection ?? '');
}

/**
 * Announces over HTTP and HTTPS (BEP 3): one client per session, whose connections are kept and shared by all torrents. Bounds
 * everything a tracker decides: time, redirects, length of the answer before and after decompression. What an answer means is
 * read by `protocol/tracker-http.ts`; when to announce is decided by `announcer.ts`.
 */
import { setMaxListeners } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { messageOf } from '../errors.js';
import type { Options } from '../options.js';
import type { HostPort, PeerAddress } from '../protocol/address.js';
import { type AnnounceAnswer, type AnnounceRequest, printable, TrackerError } from '../protocol/announce.js';
import { announceUrl, failureIn, parseHttpAnswer } from '../protocol/tracker-http.js';
import { systemClock } from './clock.js';
import { addressesOf, type Lookup, netLookup, sharedLookup, systemLookup } from './lookup.js';

export type HttpTrackerOptions = Pick<
  Options,
  'trackerConnectMs' | 'trackerTotalMs' | 'trackerBodyBytes' | 'trackerRedirects' | 'trackerConnectionsPerHost'
>;

export interface HttpTrackerDeps {
  /** `spate/<version>`. */
  readonly userAgent: string;
  readonly lookup?: Lookup;
}

/** Peers given by name are rare, and the others in the answer wait for them: no longer than this. */
const NAMES_MS = 2_000;

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

interface Response {
  readonly status: number;
  readonly statusText: string;
  readonly headers: http.IncomingHttpHeaders;
  /** As sent; empty for a redirect, whose body nobody reads. */
  readonly body: Buffer;
}

/** What one request obeys: `begin` starts the total time, once it has a socket. */
interface Bounds {
  readonly signal: AbortSignal;
  begin(): void;
}

export class HttpTrackers {
  readonly #options: HttpTrackerOptions;
  readonly #userAgent: string;
  readonly #lookup: Lookup;
  readonly #plain: http.Agent;
  readonly #secure: https.Agent;
  readonly #closed = new AbortController();
  /** By origin, the last connection that failed, until one succeeds. */
  readonly #failed = new Map<string, { readonly at: number; readonly error: unknown }>();

  constructor(options: HttpTrackerOptions, { userAgent, lookup = systemLookup }: HttpTrackerDeps) {
    setMaxListeners(0, this.#closed.signal);
    this.#options = options;
    this.#userAgent = userAgent;
    this.#lookup = sharedLookup(lookup);
    // `timeout` closes connections that are idle for so long; requests have their own deadlines.
    const agent = {
      keepAlive: true,
      maxSockets: options.trackerConnectionsPerHost,
      timeout: options.trackerTotalMs,
      lookup: netLookup(this.#lookup),
    };
    this.#plain = new http.Agent(agent);
    this.#secure = new https.Agent(agent);
  }

  /**
   * One announce. The times start when a connection is free: in a batch, hundreds of torrents queue for one tracker.
   * @param tracker its URL as the torrent has it
   * @throws TrackerError; or the signal's reason when it is aborted
   */
  async announce(tracker: string, request: AnnounceRequest, signal: AbortSignal): Promise<AnnounceAnswer> {
    const closed = this.#closed.signal;
    signal.throwIfAborted();
    closed.throwIfAborted();
    const { trackerTotalMs } = this.#options;
    const bounds = new AbortController();
    const onAbort = (): void => bounds.abort(signal.reason);
    const onClosed = (): void => bounds.abort(closed.reason);
    const onLate = (): void => bounds.abort(new TrackerError(`no complete answer within ${trackerTotalMs} ms`));
    signal.addEventListener('abort', onAbort, { once: true });
    closed.addEventListener('abort', onClosed, { once: true });
    let timer: NodeJS.Timeout | undefined;
    const begin = (): void => {
      timer ??= setTimeout(onLate, trackerTotalMs);
    };
    try {
      const response = await this.#follow(tracker, request, { signal: bounds.signal, begin });
      const answer = await this.#read(response);
      const named = answer.names.length > 0 ? await this.#resolve(answer.names, bounds.signal) : [];
      bounds.signal.throwIfAborted();
      return { ...answer, peers: [...answer.peers, ...named], names: [] };
    } catch (error) {
      if (bounds.signal.aborted) throw bounds.signal.reason;
      throw error instanceof TrackerError ? error : new TrackerError(causeOf(error), { cause: error });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      closed.removeEventListener('abort', onClosed);
    }
  }

  /** Closes every connection; announces under way fail. */
  close(): void {
    // Before the agents: they would give queueing requests new connections.
    this.#closed.abort(new TrackerError('the client was closed'));
    this.#plain.destroy();
    this.#secure.destroy();
  }

  /** Requests the announce URL and what it redirects to. */
  async #follow(tracker: string, request: AnnounceRequest, bounds: Bounds): Promise<Response> {
    let url = httpUrl(announceUrl(tracker, request));
    for (let redirects = 0; ; redirects++) {
      const response = await this.#request(url, bounds);
      const { location } = response.headers;
      if (!REDIRECTS.includes(response.status) || location === undefined) return response;
      if (redirects === this.#options.trackerRedirects) {
        throw new TrackerError(`expected at most ${redirects} redirects, got one more`);
      }
      const target = httpUrl(location, url);
      // A tracker that redirects its bare address forgets our parameters.
      url = target.searchParams.has('info_hash') ? target : httpUrl(announceUrl(target.href, request));
    }
  }

  /** One request; again when it met a kept connection that the tracker had just closed. */
  async #request(url: URL, bounds: Bounds): Promise<Response> {
    for (let stale = 0; ; stale++) {
      bounds.signal.throwIfAborted();
      const response = await this.#exchange(url, bounds, stale < this.#options.trackerConnectionsPerHost);
      if (response !== undefined) return response;
    }
  }

  /** @returns `undefined` when a kept connection turned out dead and `mayRetry` */
  #exchange(url: URL, { signal, begin }: Bounds, mayRetry: boolean): Promise<Response | undefined> {
    const askedAt = performance.now();
    const [{ get }, agent] = url.protocol === 'https:' ? [https, this.#secure] : [http, this.#plain];
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
      sent.once('socket', (socket: Socket) => {
        begin();
        if (socket.connecting) this.#watchConnect(url, socket, askedAt, fail);
      });
      sent.once('response', (response) => {
        answered = true;
        this.#receive(response).then(resolve, fail);
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        const died = error.code === 'ECONNRESET' || error.code === 'EPIPE';
        if (mayRetry && died && sent.reusedSocket && !answered) resolve(undefined);
        else fail(error);
      });
    });
    return exchanged.finally(() => stopWatching());
  }

  /**
   * Bounds the time to connect, and fails every request that was queueing behind a connection that failed: hundreds of torrents
   * would otherwise wait for one dead tracker, four at a time.
   */
  #watchConnect(url: URL, socket: Socket, askedAt: number, fail: (error: unknown) => void): void {
    const { trackerConnectMs } = this.#options;
    const failed = this.#failed.get(url.origin);
    if (failed !== undefined && failed.at >= askedAt) return fail(failed.error);
    const onFailed = (error: unknown): void => {
      this.#failed.set(url.origin, { at: performance.now(), error });
      fail(error);
    };
    const late = new TrackerError(`not connected within ${trackerConnectMs} ms`);
    const timer = setTimeout(onFailed, trackerConnectMs, late);
    socket.once('error', onFailed);
    socket.once('close', () => clearTimeout(timer));
    socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      socket.off('error', onFailed);
      this.#failed.delete(url.origin);
    });
  }

  async #receive(response: http.IncomingMessage): Promise<Response> {
    const { statusCode: status = 0, statusMessage = '', headers } = response;
    const head = { status, statusText: printable(statusMessage), headers };
    if (REDIRECTS.includes(status) && headers.location !== undefined) {
      response.on('error', () => {}).destroy();
      return { ...head, body: Buffer.alloc(0) };
    }
    const chunks: Buffer[] = [];
    let length = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > this.#options.trackerBodyBytes) throw this.#tooLong();
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof TrackerError) throw error;
      throw new TrackerError('the connection ended before the answer did', { cause: error });
    }
    return { ...head, body: Buffer.concat(chunks, length) };
  }

  async #read(response: Response): Promise<AnnounceAnswer> {
    const { status, statusText } = response;
    if (status >= 200 && status < 300) return parseHttpAnswer(await this.#decoded(response));
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

  /** The first address of each name; names that cannot be found in time are left out. */
  async #resolve(names: readonly HostPort[], signal: AbortSignal): Promise<PeerAddress[]> {
    const found: PeerAddress[] = [];
    const all = names.map(async ({ host, port }) => {
      const [address] = await addressesOf(host, this.#lookup).catch(() => []);
      if (address !== undefined) found.push({ host: address, port });
    });
    const enough = new AbortController();
    const onAbort = (): void => enough.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    const patience = systemClock.sleep(NAMES_MS, enough.signal).catch(() => {});
    await Promise.race([Promise.all(all), patience]);
    enough.abort();
    signal.removeEventListener('abort', onAbort);
    return [...found];
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
  if (!URL.canParse(text, base?.href)) {
    throw new TrackerError(`expected an http or https URL, got ${JSON.stringify(printable(text))}`);
  }
  const url = new URL(text, base?.href);
  if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  throw new TrackerError(`expected an http or https URL, got a redirect to ${JSON.stringify(printable(text))}`);
}

/** One line for a failed connection; trying both families of a name ends in an `AggregateError` without a message. */
function causeOf(error: unknown): string {
  const causes = error instanceof AggregateError && error.message === '' ? error.errors : [error];
  return printable(causes.map(messageOf).join('; ')) || 'the connection failed';
}

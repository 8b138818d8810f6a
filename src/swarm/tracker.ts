/**
 * A small BitTorrent tracker for loopback swarms: demo, benches and tests. Speaks HTTP (BEP 3, 7, 23, 48) and UDP (BEP 15), on the
 * same port number where it is free. Everything is in memory and nobody expires: it lives for minutes. Not for the open net,
 * but no request, however wrong, brings it down.
 */
import { createHash, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf, SpateError } from '../errors.js';
import {
  addressKey,
  canonicalIp,
  type Family,
  familyOf,
  formatAddress,
  isPort,
  type PeerAddress,
} from '../protocol/address.js';
import { type AnnounceRequest, TrackerError } from '../protocol/announce.js';
import {
  httpAnswer,
  httpFailure,
  httpScrapeAnswer,
  parseAnnounceQuery,
  parseScrapeQuery,
} from '../protocol/tracker-http.js';
import { announceAnswer, connectAnswer, errorAnswer, parseUdpRequest, scrapeAnswer } from '../protocol/tracker-udp.js';

export interface TrackerSettings {
  /** IP literal to listen on; 127.0.0.1. */
  readonly host?: string;
  /** 0, the default, takes any free one. */
  readonly port?: number;
  /** Seconds between announces, as told to clients; 1800. */
  readonly interval?: number;
}

export interface SwarmCounts {
  readonly seeders: number;
  readonly leechers: number;
  /** How often `completed` was announced. */
  readonly completed: number;
}

export interface RunningTracker {
  /** Announce URL. */
  readonly httpUrl: string;
  /** Announce URL. */
  readonly udpUrl: string;
  /** @param infohash 20 bytes */
  counts(infohash: Uint8Array): SwarmCounts;
  /** Stops listening and closes every connection. */
  close(): Promise<void>;
}

/** Peers per answer; also what is given to a client that asks for none in particular. */
const MAX_NUMWANT = 200;
const DEFAULT_NUMWANT = 50;

/** How often a free pair of ports is looked for. */
const PAIR_ATTEMPTS = 5;

/** Peers in all swarms together: bounds memory. */
const MAX_PEERS = 100_000;

/**
 * Starts a tracker.
 * @throws SpateError `CANNOT_LISTEN`
 */
export async function startTracker(settings: TrackerSettings = {}): Promise<RunningTracker> {
  const { host = '127.0.0.1', port = 0, interval = 1800 } = settings;
  const swarms = new Swarms();
  const server = http.createServer((request, response) => answerHttp(swarms, interval, request, response));
  const { tcpPort, socket } = await listenOnBoth(server, host, port);
  serveUdp(socket, swarms, interval);
  return {
    httpUrl: `http://${formatAddress({ host, port: tcpPort })}/announce`,
    udpUrl: `udp://${formatAddress({ host, port: socket.address().port })}/announce`,
    counts: (infohash) => swarms.counts(infohash),
    close: () => close(server, socket),
  };
}

interface Swarm {
  /** By address. */
  readonly peers: Map<string, { readonly address: PeerAddress; readonly isSeed: boolean }>;
  completed: number;
  /** Where the next answer's peers start, so that answers differ. */
  cursor: number;
}

interface SwarmAnswer extends SwarmCounts {
  readonly peers: readonly PeerAddress[];
}

/** Who is in which swarm. */
class Swarms {
  readonly #byInfohash = new Map<string, Swarm>();
  #peerCount = 0;

  /** @throws TrackerError when the memory is full */
  announce(request: AnnounceRequest, host: string, family?: Family): SwarmAnswer {
    const infohash = keyOf(request.infohash);
    const swarm = this.#byInfohash.get(infohash) ?? { peers: new Map(), completed: 0, cursor: 0 };
    const address = { host, port: request.port };
    const key = addressKey(address);
    if (request.event === 'stopped') {
      if (swarm.peers.delete(key)) this.#peerCount--;
    } else {
      if (!swarm.peers.has(key)) {
        if (this.#peerCount === MAX_PEERS) throw new TrackerError('the tracker is full');
        this.#peerCount++;
        this.#byInfohash.set(infohash, swarm);
      }
      swarm.peers.set(key, { address, isSeed: request.left === 0 });
      if (request.event === 'completed') swarm.completed++;
    }
    const peers = request.event === 'stopped' ? [] : peersFor(swarm, key, request, family);
    return { ...countsOf(swarm), peers };
  }

  counts(infohash: Uint8Array): SwarmCounts {
    const swarm = this.#byInfohash.get(keyOf(infohash));
    return swarm === undefined ? { seeders: 0, leechers: 0, completed: 0 } : countsOf(swarm);
  }
}

function keyOf(infohash: Uint8Array): string {
  return Buffer.from(infohash).toString('hex');
}

function countsOf({ peers, completed }: Swarm): SwarmCounts {
  let seeders = 0;
  for (const { isSeed } of peers.values()) if (isSeed) seeders++;
  return { seeders, leechers: peers.size - seeders, completed };
}

/** Other peers of the swarm, no seeds for a seed; each answer goes on where the last one ended. */
function peersFor(swarm: Swarm, self: string, request: AnnounceRequest, family: Family | undefined): PeerAddress[] {
  const others: PeerAddress[] = [];
  for (const [key, { address, isSeed }] of swarm.peers) {
    const isUseful = key !== self && !(isSeed && request.left === 0);
    if (isUseful && (family === undefined || familyOf(address.host) === family)) others.push(address);
  }
  const wanted = Math.min(request.numwant < 0 ? DEFAULT_NUMWANT : request.numwant, MAX_NUMWANT);
  if (others.length <= wanted) return others;
  const start = swarm.cursor % others.length;
  swarm.cursor = start + wanted;
  return [...others, ...others].slice(start, start + wanted);
}

// HTTP

function answerHttp(
  swarms: Swarms,
  interval: number,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): void {
  const [path, ...rest] = (request.url ?? '').split('?');
  const query = rest.join('?');
  const host = canonicalIp(request.socket.remoteAddress ?? '');
  if (request.method !== 'GET') return reply(response, 405, `expected GET, got ${request.method}\n`);
  if (path !== '/announce' && path !== '/scrape') return reply(response, 404, 'expected /announce or /scrape\n');
  if (host === undefined) return void response.destroy();
  let body: Uint8Array;
  try {
    body = path === '/scrape' ? scraped(swarms, query) : announced(swarms, interval, query, host);
  } catch (error) {
    if (!(error instanceof TrackerError)) throw error;
    body = httpFailure(error.message);
  }
  reply(response, 200, body);
}

/** @throws TrackerError */
function announced(swarms: Swarms, interval: number, query: string, host: string): Uint8Array {
  const { request, compact } = parseAnnounceQuery(query);
  return httpAnswer({ interval, ...swarms.announce(request, host) }, compact);
}

/** @throws TrackerError */
function scraped(swarms: Swarms, query: string): Uint8Array {
  return httpScrapeAnswer(parseScrapeQuery(query).map((infohash) => [infohash, swarms.counts(infohash)]));
}

function reply(response: http.ServerResponse, status: number, body: Uint8Array | string): void {
  const length = Buffer.byteLength(body);
  response.writeHead(status, { 'content-type': 'text/plain', 'content-length': length }).end(body);
}

// UDP

function serveUdp(socket: dgram.Socket, swarms: Swarms, interval: number): void {
  const secret = randomBytes(16);
  socket.on('message', (bytes, from) => {
    const host = canonicalIp(from.address);
    if (host === undefined) return;
    const answer = answerUdp(swarms, interval, bytes, { host, port: from.port }, secret);
    // A client that has gone is no concern of ours.
    if (answer !== undefined) socket.send(answer, from.port, from.address, () => {});
  });
}

function answerUdp(
  swarms: Swarms,
  interval: number,
  bytes: Uint8Array,
  from: PeerAddress,
  secret: Uint8Array,
): Uint8Array | undefined {
  const packet = parseUdpRequest(bytes);
  if (packet === undefined) return undefined;
  const { transactionId } = packet;
  // BEP 15: a connection id proves that the sender gets what is sent to its address. Derived, so nothing is stored.
  const connectionId = createHash('sha1').update(secret).update(addressKey(from)).digest().readBigUInt64BE(0);
  if (packet.action === 'connect') return connectAnswer(transactionId, connectionId);
  if (packet.connectionId !== connectionId) return errorAnswer(transactionId, 'unknown connection id');
  if (packet.action === 'scrape') {
    return scrapeAnswer(
      transactionId,
      packet.infohashes.map((infohash) => swarms.counts(infohash)),
    );
  }
  if (!isPort(packet.request.port)) return errorAnswer(transactionId, 'expected port to be 1 to 65535, got 0');
  const family = familyOf(from.host);
  try {
    return announceAnswer(transactionId, { interval, ...swarms.announce(packet.request, from.host, family) }, family);
  } catch (error) {
    if (!(error instanceof TrackerError)) throw error;
    return errorAnswer(transactionId, error.message);
  }
}

// Listening

/** Both protocols on one port number; UDP on another only when the number is given, or no free pair is found. */
async function listenOnBoth(
  server: http.Server,
  host: string,
  port: number,
): Promise<{ readonly tcpPort: number; readonly socket: dgram.Socket }> {
  for (let attempt = 1; ; attempt++) {
    const tcpPort = await listen(server, host, port);
    try {
      return { tcpPort, socket: await bind(host, tcpPort) };
    } catch {
      if (port !== 0 || attempt === PAIR_ATTEMPTS) return { tcpPort, socket: await bind(host, 0) };
      await new Promise((resolve) => server.close(resolve));
    }
  }
}

function listen(server: http.Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void =>
      reject(
        new SpateError('CANNOT_LISTEN', `cannot listen on ${formatAddress({ host, port })}: ${messageOf(error)}`, {
          cause: error,
        }),
      );
    server.once('error', onError);
    server.listen(port, host, () => {
      server.off('error', onError);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function bind(host: string, port: number): Promise<dgram.Socket> {
  const socket = dgram.createSocket(familyOf(host) === 4 ? { type: 'udp4' } : { type: 'udp6', ipv6Only: true });
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.bind(port, host, () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

async function close(server: http.Server, socket: dgram.Socket): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await Promise.all([closed, new Promise<void>((resolve) => socket.close(resolve))]);
}

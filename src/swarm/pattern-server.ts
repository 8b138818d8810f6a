/**
 * Peers that have all of a pattern and give it as cheaply as Node can: requests are scanned in the stream, an answer is a
 * header and a view into the pattern's table, one `writev` for all answers to a read. Asked for anything else they hang up.
 * With delays and rates they are a slow network, with corruption liars, with churn unsteady. Not a peer for the world.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { encode } from '../protocol/bencode.js';
import { encodeHandshake, featuresOf, HandshakeReader } from '../protocol/handshake.js';
import * as wire from '../protocol/wire.js';
import type { Pattern } from './pattern.js';

export interface PatternTorrent {
  readonly infohash: Uint8Array;
  /** Its first piece in the pattern. */
  readonly first: number;
  /** Bytes. */
  readonly length: number;
}

export interface PatternServerSettings {
  readonly host: string;
  /** Ports to listen on, each of them a peer. */
  readonly ports: number;
  readonly pattern: Pattern;
  readonly torrents: readonly PatternTorrent[];
  /** Answers come so much later. */
  readonly rttMs?: number;
  /** All peers together; 0 for no limit. */
  readonly bytesPerSecond?: number;
  /** Part of the blocks that are wrong, 0 to 1. */
  readonly corrupt?: number;
  /** A connection is dropped after this long; 0 for never. */
  readonly churnMs?: number;
}

export interface PatternServer {
  readonly ports: readonly number[];
  close(): Promise<void>;
}

interface Shared extends PatternServerSettings {
  readonly byInfohash: ReadonlyMap<string, PatternTorrent>;
  /** When the rate allows the next byte, ms. */
  freeAt: number;
  /** Wrong blocks that are due. */
  wrong: number;
}

const REQQ = 2048;
const LONGEST_MESSAGE = 1_048_576;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export async function servePattern(settings: PatternServerSettings): Promise<PatternServer> {
  const byInfohash = new Map(settings.torrents.map((torrent) => [hex(torrent.infohash), torrent]));
  const shared: Shared = { ...settings, byInfohash, freeAt: 0, wrong: 0 };
  const peers = new Set<Peer>();
  const servers: Server[] = [];
  for (let i = 0; i < settings.ports; i++) {
    const server = createServer((socket) => {
      const peer = new Peer(socket, shared, () => peers.delete(peer));
      peers.add(peer);
    });
    servers.push(server);
    await new Promise<void>((listening, failed) => {
      server.once('error', failed).listen({ host: settings.host, port: 0 }, listening);
    });
  }
  return {
    ports: servers.map((server) => (server.address() as { port: number }).port),
    async close() {
      for (const peer of peers) peer.close();
      await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
    },
  };
}

class Peer {
  readonly #socket: Socket;
  readonly #shared: Shared;
  readonly #handshake = new HandshakeReader();
  #torrent: PatternTorrent | undefined;
  #rest: Buffer = Buffer.alloc(0);
  /** Answers that wait for their time: header, block, when. */
  readonly #late: { readonly at: number; readonly parts: readonly Uint8Array[] }[] = [];
  #timer: NodeJS.Timeout | undefined;
  readonly #churn: NodeJS.Timeout | undefined;

  constructor(socket: Socket, shared: Shared, onClose: () => void) {
    this.#socket = socket.setNoDelay(true);
    this.#shared = shared;
    const { churnMs = 0 } = shared;
    if (churnMs > 0) this.#churn = setTimeout(() => this.close(), churnMs);
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => this.#onData(bytes));
    socket.on('close', () => {
      clearTimeout(this.#timer);
      clearTimeout(this.#churn);
      onClose();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #onData(bytes: Buffer): void {
    if (this.#handshake.isComplete) return this.#scan(bytes);
    try {
      const at = this.#handshake.push(bytes, 0, bytes.length);
      if (!this.#handshake.isComplete) return;
      this.#greet();
      if (at < bytes.length) this.#scan(bytes.subarray(at));
    } catch {
      this.close();
    }
  }

  #greet(): void {
    const { infohash, reserved } = this.#handshake;
    const torrent = this.#shared.byInfohash.get(hex(infohash!));
    if (torrent === undefined) return this.close();
    this.#torrent = torrent;
    const { fast, extended } = featuresOf(reserved!);
    const id = Buffer.from(`-SB0001-${Math.random().toString(36).slice(2).padEnd(12, '0').slice(0, 12)}`);
    this.#socket.cork();
    this.#socket.write(encodeHandshake(torrent.infohash, id));
    if (extended) this.#socket.write(wire.encodeExtended(0, encode({ m: {}, reqq: REQQ })));
    this.#socket.write(fast ? wire.HAVE_ALL : wire.encodeBitfield(this.#everything(torrent)));
    this.#socket.write(wire.UNCHOKE);
    this.#socket.uncork();
  }

  #everything({ length }: PatternTorrent): Uint8Array {
    const pieces = Math.ceil(length / this.#shared.pattern.pieceLength);
    const bits = new Uint8Array(Math.ceil(pieces / 8)).fill(0xff);
    if (pieces % 8 > 0) bits[bits.length - 1] = (0xff << (8 - (pieces % 8))) & 0xff;
    return bits;
  }

  /** Only requests count; the rest is stepped over. */
  #scan(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#socket.cork();
    let at = 0;
    while (at + 4 <= all.length) {
      const length = all.readUInt32BE(at);
      if (length > LONGEST_MESSAGE) return this.close();
      if (at + 4 + length > all.length) break;
      if (length === 13 && all[at + 4] === wire.MessageId.request) {
        if (!this.#answer(all.readUInt32BE(at + 5), all.readUInt32BE(at + 9), all.readUInt32BE(at + 13))) {
          return this.close();
        }
      }
      at += 4 + length;
    }
    this.#rest = all.subarray(at);
    this.#socket.uncork();
  }

  /** @returns whether it is a block of the torrent */
  #answer(index: number, begin: number, length: number): boolean {
    const { pattern, rttMs = 0, bytesPerSecond = 0, corrupt = 0 } = this.#shared;
    const torrent = this.#torrent!;
    const end = index * pattern.pieceLength + begin + length;
    const isBlock = begin % wire.BLOCK_LENGTH === 0 && length > 0 && length <= wire.BLOCK_LENGTH;
    if (!isBlock || begin + length > pattern.pieceLength || end > torrent.length) return false;
    const header = Buffer.allocUnsafe(wire.BLOCK_HEADER_LENGTH);
    wire.writeBlockHeader(header, 0, index, begin, length);
    this.#shared.wrong += corrupt;
    const isWrong = this.#shared.wrong >= 1;
    if (isWrong) this.#shared.wrong--;
    const block = pattern.block(torrent.first + index, begin / wire.BLOCK_LENGTH, length, isWrong);
    if (rttMs === 0 && bytesPerSecond === 0) {
      this.#socket.write(header);
      this.#socket.write(block);
      return true;
    }
    const now = performance.now();
    if (bytesPerSecond > 0) {
      this.#shared.freeAt = Math.max(this.#shared.freeAt, now) + (length / bytesPerSecond) * 1000;
    }
    this.#late.push({ at: Math.max(now, this.#shared.freeAt) + rttMs, parts: [header, block] });
    this.#wait(now);
    return true;
  }

  #wait(now: number): void {
    const next = this.#late[0];
    if (next === undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
    }, next.at - now);
  }

  #flush(): void {
    const now = performance.now();
    const due = this.#late.findIndex(({ at }) => at > now);
    this.#socket.cork();
    for (const { parts } of this.#late.splice(0, due === -1 ? this.#late.length : due)) {
      for (const part of parts) this.#socket.write(part);
    }
    this.#socket.uncork();
    this.#wait(now);
  }
}

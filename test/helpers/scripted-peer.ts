// Peers made by hand: raw bytes on real loopback sockets, none of the codecs under test. Each test scripts what they say.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { SmallTorrent } from './small-torrent.js';

/** One received message. */
export interface RawMessage {
  /** -1 for a keep-alive. */
  readonly id: number;
  readonly body: Buffer;
}

/** Reserved bits of a peer that speaks the fast extension and the extension protocol, as the client does. */
export const FAST_AND_EXTENDED = Buffer.from([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

/** @param reserved none set by default: a peer of BEP 3 alone */
export const handshakeOf = (infohash: Buffer, peerId = '-XX0001-abcdefghijkl', reserved = Buffer.alloc(8)): Buffer =>
  Buffer.concat([Buffer.from('\x13BitTorrent protocol'), reserved, infohash, Buffer.from(peerId)]);

export function message(id: number, ...parts: (number | Buffer)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part !== 'number') return part;
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(part);
      return bytes;
    }),
  );
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1 + body.length);
  head[4] = id;
  return Buffer.concat([head, body]);
}

export const CHOKE = message(0);
export const UNCHOKE = message(1);
export const INTERESTED = message(2);
export const NOT_INTERESTED = message(3);
export const have = (piece: number): Buffer => message(4, piece);
export const bitfield = (bytes: Buffer): Buffer => message(5, bytes);
export const request = (piece: number, begin: number, length: number): Buffer => message(6, piece, begin, length);
export const block = (piece: number, begin: number, bytes: Buffer): Buffer => message(7, piece, begin, bytes);

/** A full bitfield with its spare bits zero. */
export function fullBitfield(pieceCount: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil(pieceCount / 8));
  for (let piece = 0; piece < pieceCount; piece++) bytes[piece >> 3]! |= 0x80 >> (piece & 7);
  return bytes;
}

/** One end of a connection: writes bytes, hands out what came. */
export class RawPeer {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake?.();
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#ended = true;
        this.#wake?.();
        resolve();
      });
    });
  }

  /** @param from the local address */
  static async dial(port: number, from = '127.0.0.1'): Promise<RawPeer> {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from });
    await once(socket, 'connect');
    return new RawPeer(socket);
  }

  /** Dials again as long as nobody listens: for a port that is about to be taken up again. */
  static async dialUntilOpen(port: number): Promise<RawPeer> {
    for (;;) {
      try {
        return await RawPeer.dial(port);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
      }
    }
  }

  send(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Exactly `length` bytes. @throws when the connection closes first */
  async bytes(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.#ended) throw new Error(`closed after ${this.#received.length} of ${length} bytes`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }

  async next(): Promise<RawMessage> {
    const length = (await this.bytes(4)).readUInt32BE();
    if (length === 0) return { id: -1, body: Buffer.alloc(0) };
    const body = await this.bytes(length);
    return { id: body[0]!, body: body.subarray(1) };
  }

  /** The next message of an id; others before it are passed over. */
  async nextOf(id: number): Promise<RawMessage> {
    for (;;) {
      const received = await this.next();
      if (received.id === id) return received;
    }
  }
}

/** A listening peer; `script` runs for each connection and may reject when it is cut off. */
export class ScriptedPeer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  connections = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(
    script: (peer: RawPeer, connection: number) => Promise<void> | void,
    host = '127.0.0.1',
  ): Promise<ScriptedPeer> {
    const server = createServer();
    const scripted = new ScriptedPeer(server);
    server.on('connection', (socket) => {
      scripted.#sockets.add(socket);
      // A script whose connection the client closes has done its part.
      Promise.resolve(script(new RawPeer(socket), scripted.connections++)).catch(() => {});
    });
    server.listen(0, host);
    await once(server, 'listening');
    return scripted;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get host(): string {
    return (this.#server.address() as AddressInfo).address;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export interface SeedScript {
  readonly peerId?: string;
  /** Pieces it claims; all by default. */
  readonly has?: Buffer;
  /** It says nothing on a connection, the first being 0, before this resolves. */
  readonly ready?: (connection: number) => Promise<void>;
  /** Called for each request; returns what to send, nothing to stay silent. */
  readonly answer?: (piece: number, begin: number, length: number, peer: RawPeer) => Buffer | undefined;
}

/** What a seed must know of its torrent. */
export type Seeded = Pick<SmallTorrent, 'payload' | 'pieceLength' | 'pieceCount' | 'infohash'>;

/** An honest seed of a torrent, or one whose answers a test bends. Counts what it is asked for. */
export class ScriptedSeed {
  readonly requests: { piece: number; begin: number; length: number }[] = [];
  readonly #torrent: Seeded;
  readonly #script: SeedScript;
  #peer!: ScriptedPeer;

  private constructor(torrent: Seeded, script: SeedScript) {
    this.#torrent = torrent;
    this.#script = script;
  }

  static async listen(torrent: Seeded, script: SeedScript = {}, host?: string): Promise<ScriptedSeed> {
    const seed = new ScriptedSeed(torrent, script);
    seed.#peer = await ScriptedPeer.listen((peer, connection) => seed.#serve(peer, connection), host);
    return seed;
  }

  get port(): number {
    return this.#peer.port;
  }

  get host(): string {
    return this.#peer.host;
  }

  get connections(): number {
    return this.#peer.connections;
  }

  close(): Promise<void> {
    return this.#peer.close();
  }

  blockOf(piece: number, begin: number, length: number): Buffer {
    const at = piece * this.#torrent.pieceLength + begin;
    return block(piece, begin, this.#torrent.payload.subarray(at, at + length));
  }

  async #serve(peer: RawPeer, connection: number): Promise<void> {
    const { infohash, pieceCount } = this.#torrent;
    await peer.bytes(68);
    await this.#script.ready?.(connection);
    peer.send(handshakeOf(infohash, this.#script.peerId), bitfield(this.#script.has ?? fullBitfield(pieceCount)));
    await peer.nextOf(2);
    peer.send(UNCHOKE);
    for (;;) {
      const { body } = await peer.nextOf(6);
      const [piece, begin, length] = [body.readUInt32BE(0), body.readUInt32BE(4), body.readUInt32BE(8)];
      this.requests.push({ piece, begin, length });
      const answer = this.#script.answer;
      const bytes = answer === undefined ? this.blockOf(piece, begin, length) : answer(piece, begin, length, peer);
      if (bytes !== undefined) peer.send(bytes);
    }
  }
}

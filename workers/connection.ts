/**
 * One peer's connection: the socket, the handshake and the deadlines. What is said on it is `PeerSession`'s business, how it
 * is encrypted `Encryption`'s.
 *
 * A dialled socket reads into one scratch buffer that all sockets of the thread share (reads are synchronous): no
 * allocation per read. An accepted one takes Node's ordinary path, since a server cannot pass `onread`.
 */
import type { Socket } from 'node:net';
import type { DisconnectReason } from '../src/messages.js';
import { encodeHandshake, featuresOf, HandshakeReader } from '../src/protocol/handshake.js';
import { KEEP_ALIVE, WireError } from '../src/protocol/wire.js';
import { type PeerLink, PeerSession } from '../src/torrent/peer-session.js';
import type { GroupContext } from './context.js';
import { Encryption, type EncryptionLink } from './encryption.js';
import type { GroupTorrent } from './group-torrent.js';

/** Bytes not taken by the system above which a peer is not read from: what it is owed anyway is less (`uploadBufferBytes`). */
const MAX_UNSENT = 4 * 1_048_576;

export class Connection implements PeerLink, EncryptionLink {
  /** Unique in its group, > 0. */
  readonly peer: number;
  readonly host: string;
  readonly port: number;
  readonly incoming: boolean;
  /** ms */
  readonly connectedAt: number;
  /** From the end of the handshake on. */
  session: PeerSession | undefined;
  /** The peer's, once it has come. */
  peerId: Uint8Array | undefined;
  readonly #context: GroupContext;
  #handshake = new HandshakeReader();
  /** A dialled connection offers encryption. */
  readonly #encrypted: boolean;
  #socket: Socket | undefined;
  /** `undefined` when plaintext is spoken. */
  #encryption: Encryption | undefined;
  /** What is dialled for, or named by an incoming handshake. */
  #torrent: GroupTorrent | undefined;
  #wasEncrypted = false;
  #closed = false;
  /** It has asked for so much that it is not read from. */
  #held = false;
  /** The system has connected it: what ends it now is the peer. */
  #connected: boolean;
  /** What an incoming handshake names while main is asked about it. */
  #parkedFor: Uint8Array | undefined;
  /** Bytes that came while parked, as they came. */
  #backlog: Uint8Array[] = [];
  /** Of the connect, the handshake or main's answer; afterwards `#receivedAt` counts. */
  #deadline: number;
  #receivedAt: number;
  #sentAt: number;

  /**
   * @param torrent the one dialled for; `undefined` for an incoming connection, which names it
   * @param encrypted whether to offer encryption when dialling, where the group's mode leaves a choice
   */
  constructor(context: GroupContext, torrent: GroupTorrent | undefined, host: string, port: number, encrypted = false) {
    const now = context.now();
    this.#context = context;
    this.#torrent = torrent;
    this.peer = context.nextPeer();
    this.host = host;
    this.port = port;
    this.incoming = torrent === undefined;
    this.connectedAt = now;
    this.#connected = this.incoming;
    const mode = context.encryption;
    this.#encrypted = mode === 'require' || (mode === 'prefer' && encrypted);
    if (this.incoming && mode !== 'off') this.#encryption = Encryption.accept(mode, this);
    this.#deadline = now + (this.incoming ? context.options.handshakeTimeoutMs : context.options.connectTimeoutMs);
    this.#receivedAt = now;
    this.#sentAt = now;
  }

  get torrent(): GroupTorrent | undefined {
    return this.#torrent;
  }

  /** Whether encryption was agreed on, if only for the handshake. */
  get encrypted(): boolean {
    return this.#wasEncrypted;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Bytes given to `send` that the system has not taken yet. */
  get unsentBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /** What an incoming handshake calls a torrent that is not known here. */
  get parkedFor(): Uint8Array | undefined {
    return this.#parkedFor;
  }

  /** Takes over a socket: wires its events. Reads of a dialled one arrive through `onBytes`. */
  attach(socket: Socket): void {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('error', () => this.close(this.#connected ? 'closed' : 'refused'));
    socket.on('close', () => this.close('closed'));
    socket.on('end', () => this.close('closed'));
    socket.on('drain', () => {
      this.serve();
      this.onServed();
    });
    if (this.incoming) socket.on('data', (chunk: Buffer) => this.onBytes(chunk, 0, chunk.length));
    else socket.on('connect', () => this.#onConnect());
  }

  #onConnect(): void {
    this.#connected = true;
    this.#deadline = this.#context.now() + this.#context.options.handshakeTimeoutMs;
    const { infohash, peerId } = this.#torrent!;
    const handshake = encodeHandshake(infohash, peerId);
    if (this.#encrypted) this.#encryption = Encryption.dial(this.#context.encryption, this, infohash, handshake);
    else this.send(handshake);
  }

  #sendHandshake({ infohash, peerId }: GroupTorrent): void {
    this.send(encodeHandshake(infohash, peerId));
  }

  /** Our handshake went out with the offer when we dialled, and is due now when we accepted. */
  onAgreed(): void {
    this.#wasEncrypted = true;
    if (this.incoming) this.#sendHandshake(this.#torrent!);
  }

  /** The owner of everything a peer's bytes can throw. */
  onBytes(bytes: Uint8Array, start: number, end: number): void {
    if (this.#closed) return;
    const now = this.#context.now();
    this.#receivedAt = now;
    if (this.#parkedFor !== undefined) {
      this.#backlog.push(bytes.slice(start, end));
      return;
    }
    try {
      if (this.#encryption === undefined) this.#read(bytes, start, end, now);
      else this.#decrypt(this.#encryption, bytes, start, end, now);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.close('protocol');
    }
    this.#torrent?.afterRead(this, now);
    // Whoever makes us answer and reads no answers is not heard until it does.
    if (this.unsentBytes >= MAX_UNSENT) this.hold();
    this.#context.afterRead(now);
  }

  #decrypt(encryption: Encryption, bytes: Uint8Array, start: number, end: number, now: number): void {
    let at = encryption.open(bytes, start, end);
    if (encryption.name !== undefined) {
      // The key before it may have started like a plaintext handshake.
      this.#handshake = new HandshakeReader();
      if (!this.#identify(encryption.name)) {
        this.#backlog.push(bytes.slice(at, end));
        return;
      }
      at = encryption.open(bytes, at, end);
    }
    if (encryption.isOver) this.#encryption = undefined;
    this.#read(bytes, at, end, now);
  }

  #read(bytes: Uint8Array, start: number, end: number, now: number): void {
    if (this.session !== undefined) return this.session.receive(bytes, start, end, now);
    const at = this.#handshake.push(bytes, start, end);
    if (
      this.#torrent === undefined &&
      this.#handshake.infohash !== undefined &&
      !this.#identify(this.#handshake.infohash)
    ) {
      if (at < end) this.#backlog.push(bytes.slice(at, end));
      return;
    }
    if (this.#handshake.isComplete) this.#establish(bytes, at, end, now);
  }

  /** Finds the torrent that an incoming peer names, or waits for main to say. @returns whether it is known */
  #identify(name: Uint8Array): boolean {
    const torrent = this.#context.torrentOf(name);
    if (torrent?.isReady) {
      this.#torrent = torrent;
      torrent.add(this);
      this.#context.onNamed(this);
      // An encrypted peer gets our handshake when the rest of its offer is here.
      if (this.#encryption === undefined) this.#sendHandshake(torrent);
      else this.#encryption.answer(torrent.infohash);
      return true;
    }
    this.#parkedFor = name;
    this.#socket?.pause();
    this.#deadline = this.#context.now() + this.#context.options.parkMs;
    this.#context.onParked(this, name);
    return false;
  }

  /** Main has added the torrent this connection waits for. */
  unpark(): void {
    const name = this.#parkedFor;
    if (this.#closed || name === undefined) return;
    this.#parkedFor = undefined;
    this.#deadline = this.#context.now() + this.#context.options.handshakeTimeoutMs;
    const backlog = this.#backlog;
    this.#backlog = [];
    if (!this.#identify(name)) return;
    if (backlog.length === 0) backlog.push(new Uint8Array(0));
    for (const chunk of backlog) this.onBytes(chunk, 0, chunk.length);
    this.#socket?.resume();
  }

  #establish(bytes: Uint8Array, start: number, end: number, now: number): void {
    const torrent = this.#torrent!;
    const { infohash, peerId } = this.#handshake;
    if (!equal(infohash!, torrent.infohash)) return this.close('infohash');
    if (equal(peerId!, torrent.peerId)) return this.close('self');
    this.peerId = peerId!;
    const features = featuresOf(this.#handshake.reserved!);
    this.session = new PeerSession(this.peer, torrent, this, features, this.#context.options, now);
    torrent.onConnected(this);
    this.session.start();
    if (start < end) this.session.receive(bytes, start, end, now);
  }

  send(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#sentAt = this.#context.now();
    this.write(this.#encryption === undefined ? bytes : this.#encryption.seal(bytes));
  }

  /** Sends bytes as they are. */
  write(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  serve(): void {
    this.#torrent?.serve(this);
  }

  hold(): void {
    this.#held = true;
    this.#socket?.pause();
  }

  /** What a peer waits for may have become less: one that was held back is read from again. */
  onServed(): void {
    if (!this.#held || this.session?.uploads.hasRoom !== true || this.unsentBytes >= MAX_UNSENT) return;
    this.#held = false;
    this.#socket?.resume();
  }

  onTick(now: number): void {
    const { idleTimeoutMs, keepAliveMs } = this.#context.options;
    if (this.session === undefined) {
      if (now >= this.#deadline) this.close(this.#connected ? 'silent' : 'timeout');
      return;
    }
    if (now - this.#receivedAt >= idleTimeoutMs) return this.close('timeout');
    if (now - this.#sentAt >= keepAliveMs) this.send(KEEP_ALIVE);
    this.session.downloads.onTick(now);
    // What it asked for may have been dropped, by a choke or its own cancels, with nothing sent since.
    this.onServed();
  }

  close(reason: DisconnectReason): void {
    if (this.#closed) return;
    this.#closed = true;
    this.session?.onClose(this.#context.now());
    this.#socket?.destroy();
    this.#backlog = [];
    this.#context.onClosed(this, reason);
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

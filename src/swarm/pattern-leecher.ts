/**
 * Peers that fetch a pattern as cheaply as Node can: received, parsed and, when asked to, compared byte by byte with the
 * pattern; never hashed, never kept. Each takes its share of the pieces, as they come to be had.
 */
import { connect, type Socket } from 'node:net';
import type { PeerAddress } from '../protocol/address.js';
import { encodeHandshake, HandshakeReader } from '../protocol/handshake.js';
import * as wire from '../protocol/wire.js';
import type { Pattern } from './pattern.js';
import type { PatternTorrent } from './pattern-server.js';

export interface LeechSettings {
  /** Each is a connection; a piece is asked of one. */
  readonly peers: readonly PeerAddress[];
  readonly pattern: Pattern;
  readonly torrent: PatternTorrent;
  /** Compare what comes with the pattern. */
  readonly compare: boolean;
}

const WINDOW = 128;
const SCRATCH_BYTES = 65_536;

/**
 * Resolves with the bytes received when every piece is there.
 * @throws Error when a connection ends before that, or a byte is wrong
 */
export async function leech(settings: LeechSettings): Promise<number> {
  const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  const leechers = settings.peers.map((_, i) => new Leecher(settings, i, scratch));
  try {
    await Promise.all(leechers.map(({ done }) => done));
  } finally {
    for (const leecher of leechers) leecher.close();
  }
  return leechers.reduce((sum, { bytes }) => sum + bytes, 0);
}

class Leecher implements wire.WireSink {
  readonly done: Promise<void>;
  bytes = 0;
  readonly #settings: LeechSettings;
  readonly #nth: number;
  readonly #pieces: number;
  readonly #socket: Socket;
  readonly #handshake = new HandshakeReader();
  readonly #decoder = new wire.WireDecoder(this);
  /** Pieces of its share that can be asked for; blocks of the first one that were. */
  readonly #queue: number[] = [];
  #asked = 0;
  #outstanding = 0;
  #left: number;
  #unchoked = false;
  #piece = 0;
  #begin = 0;
  #at = 0;
  #length = 0;
  #finish: () => void = () => {};
  #fail: (error: Error) => void = () => {};

  constructor(settings: LeechSettings, nth: number, scratch: Buffer) {
    this.#settings = settings;
    this.#nth = nth;
    const { pattern, torrent, peers } = settings;
    this.#pieces = Math.ceil(torrent.length / pattern.pieceLength);
    this.#left = 0;
    for (let piece = nth; piece < this.#pieces; piece += peers.length) this.#left += this.#lengthOf(piece);
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    if (this.#left === 0) this.#finish();
    const onread = {
      buffer: scratch,
      callback: (length: number, bytes: Uint8Array) => {
        this.#onBytes(bytes, length);
        return true;
      },
    };
    this.#socket = connect({ ...peers[nth]!, onread, noDelay: true });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error(`a peer hung up with ${this.#left} bytes to go`)));
    const id = Buffer.from(`-LB0001-${Math.random().toString(36).slice(2).padEnd(12, '0').slice(0, 12)}`);
    this.#socket.on('connect', () => this.#socket.write(encodeHandshake(torrent.infohash, id)));
  }

  close(): void {
    this.done.catch(() => {});
    this.#socket.destroy();
  }

  #onBytes(bytes: Uint8Array, end: number): void {
    let at = 0;
    try {
      if (!this.#handshake.isComplete) {
        at = this.#handshake.push(bytes, 0, end);
        if (!this.#handshake.isComplete) return;
        // The fast extension asks for one of the three first.
        this.#socket.write(Buffer.concat([wire.HAVE_NONE, wire.INTERESTED]));
      }
      this.#decoder.push(bytes, at, end);
    } catch (error) {
      this.#fail(error as Error);
      this.#socket.destroy();
      return;
    }
    this.#ask();
  }

  #lengthOf(piece: number): number {
    const { pattern, torrent } = this.#settings;
    return Math.min(pattern.pieceLength, torrent.length - piece * pattern.pieceLength);
  }

  #add(piece: number): void {
    if (piece < this.#pieces && piece % this.#settings.peers.length === this.#nth) this.#queue.push(piece);
  }

  #ask(): void {
    if (!this.#unchoked || this.#outstanding > WINDOW / 2) return;
    const requests: Buffer[] = [];
    while (this.#outstanding < WINDOW && this.#queue.length > 0) {
      const piece = this.#queue[0]!;
      const begin = this.#asked++ * wire.BLOCK_LENGTH;
      const length = this.#lengthOf(piece);
      const request = Buffer.allocUnsafe(wire.REQUEST_LENGTH);
      wire.writeRequest(request, 0, piece, begin, Math.min(wire.BLOCK_LENGTH, length - begin));
      requests.push(request);
      this.#outstanding++;
      if (begin + wire.BLOCK_LENGTH < length) continue;
      this.#queue.shift();
      this.#asked = 0;
    }
    if (requests.length > 0) this.#socket.write(Buffer.concat(requests));
  }

  onUnchoke(): void {
    this.#unchoked = true;
  }

  onHave(index: number): void {
    this.#add(index);
  }

  onBitfield(bytes: Uint8Array): void {
    for (let piece = 0; piece < this.#pieces; piece++) {
      if ((bytes[piece >> 3]! & (0x80 >> (piece & 7))) !== 0) this.#add(piece);
    }
  }

  onHaveAll(): void {
    for (let piece = this.#nth; piece < this.#pieces; piece += this.#settings.peers.length) this.#add(piece);
  }

  onBlockStart(index: number, begin: number, length: number): void {
    this.#piece = index;
    this.#begin = begin;
    this.#at = 0;
    this.#length = length;
  }

  onBlockChunk(bytes: Uint8Array, start: number, end: number): void {
    const { pattern, torrent, compare } = this.#settings;
    const length = end - start;
    if (compare) {
      const block = this.#begin / wire.BLOCK_LENGTH;
      const expected = pattern.block(torrent.first + this.#piece, block, this.#length);
      if (Buffer.compare(expected.subarray(this.#at, this.#at + length), bytes.subarray(start, end)) !== 0) {
        throw new Error(`a block of piece ${this.#piece} is wrong`);
      }
    }
    this.#at += length;
  }

  onBlockEnd(): void {
    this.#outstanding--;
    this.bytes += this.#length;
    this.#left -= this.#length;
    if (this.#left <= 0) this.#finish();
  }

  onChoke(): void {
    throw new Error('a peer choked a bench');
  }

  onReject(): void {
    throw new Error('a peer rejected a request of a bench');
  }

  onKeepAlive(): void {}
  onInterested(): void {}
  onNotInterested(): void {}
  onRequest(): void {}
  onCancel(): void {}
  onPort(): void {}
  onSuggest(): void {}
  onHaveNone(): void {}
  onAllowedFast(): void {}
  onExtended(): void {}
  onUnknown(): void {}
}

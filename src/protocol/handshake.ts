/**
 * The handshake (BEP 3): 68 bytes that name the protocol, eight reserved bytes, the infohash and the peer id. No socket.
 */
import { WireError } from './wire.js';

export const HANDSHAKE_LENGTH = 68;
const PROTOCOL = new TextEncoder().encode('\x13BitTorrent protocol');
const RESERVED_AT = 20;
const INFOHASH_AT = 28;
const PEER_ID_AT = 48;

/** The 68 bytes, to be written in one call: rqbit reads once. No reserved bit is set, since no extension is spoken. */
export function encodeHandshake(infohash: Uint8Array, peerId: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HANDSHAKE_LENGTH);
  bytes.set(PROTOCOL);
  bytes.set(infohash, INFOHASH_AT);
  bytes.set(peerId, PEER_ID_AT);
  return bytes;
}

/**
 * Collects a peer's handshake from whatever chunks it comes in. The infohash is known 20 bytes before the peer id: some
 * clients send the first 48 bytes and wait for an answer.
 */
export class HandshakeReader {
  readonly #bytes = new Uint8Array(HANDSHAKE_LENGTH);
  #length = 0;

  /**
   * Takes what belongs to the handshake from the bytes `start` to `end`.
   * @returns where it stopped; what follows is the first message
   * @throws WireError at the first byte that is not the protocol's name
   */
  push(bytes: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + HANDSHAKE_LENGTH - this.#length);
    for (let at = start; at < stop; at++) {
      const expected = PROTOCOL[this.#length];
      if (expected !== undefined && bytes[at] !== expected) {
        throw new WireError(`handshake byte ${this.#length} is ${bytes[at]}, expected ${expected}`);
      }
      this.#bytes[this.#length++] = bytes[at]!;
    }
    return stop;
  }

  get isComplete(): boolean {
    return this.#length === HANDSHAKE_LENGTH;
  }

  /** Eight bytes of extension bits; `undefined` until they are there, like the others. */
  get reserved(): Uint8Array | undefined {
    return this.#part(RESERVED_AT, INFOHASH_AT);
  }

  get infohash(): Uint8Array | undefined {
    return this.#part(INFOHASH_AT, PEER_ID_AT);
  }

  get peerId(): Uint8Array | undefined {
    return this.#part(PEER_ID_AT, HANDSHAKE_LENGTH);
  }

  #part(start: number, end: number): Uint8Array | undefined {
    return this.#length >= end ? this.#bytes.slice(start, end) : undefined;
  }
}

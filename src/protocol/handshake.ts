/**
 * The handshake (BEP 3; reserved bits BEP 6 and BEP 10): 68 bytes that name the protocol, eight reserved bytes, the infohash and the peer id. No socket.
 */
import { WireError } from './wire.js';

export const HANDSHAKE_LENGTH = 68;
/** What a plaintext handshake starts with. */
export const PROTOCOL: Uint8Array = new TextEncoder().encode('\x13BitTorrent protocol');
const RESERVED_AT = 20;
const INFOHASH_AT = 28;
const PEER_ID_AT = 48;

/** What both sides can do beside BEP 3, from the reserved bits. */
export interface Features {
  /** The fast extension (BEP 6). */
  readonly fast: boolean;
  /** The extension protocol (BEP 10). */
  readonly extended: boolean;
}

const FAST = { at: 7, bit: 0x04 } as const;
const EXTENDED = { at: 5, bit: 0x10 } as const;

/** What a peer's eight reserved bytes say that we speak too. */
export function featuresOf(reserved: Uint8Array): Features {
  return {
    fast: (reserved[FAST.at]! & FAST.bit) !== 0,
    extended: (reserved[EXTENDED.at]! & EXTENDED.bit) !== 0,
  };
}

/** The 68 bytes, to be written in one call: rqbit reads once. */
export function encodeHandshake(infohash: Uint8Array, peerId: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HANDSHAKE_LENGTH);
  bytes.set(PROTOCOL);
  bytes[RESERVED_AT + FAST.at]! |= FAST.bit;
  bytes[RESERVED_AT + EXTENDED.at]! |= EXTENDED.bit;
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

/**
 * The layer between a socket and the handshake: message stream encryption where the peer or we want it. Bytes that come are
 * decrypted in place, bytes that go out are encrypted as a copy, since constants and HAVEs are shared. A connection without
 * this layer speaks plaintext and pays nothing for it.
 *
 * | state | leaves it when |
 * | --- | --- |
 * | probing (incoming) | the first bytes are the protocol's name -> over; they are not -> agreeing |
 * | agreeing | the MSE handshake is done -> open, or over |
 * | open | plaintext was selected and the encrypted payload has come -> over |
 * | over | - (the connection drops the layer) |
 */
import { randomBytes } from 'node:crypto';
import { PROTOCOL } from '../src/protocol/handshake.js';
import { type EncryptionMode, MseHandshake, type MseResult, type MseSettings } from '../src/protocol/mse.js';
import { WireError } from '../src/protocol/wire.js';

/** The connection, as its layer sees it. */
export interface EncryptionLink {
  /** Sends bytes as they are. */
  write(bytes: Uint8Array): void;
  /** From here on payload may be sent. */
  onAgreed(): void;
}

export class Encryption {
  readonly #settings: MseSettings;
  readonly #link: EncryptionLink;
  /** Bytes of the protocol's name that have come; only while probing. */
  #probed = 0;
  #handshake: MseHandshake | undefined;
  #result: MseResult | undefined;
  #encryptedBytes = 0;
  #over = false;

  private constructor(mode: EncryptionMode, link: EncryptionLink) {
    this.#link = link;
    this.#settings = { rc4Only: mode === 'require', random: randomBytes, send: (bytes) => link.write(bytes) };
  }

  /** The layer of a dialled connection; it sends at once. @param payload our handshake, which goes with the offer */
  static dial(mode: EncryptionMode, link: EncryptionLink, infohash: Uint8Array, payload: Uint8Array): Encryption {
    const layer = new Encryption(mode, link);
    layer.#handshake = MseHandshake.initiate({ ...layer.#settings, infohash, payload });
    return layer;
  }

  /** The layer of an accepted connection, which may turn out to be plaintext. */
  static accept(mode: EncryptionMode, link: EncryptionLink): Encryption {
    return new Encryption(mode, link);
  }

  /** What the peer calls the torrent it wants: `skeyHash`. It waits for `answer`. */
  get name(): Uint8Array | undefined {
    return this.#handshake?.name;
  }

  /** Whether everything from here on is plaintext. */
  get isOver(): boolean {
    return this.#over;
  }

  /** @param infohash of the torrent called `name` */
  answer(infohash: Uint8Array): void {
    this.#handshake?.answer(infohash);
  }

  /**
   * Takes the layer's own bytes from `start` on and decrypts what follows, in place.
   * @returns where payload starts: `end` when there is none, and where it stopped when there is a `name` to answer
   * @throws WireError when the peer does not speak the protocol, or plaintext where encryption is required
   */
  open(bytes: Uint8Array, start: number, end: number): number {
    if (this.#result === undefined) {
      if (this.#handshake === undefined && this.#probe(bytes, start, end)) return start;
      start = this.#handshake!.push(bytes, start, end);
      if (this.#handshake!.result === undefined) return start;
      this.#agree(this.#handshake!.result);
    }
    this.#decrypt(bytes, start, end);
    return start;
  }

  /** @returns what to write for `bytes` */
  seal(bytes: Uint8Array): Uint8Array {
    const cipher = this.#result?.outgoing;
    if (cipher === undefined) return bytes;
    const copy = Buffer.from(bytes);
    cipher.apply(copy, 0, copy.length);
    return copy;
  }

  /** A public key starts like the protocol's name only by chance, and not for long. @returns whether these bytes do */
  #probe(bytes: Uint8Array, start: number, end: number): boolean {
    const count = Math.min(end - start, PROTOCOL.length - this.#probed);
    for (let i = 0; i < count; i++) {
      if (bytes[start + i] === PROTOCOL[this.#probed + i]) continue;
      this.#handshake = MseHandshake.respond(this.#settings);
      this.#handshake.push(PROTOCOL, 0, this.#probed);
      return false;
    }
    this.#probed += count;
    this.#over = this.#probed === PROTOCOL.length;
    if (this.#over && this.#settings.rc4Only) throw new WireError('the peer speaks plaintext, encryption is required');
    return true;
  }

  #agree(result: MseResult): void {
    this.#result = result;
    this.#handshake = undefined;
    this.#encryptedBytes = result.incomingBytes;
    this.#link.onAgreed();
  }

  #decrypt(bytes: Uint8Array, start: number, end: number): void {
    const stop = Math.min(end, start + this.#encryptedBytes);
    this.#result?.incoming?.apply(bytes, start, stop);
    this.#encryptedBytes -= stop - start;
    this.#over = this.#encryptedBytes === 0;
  }
}

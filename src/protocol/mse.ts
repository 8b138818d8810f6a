/**
 * Message stream encryption, also called protocol encryption (no BEP; specified by Azureus, spoken by everybody): an
 * obfuscation in front of the handshake. Two pure state machines, one for each end: bytes come in, split anywhere, bytes go
 * out through `send`, and what remains is a cipher for each direction, or none. No socket, clock or random source.
 *
 *     1. A -> B   Ya, PadA
 *     2. B -> A   Yb, PadB
 *     3. A -> B   hash('req1', S), hash('req2', SKEY) ^ hash('req3', S),
 *                 RC4(VC, methods offered, len(PadC), PadC, len(IA), IA)
 *     4. B -> A   RC4(VC, method selected, len(PadD), PadD)
 *
 * A dials and B accepts. Y is a Diffie-Hellman public key and S the shared secret, SKEY the infohash, VC 8 zero bytes, IA the
 * first bytes of A's payload, and a pad 0 to 512 bytes. What follows in either direction is RC4 or plaintext, as selected.
 * It authenticates nobody, and who knows the infohash can sit in the middle.
 */
import { createDiffieHellman, type DiffieHellman, hash } from 'node:crypto';
import { Rc4 } from './rc4.js';
import { WireError } from './wire.js';

/** `prefer` speaks plaintext and falls back to encryption, `require` takes nothing but RC4, `off` nothing but plaintext. */
export type EncryptionMode = 'prefer' | 'require' | 'off';

/** Bits of the offer. */
export const MseMethod = { plaintext: 1, rc4: 2 } as const;

/** What both ends are given. */
export interface MseSettings {
  /** Refuses plaintext payload; otherwise it is preferred, as it costs nothing. */
  readonly rc4Only: boolean;
  /** As many random bytes as asked for. */
  random(length: number): Uint8Array;
  /** Sends bytes as they are. */
  send(bytes: Uint8Array): void;
}

export interface MseInitiatorSettings extends MseSettings {
  readonly infohash: Uint8Array;
  /** IA, at most 65,535 bytes: our handshake. It goes out with the offer, which saves a round trip. */
  readonly payload: Uint8Array;
}

/** What has been agreed on. A cipher is `undefined` where plaintext was. */
export interface MseResult {
  /** For all that is sent from now on. */
  readonly outgoing: Rc4 | undefined;
  /** For the next `incomingBytes` of what comes: all of it, or only IA when plaintext was selected. */
  readonly incoming: Rc4 | undefined;
  readonly incomingBytes: number;
}

/** Yields how many bytes it needs next, or the name it has of a torrent whose infohash it needs. */
type Steps = Generator<number | Uint8Array, MseResult, Uint8Array>;

/** One end's handshake. */
export class MseHandshake {
  readonly #steps: Steps;
  /** The part that is arriving. */
  #part: Uint8Array | undefined;
  #length = 0;
  #name: Uint8Array | undefined;
  #result: MseResult | undefined;

  private constructor(steps: Steps) {
    this.#steps = steps;
    this.#go(new Uint8Array(0));
  }

  /** The end that dialled; it sends at once. */
  static initiate(settings: MseInitiatorSettings): MseHandshake {
    return new MseHandshake(initiate(settings));
  }

  /** The end that accepted. It learns the torrent's `name` and goes on with `answer`. */
  static respond(settings: MseSettings): MseHandshake {
    return new MseHandshake(respond(settings));
  }

  /** `skeyHash` of the torrent the peer wants, as long as nobody has said which that is. */
  get name(): Uint8Array | undefined {
    return this.#name;
  }

  /** `undefined` until the handshake is over. */
  get result(): MseResult | undefined {
    return this.#result;
  }

  /**
   * Takes what belongs to the handshake from the bytes `start` to `end`.
   * @returns where it stopped: less than `end` when it has a `name` or a `result`
   * @throws WireError as soon as the bytes cannot be the protocol
   */
  push(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.#part !== undefined) {
      const part: Uint8Array = this.#part;
      const take = Math.min(part.length - this.#length, end - at);
      part.set(bytes.subarray(at, at + take), this.#length);
      this.#length += take;
      at += take;
      if (this.#length === part.length) this.#go(part);
    }
    return at;
  }

  /** The infohash of the torrent called `name`. */
  answer(infohash: Uint8Array): void {
    this.#go(infohash);
  }

  #go(input: Uint8Array): void {
    this.#part = undefined;
    this.#name = undefined;
    this.#length = 0;
    const { done, value } = this.#steps.next(input);
    if (done) this.#result = value;
    else if (typeof value === 'number') this.#part = new Uint8Array(value);
    else this.#name = value;
  }
}

/** What an encrypted peer calls a torrent. */
export function skeyHash(infohash: Uint8Array): Uint8Array {
  return sha1('req2', infohash);
}

const KEY_LENGTH = 96;
/** 160 bits: more do not help, since the group is not worth more. */
const PRIVATE_KEY_LENGTH = 20;
const MAX_PAD = 512;
const VC_LENGTH = 8;
const HASH_LENGTH = 20;
/** The first bytes of an RC4 key stream tell about the key; both ends pass over as many. */
const DISCARD = 1024;
const NOTHING = new Uint8Array(0);

function* initiate({ infohash, payload, rc4Only, random, send }: MseInitiatorSettings): Steps {
  const privateKey = random(PRIVATE_KEY_LENGTH);
  send(Buffer.concat([publicKey(privateKey), pad(random)]));
  const secret = sharedSecret(privateKey, yield KEY_LENGTH);

  const outgoing = cipher('keyA', secret, infohash);
  const incoming = cipher('keyB', secret, infohash);
  const methods = rc4Only ? MseMethod.rc4 : MseMethod.rc4 | MseMethod.plaintext;
  const offer = Buffer.alloc(VC_LENGTH + 8 + payload.length);
  offer.writeUInt32BE(methods, VC_LENGTH);
  offer.writeUInt16BE(payload.length, VC_LENGTH + 6);
  offer.set(payload, VC_LENGTH + 8);
  outgoing.apply(offer, 0, offer.length);
  send(Buffer.concat([sha1('req1', secret), xor(skeyHash(infohash), sha1('req3', secret)), offer]));

  const vc = new Uint8Array(VC_LENGTH);
  incoming.apply(vc, 0, VC_LENGTH);
  yield* synchronise(vc, 'verification constant');
  const head = yield* decrypted(6, incoming);
  const selected = readUint32(head, 0);
  if ((selected !== MseMethod.rc4 && selected !== MseMethod.plaintext) || (selected & methods) === 0) {
    throw new WireError(`encryption method ${selected} was selected of the offered ${methods}`);
  }
  yield* passPad(readUint16(head, 4), incoming);
  return selected === MseMethod.rc4
    ? { outgoing, incoming, incomingBytes: Number.POSITIVE_INFINITY }
    : { outgoing: undefined, incoming: undefined, incomingBytes: 0 };
}

/** The keys cost two modular exponentiations, and nobody's before 96 bytes have come. */
function* respond({ rc4Only, random, send }: MseSettings): Steps {
  const theirs = yield KEY_LENGTH;
  const privateKey = random(PRIVATE_KEY_LENGTH);
  const secret = sharedSecret(privateKey, theirs);
  send(Buffer.concat([publicKey(privateKey), pad(random)]));

  yield* synchronise(sha1('req1', secret), 'hash of the shared secret');
  const infohash = yield xor(yield HASH_LENGTH, sha1('req3', secret));
  const incoming = cipher('keyA', secret, infohash);
  const outgoing = cipher('keyB', secret, infohash);
  const head = yield* decrypted(VC_LENGTH + 6, incoming);
  if (head.subarray(0, VC_LENGTH).some((byte) => byte !== 0)) throw new WireError('verification constant is not zero');
  const offered = readUint32(head, VC_LENGTH);
  const selected = select(offered, rc4Only);
  yield* passPad(readUint16(head, VC_LENGTH + 4), incoming);
  const payloadLength = readUint16(yield* decrypted(2, incoming), 0);

  const answer = Buffer.alloc(VC_LENGTH + 6);
  answer.writeUInt32BE(selected, VC_LENGTH);
  outgoing.apply(answer, 0, answer.length);
  send(answer);
  return selected === MseMethod.rc4
    ? { outgoing, incoming, incomingBytes: Number.POSITIVE_INFINITY }
    : { outgoing: undefined, incoming, incomingBytes: payloadLength };
}

function select(offered: number, rc4Only: boolean): number {
  if (!rc4Only && (offered & MseMethod.plaintext) !== 0) return MseMethod.plaintext;
  if ((offered & MseMethod.rc4) !== 0) return MseMethod.rc4;
  throw new WireError(`encryption methods ${offered} are offered, ${rc4Only ? 'RC4 is required' : 'none is known'}`);
}

/** Passes over a pad of unknown length up to and including what follows it. */
function* synchronise(pattern: Uint8Array, what: string): Generator<number, void, Uint8Array> {
  const window = yield pattern.length;
  for (let skipped = 0; Buffer.compare(window, pattern) !== 0; skipped++) {
    if (skipped === MAX_PAD) throw new WireError(`${what} does not follow within ${MAX_PAD} bytes of the key`);
    window.copyWithin(0, 1);
    window.set(yield 1, pattern.length - 1);
  }
}

function* decrypted(length: number, cipher: Rc4): Generator<number, Uint8Array, Uint8Array> {
  const bytes = yield length;
  cipher.apply(bytes, 0, length);
  return bytes;
}

function* passPad(length: number, cipher: Rc4): Generator<number, void, Uint8Array> {
  if (length > MAX_PAD) throw new WireError(`pad of ${length} bytes, at most ${MAX_PAD} are taken`);
  if (length > 0) yield* decrypted(length, cipher);
}

const PRIME = Buffer.from(
  'ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd' +
    'ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563',
  'hex',
);
const GENERATOR = 2;

/**
 * One for the thread, since OpenSSL proves the prime anew for each: 30 ms, once. A key or a secret then takes 0.06 ms, a
 * sixth of what BigInt takes (AMD EPYC, Node 20).
 */
let diffieHellman: DiffieHellman | undefined;

function withKey(privateKey: Uint8Array): DiffieHellman {
  diffieHellman ??= createDiffieHellman(PRIME, GENERATOR);
  diffieHellman.setPrivateKey(privateKey);
  return diffieHellman;
}

function publicKey(privateKey: Uint8Array): Uint8Array {
  return padded(withKey(privateKey).generateKeys());
}

/** @throws WireError when the peer's key makes no secret: 0, 1 or their like */
function sharedSecret(privateKey: Uint8Array, theirs: Uint8Array): Uint8Array {
  const exchange = withKey(privateKey);
  try {
    return padded(exchange.computeSecret(theirs));
  } catch (error) {
    throw new WireError('the peer has no proper public key', { cause: error });
  }
}

/** A number of 96 bytes: some come without their leading zeros. */
function padded(number: Uint8Array): Uint8Array {
  if (number.length === KEY_LENGTH) return number;
  const bytes = new Uint8Array(KEY_LENGTH);
  bytes.set(number, KEY_LENGTH - number.length);
  return bytes;
}

function pad(random: MseSettings['random']): Uint8Array {
  return random(readUint16(random(2), 0) % (MAX_PAD + 1));
}

function cipher(label: 'keyA' | 'keyB', secret: Uint8Array, infohash: Uint8Array): Rc4 {
  return new Rc4(sha1(label, secret, infohash), DISCARD);
}

function sha1(label: string, first: Uint8Array, second: Uint8Array = NOTHING): Uint8Array {
  return hash('sha1', Buffer.concat([Buffer.from(label), first, second]), 'buffer');
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ b[i]!);
}

function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function readUint32(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at) * 0x1_0000 + readUint16(bytes, at + 2);
}

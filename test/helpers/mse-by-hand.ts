// Message stream encryption by hand: BigInt and a naive RC4, none of the code under test.
import { createHash } from 'node:crypto';

export const PRIME = BigInt(
  '0xFFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563',
);

export const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

/** 96 bytes, big-endian. */
export const keyOf = (number: bigint): Buffer => Buffer.from(number.toString(16).padStart(192, '0'), 'hex');

export function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = base % PRIME;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % PRIME;
    square = (square * square) % PRIME;
  }
  return result;
}

/** `text` is ASCII. */
export function sha1(text: string, ...parts: Uint8Array[]): Buffer {
  const hash = createHash('sha1').update(text);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

export const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from([...a].map((byte, i) => byte ^ b[i]!));

/** RC4 by the book, its first 1024 bytes passed over. */
export function cipherOf(key: Buffer): (bytes: Uint8Array) => Buffer {
  const s = [...Array(256).keys()];
  let j = 0;
  const swap = (a: number, b: number): void => {
    [s[a], s[b]] = [s[b]!, s[a]!];
  };
  for (let i = 0; i < 256; i++) {
    j = (j + s[i]! + key[i % key.length]!) % 256;
    swap(i, j);
  }
  let i = 0;
  j = 0;
  const next = (): number => {
    i = (i + 1) % 256;
    j = (j + s[i]!) % 256;
    swap(i, j);
    return s[(s[i]! + s[j]!) % 256]!;
  };
  for (let skipped = 0; skipped < 1024; skipped++) next();
  return (bytes) => Buffer.from([...bytes].map((byte) => byte ^ next()));
}

export const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
export const uint32 = (value: number): Buffer => Buffer.from([0, 0, value >> 8, value & 0xff]);

/** What an end by hand sends, given its private key; `theirs` is the other end's public key. */
export class HandMadeEnd {
  readonly publicKey: Buffer;
  readonly #x: bigint;

  constructor(privateKey: Uint8Array) {
    this.#x = numberOf(privateKey);
    this.publicKey = keyOf(power(2n, this.#x));
  }

  secret(theirs: Uint8Array): Buffer {
    return keyOf(power(numberOf(theirs), this.#x));
  }

  /** Hashes and ciphers of a connection. A is the end that dials. */
  agree(theirs: Uint8Array, infohash: Buffer): Agreement {
    const secret = this.secret(theirs);
    return {
      req1: sha1('req1', secret),
      name: xor(sha1('req2', infohash), sha1('req3', secret)),
      a: cipherOf(sha1('keyA', secret, infohash)),
      b: cipherOf(sha1('keyB', secret, infohash)),
    };
  }
}

export interface Agreement {
  readonly req1: Buffer;
  readonly name: Buffer;
  readonly a: (bytes: Uint8Array) => Buffer;
  readonly b: (bytes: Uint8Array) => Buffer;
}

export const VC = Buffer.alloc(8);

/** The third message, before its encryption: from VC on. */
export const offerOf = (methods: number, padC: number, payload: Buffer): Buffer =>
  Buffer.concat([VC, uint32(methods), uint16(padC), Buffer.alloc(padC), uint16(payload.length), payload]);

/** The fourth message, before its encryption. */
export const answerOf = (method: number, padD: number): Buffer =>
  Buffer.concat([VC, uint32(method), uint16(padD), Buffer.alloc(padD)]);

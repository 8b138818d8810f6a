/**
 * SHA-1 of bytes that may be all zeros, as the holes of a sparse file are: finding that out is several times faster than hashing, and
 * the digest of so many zeros is computed once. Other bytes pay a look at the first one.
 */
import { createHash, type Hash, hash } from 'node:crypto';

const CHUNK_BYTES = 1_048_576;

/** The last one asked for: the pieces of a torrent have one length. */
let known: { readonly length: number; readonly digest: Buffer } | undefined;

/** Whether there are bytes and all are 0. */
export function isZero(bytes: Uint8Array): boolean {
  // The first is, and each is as the one before it.
  return bytes[0] === 0 && Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0;
}

export function sha1Of(bytes: Uint8Array): Buffer {
  return isZero(bytes) ? sha1OfZeros(bytes.byteLength) : hash('sha1', bytes, 'buffer');
}

export function sha1OfZeros(length: number): Buffer {
  if (known?.length !== length) known = { length, digest: afterZeros(length).digest() };
  return known.digest;
}

/** A SHA-1 that has had so many zeros. */
export function afterZeros(length: number): Hash {
  const sha1 = createHash('sha1');
  const zeros = new Uint8Array(Math.min(CHUNK_BYTES, length));
  for (let left = length; left > 0; left -= zeros.length) sha1.update(zeros.subarray(0, left));
  return sha1;
}

/** SHA-1 of a piece or its blocks: at once while it is in cache, or bit by bit when it is so long that sockets would wait for it. */
import { createHash, hash } from 'node:crypto';
import { BLOCK_LENGTH } from '../src/protocol/wire.js';

/** Longest piece hashed in one call: about 8 ms. */
const ONE_CALL_BYTES = 8 * 1_048_576;
const STEP_BYTES = 1_048_576;
const DIGEST_LENGTH = 20;

/**
 * Hashes `bytes` and calls `done` with the digest of 20 bytes, before returning when the piece is short. The caller keeps
 * `bytes` alive and unchanged until then.
 */
export function hashPiece(bytes: Uint8Array, done: (digest: Uint8Array) => void): void {
  if (bytes.length <= ONE_CALL_BYTES) return done(hash('sha1', bytes, 'buffer'));
  const sha1 = createHash('sha1');
  let at = 0;
  const step = (): void => {
    sha1.update(bytes.subarray(at, at + STEP_BYTES));
    at += STEP_BYTES;
    if (at < bytes.length) setImmediate(step);
    else done(sha1.digest());
  };
  step();
}

/**
 * Hashes each block of a piece and calls `done` with their digests, 20 bytes each, before returning when the piece is short.
 * The caller keeps `bytes` alive and unchanged until then.
 */
export function hashBlocks(bytes: Uint8Array, done: (digests: Uint8Array) => void): void {
  const digests = new Uint8Array(Math.ceil(bytes.length / BLOCK_LENGTH) * DIGEST_LENGTH);
  let at = 0;
  const step = (): void => {
    const end = Math.min(at + (bytes.length <= ONE_CALL_BYTES ? ONE_CALL_BYTES : STEP_BYTES), bytes.length);
    for (; at < end; at += BLOCK_LENGTH) {
      const digest = hash('sha1', bytes.subarray(at, at + BLOCK_LENGTH), 'buffer');
      digests.set(digest, (at / BLOCK_LENGTH) * DIGEST_LENGTH);
    }
    if (at < bytes.length) setImmediate(step);
    else done(digests);
  };
  step();
}

/** SHA-1 of a piece: in one call while it is in cache, or bit by bit when it is so long that sockets would wait for it. */
import { createHash, hash } from 'node:crypto';

/** Longest piece hashed in one call: about 8 ms. */
const ONE_CALL_BYTES = 8 * 1_048_576;
const STEP_BYTES = 1_048_576;

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

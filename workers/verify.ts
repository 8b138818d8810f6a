/**
 * Piscina entry of the verify pool: hashes one range of pieces per task. A thin shell over `hashPieces`; what it adds is the
 * memory a thread reads into and a form in which a `SpateError` keeps its code across threads.
 */
import { SpateError } from '../src/errors.js';
import { CHUNK_BYTES, type HashResult, type HashTask, hashPieces } from '../src/storage/hash-pieces.js';

const chunk = new Uint8Array(CHUNK_BYTES);

/** The task function. */
export function verify(task: HashTask): HashResult {
  try {
    const { good, unread } = hashPieces(task, chunk);
    return { good: good.bytes, unread };
  } catch (error) {
    if (error instanceof SpateError) return { failed: { code: error.code, message: error.message } };
    throw error;
  }
}

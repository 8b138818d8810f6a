// What each block costs in the queue of the requests to one peer: pushed once, taken once.
import { bench, describe } from 'vitest';
import type { PieceIndex } from '../../../src/torrent/geometry.js';
import { RequestQueue } from '../../../src/torrent/request-queue.js';

const BLOCKS = 1000;
const PER_PIECE = 64;

function run(queue: RequestQueue, window: number, takes: (i: number) => number): void {
  for (let i = 0; i < window; i++) queue.push((i >> 6) as PieceIndex, i % PER_PIECE);
  for (let i = 0; i < BLOCKS; i++) {
    const taken = takes(i);
    queue.take(taken >> 6, taken % PER_PIECE);
    const next = i + window;
    queue.push((next >> 6) as PieceIndex, next % PER_PIECE);
  }
  queue.clear(() => {});
}

describe('RequestQueue, 1,000 blocks', () => {
  const queue = new RequestQueue();
  bench('answered in order, 128 under way', () => run(queue, 128, (i) => i));
  bench('answered in order, 2,000 under way', () => run(queue, 2000, (i) => i));
  // Pairs the wrong way round, as a peer does that reads from several disks.
  bench('answered in pairs the wrong way round, 128 under way', () => run(queue, 128, (i) => i ^ 1));
  bench('given up and answered late, 128 under way', () => {
    for (let i = 0; i < BLOCKS; i++) {
      queue.push((i >> 6) as PieceIndex, i % PER_PIECE);
      if (i % 128 === 127) queue.release(() => {});
    }
    for (let i = BLOCKS - 128; i < BLOCKS; i++) queue.take(i >> 6, i % PER_PIECE);
    queue.clear(() => {});
  });
});

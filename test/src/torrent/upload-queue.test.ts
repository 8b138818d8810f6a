import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Geometry } from '../../../src/torrent/geometry.js';
import { UploadQueue, type UploadRequest } from '../../../src/torrent/upload-queue.js';

const geometry = new Geometry({ length: 400_000, pieceLength: 100_000 });

const request = (piece: number, begin: number, length: number): UploadRequest => ({
  piece: geometry.pieceIndex(piece)!,
  begin,
  length,
});

function queueOf(requests: readonly UploadRequest[]): UploadQueue {
  const queue = new UploadQueue();
  for (const each of requests) queue.push(each);
  return queue;
}

describe('UploadQueue', () => {
  it('takes requests that continue one another together', () => {
    const queue = queueOf([request(0, 5, 10), request(0, 15, 3), request(0, 18, 7), request(0, 30, 1)]);
    expect(queue.takeRun(100)).toEqual([request(0, 5, 10), request(0, 15, 3), request(0, 18, 7)]);
    expect(queue.takeRun(100)).toEqual([request(0, 30, 1)]);
    expect(queue.size).toBe(0);
  });

  it('ends a run at another piece, at a gap, at a step back and at the most bytes', () => {
    expect(queueOf([request(0, 0, 10), request(1, 10, 10)]).takeRun(100)).toHaveLength(1);
    expect(queueOf([request(0, 0, 10), request(0, 11, 10)]).takeRun(100)).toHaveLength(1);
    expect(queueOf([request(0, 10, 10), request(0, 0, 10)]).takeRun(100)).toHaveLength(1);
    expect(queueOf([request(0, 0, 10), request(0, 0, 10)]).takeRun(100)).toHaveLength(1);
    expect(queueOf([request(0, 7, 10), request(0, 17, 10)]).takeRun(20)).toHaveLength(2);
    expect(queueOf([request(0, 7, 10), request(0, 17, 10)]).takeRun(19)).toHaveLength(1);
  });

  it('takes a request that is longer than the most bytes by itself', () => {
    expect(queueOf([request(0, 0, 50)]).takeRun(10)).toEqual([request(0, 0, 50)]);
  });

  it('forgets a cancelled request, once, and ignores a cancel of anything else', () => {
    const queue = queueOf([request(0, 0, 10), request(1, 0, 10), request(1, 0, 10)]);
    expect([queue.cancel(1, 0, 9), queue.cancel(1, 1, 10), queue.cancel(3, 0, 10)]).toEqual([false, false, false]);
    expect(queue.size).toBe(3);
    expect([queue.cancel(1, 0, 10), queue.cancel(0, 0, 10)]).toEqual([true, true]);
    expect(queue.takeRun(1)).toEqual([request(1, 0, 10)]);
    expect(queue.size).toBe(0);
  });

  it('drops what is not to be kept when it is cleared', () => {
    const queue = queueOf([request(0, 0, 10), request(1, 0, 10)]);
    expect(queue.clear(({ piece }) => piece === 1)).toEqual([request(0, 0, 10)]);
    expect(queue.size).toBe(1);
    expect(queue.clear()).toEqual([request(1, 0, 10)]);
    expect(queue.size).toBe(0);
    expect(queue.takeRun(10)).toEqual([]);
  });

  it('answers every request once and in order, in runs that never exceed the most bytes', () => {
    const requests = fc.array(
      fc.tuple(fc.nat(1), fc.nat(6), fc.integer({ min: 1, max: 3 })).map(([p, b, l]) => request(p, b * 10, l * 10)),
    );
    fc.assert(
      fc.property(requests, fc.integer({ min: 1, max: 100 }), (asked, maxBytes) => {
        const queue = queueOf(asked);
        const answered: UploadRequest[] = [];
        for (let run = queue.takeRun(maxBytes); run.length > 0; run = queue.takeRun(maxBytes)) {
          const bytes = run.reduce((sum, { length }) => sum + length, 0);
          expect(run.length === 1 || bytes <= maxBytes).toBe(true);
          for (const [i, next] of run.entries()) {
            if (i > 0)
              expect(next).toMatchObject({ piece: run[0]!.piece, begin: run[i - 1]!.begin + run[i - 1]!.length });
          }
          answered.push(...run);
        }
        expect(answered).toEqual(asked);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Geometry, type PieceIndex } from '../../../src/torrent/geometry.js';
import { Match, RequestQueue } from '../../../src/torrent/request-queue.js';

const geometry = new Geometry({ length: 1_000_000 * 65_536, pieceLength: 65_536 });
const at = (piece: number): PieceIndex => geometry.pieceIndex(piece)!;

/** Collects what a visitor is shown, as `piece/block`. */
function visited(visit: (each: (piece: PieceIndex, block: number) => void) => void): string[] {
  const seen: string[] = [];
  visit((piece, block) => seen.push(`${piece}/${block}`));
  return seen;
}

describe('RequestQueue', () => {
  it('is empty at first', () => {
    const queue = new RequestQueue();
    expect([queue.size, queue.released]).toEqual([0, 0]);
    expect(queue.take(0, 0)).toBe(Match.none);
    expect(visited((each) => queue.clear(each))).toEqual([]);
  });

  it('matches each request once, in any order', () => {
    const queue = new RequestQueue();
    for (let block = 0; block < 4; block++) queue.push(at(7), block);
    expect([2, 0, 3, 1, 1].map((block) => queue.take(7, block))).toEqual([
      Match.live,
      Match.live,
      Match.live,
      Match.live,
      Match.none,
    ]);
    expect(queue.size).toBe(0);
  });

  it('matches piece and block, neither alone', () => {
    const queue = new RequestQueue();
    queue.push(at(1), 2);
    expect([queue.take(2, 1), queue.take(1, 1), queue.take(2, 2)]).toEqual([Match.none, Match.none, Match.none]);
    expect(queue.take(1, 2)).toBe(Match.live);
  });

  it('matches a request that was given up as released, once', () => {
    const queue = new RequestQueue();
    queue.push(at(1), 0);
    queue.push(at(1), 1);
    expect(visited((each) => queue.release(each))).toEqual(['1/0', '1/1']);
    expect([queue.size, queue.released]).toEqual([0, 2]);
    expect(visited((each) => queue.release(each))).toEqual([]);
    expect([queue.take(1, 1), queue.take(1, 1)]).toEqual([Match.released, Match.none]);
    expect(queue.released).toBe(1);
  });

  it('counts a block that is asked for again after it was given up as owed', () => {
    const queue = new RequestQueue();
    queue.push(at(1), 0);
    visited((each) => queue.release(each));
    queue.push(at(1), 0);
    // Whoever drops the repeated request answers once: nothing may seem owed afterwards.
    expect(queue.take(1, 0)).toBe(Match.live);
    expect([queue.size, queue.released]).toEqual([0, 1]);
    expect([queue.take(1, 0), queue.take(1, 0)]).toEqual([Match.released, Match.none]);
  });

  it('counts what was given up as owed again where nobody else was asked', () => {
    const queue = new RequestQueue();
    for (let block = 0; block < 4; block++) queue.push(at(1), block);
    visited((each) => queue.release(each));
    queue.take(1, 0);
    const offered: number[] = [];
    queue.reclaim((piece, block) => {
      expect(piece).toBe(1);
      offered.push(block);
      return block !== 2;
    });
    expect([offered, queue.size, queue.released]).toEqual([[1, 2, 3], 2, 1]);
    expect([3, 2, 1].map((block) => queue.take(1, block))).toEqual([Match.live, Match.released, Match.live]);
    queue.reclaim(() => expect.fail('nothing is left'));
  });

  it('matches nothing after it was cleared, and is as good as new', () => {
    const queue = new RequestQueue();
    queue.push(at(1), 0);
    visited((each) => queue.release(each));
    queue.push(at(1), 1);
    expect(visited((each) => queue.clear(each))).toEqual(['1/1']);
    expect([queue.size, queue.released]).toEqual([0, 0]);
    expect([queue.take(1, 0), queue.take(1, 1)]).toEqual([Match.none, Match.none]);
    queue.push(at(1), 0);
    expect(queue.take(1, 0)).toBe(Match.live);
  });

  it('shows the requests of the last batch in their order, however often it had to make room', () => {
    const queue = new RequestQueue();
    let next = 0;
    for (let round = 0; round < 400; round++) {
      const batch = Array.from({ length: 1 + (round % 7) }, () => next++);
      for (const id of batch) queue.push(at(id), id % 4);
      expect(visited((each) => queue.forLast(batch.length, each))).toEqual(batch.map((id) => `${id}/${id % 4}`));
      // Gaps in the middle, then at the head.
      queue.take(next - 3, (next - 3) % 4);
      if (round % 3 > 0) queue.take(round, round % 4);
    }
    expect(queue.size).toBeGreaterThan(512);
  });

  it('remembers at least the 64 newest requests that were given up, while nothing else is asked for', () => {
    const queue = new RequestQueue();
    for (let i = 0; i < 64; i++) queue.push(at(i), 0);
    visited((each) => queue.release(each));
    for (let i = 0; i < 64; i++) expect(queue.take(i, 0)).toBe(Match.released);
  });

  it('takes no more room for requests that are never answered', () => {
    const queue = new RequestQueue();
    for (let round = 0; round < 1000; round++) {
      for (let i = 0; i < 30; i++) queue.push(at(round * 30 + i), 0);
      visited((each) => queue.release(each));
      expect(queue.released).toBeLessThanOrEqual(64);
    }
  });

  it('never loses nor doubles a request that is owed, whatever happens', () => {
    const step = fc.oneof(
      {
        weight: 12,
        arbitrary: fc.record({ do: fc.constant('push' as const), count: fc.integer({ min: 1, max: 40 }) }),
      },
      { weight: 12, arbitrary: fc.record({ do: fc.constant('take' as const), pick: fc.nat(300) }) },
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant('takeHead' as const), count: fc.integer({ min: 1, max: 60 }) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('again' as const), count: fc.integer({ min: 1, max: 20 }) }),
      },
      { weight: 2, arbitrary: fc.constant({ do: 'takeUnknown' as const }) },
      { weight: 1, arbitrary: fc.constant({ do: 'release' as const }) },
      { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (script) => {
        const queue = new RequestQueue();
        let next = 0;
        let live: number[] = [];
        /** Given up and not answered, some more than once; the queue may forget some of these. */
        let released: number[] = [];
        const take = (id: number): void => {
          const match = queue.take(id >> 3, id & 7);
          const owed = live.indexOf(id);
          if (owed !== -1) {
            expect(match).toBe(Match.live);
            live.splice(owed, 1);
          } else if (!released.includes(id)) expect(match).toBe(Match.none);
          else {
            expect(match).not.toBe(Match.live);
            released.splice(released.indexOf(id), 1);
          }
        };
        for (const action of script) {
          switch (action.do) {
            case 'push':
              for (let i = 0; i < action.count; i++) {
                queue.push(at(next >> 3), next & 7);
                live.push(next++);
              }
              break;
            case 'again':
              for (const id of new Set(released.filter((id) => !live.includes(id)).slice(0, action.count))) {
                queue.push(at(id >> 3), id & 7);
                live.push(id);
              }
              break;
            case 'take':
              if (next > 0) take(next - 1 - (action.pick % next));
              break;
            case 'takeHead':
              for (const id of live.slice(0, action.count)) take(id);
              break;
            case 'takeUnknown':
              expect(queue.take(next >> 3, next & 7)).toBe(Match.none);
              break;
            default: {
              const given = visited((each) => queue[action.do](each));
              expect(given).toEqual(live.map((id) => `${id >> 3}/${id & 7}`));
              released = action.do === 'clear' ? [] : [...released, ...live];
              live = [];
            }
          }
          expect(queue.size).toBe(live.length);
          expect(queue.released).toBeLessThanOrEqual(released.length);
        }
        for (const id of [...live].reverse()) take(id);
        expect(queue.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Evidence, type Giver } from '../../../src/torrent/evidence.js';
import type { PieceIndex } from '../../../src/torrent/geometry.js';

const [P, Q] = [3 as PieceIndex, 4 as PieceIndex];

/** Digests of blocks, each named by one number. */
const digests = (...blocks: readonly number[]): Uint8Array =>
  Uint8Array.from(blocks.flatMap((block) => Array.from({ length: 20 }, (_, at) => (at === 19 ? block : 7))));

describe('a piece that fails its hash', () => {
  it('has one culprit when one giver gave all of it', () => {
    const evidence = new Evidence(10_000);
    expect(evidence.onCorrupt(P, ['a', 'a', 'a'], digests(1, 2, 3))).toBe('a');
    expect(evidence.bytes).toBe(0);
  });

  it('has none when several gave it, or nobody knows who gave some of it', () => {
    const evidence = new Evidence(10_000);
    expect(evidence.onCorrupt(P, ['a', 'b', 'a'], digests(1, 2, 3))).toBeUndefined();
    expect(evidence.onCorrupt(P, ['a', undefined, 'a'], digests(1, 2, 3))).toBeUndefined();
    expect(evidence.onCorrupt(P, [undefined, undefined], digests(1, 2))).toBeUndefined();
  });

  it('names who gave other blocks than it has when it passes, of every failure, and nobody else', () => {
    const evidence = new Evidence(10_000);
    evidence.onCorrupt(P, ['a', 'b', 'c'], digests(1, 99, 3));
    evidence.onCorrupt(P, ['d', 'b', 'c'], digests(99, 2, 3));
    evidence.onCorrupt(Q, ['e', 'f', 'f'], digests(99, 99, 99));
    expect(evidence.onVerified(P, digests(1, 2, 3))).toEqual(new Set(['b', 'd']));
    expect(evidence.onVerified(P, digests(99, 99, 99))).toEqual(new Set());
  });

  it('blames nobody for a bad block that came from nowhere', () => {
    const evidence = new Evidence(10_000);
    evidence.onCorrupt(P, [undefined, 'b', 'c'], digests(99, 2, 3));
    expect(evidence.onVerified(P, digests(1, 2, 3))).toEqual(new Set());
  });

  it('tells blocks apart by any byte of their digests', () => {
    for (let at = 0; at < 60; at++) {
      const evidence = new Evidence(10_000);
      const bad = digests(1, 2, 3);
      bad[at]! ^= 0x80;
      evidence.onCorrupt(P, ['a', 'b', 'c'], bad);
      expect([...evidence.onVerified(P, digests(1, 2, 3))]).toEqual([['a', 'b', 'c'][Math.floor(at / 20)]]);
    }
  });

  it('is forgotten when it is had', () => {
    const evidence = new Evidence(10_000);
    evidence.onCorrupt(P, ['a', 'b'], digests(1, 2));
    expect(evidence.bytes).toBeGreaterThan(0);
    evidence.drop(P);
    expect(evidence.bytes).toBe(0);
    expect(evidence.onVerified(P, digests(8, 9))).toEqual(new Set());
  });

  it('is forgotten, the oldest first, when there is too much to keep', () => {
    const one = 256 + 2 * 28;
    const evidence = new Evidence(3 * one);
    for (let piece = 0; piece < 4; piece++) evidence.onCorrupt(piece as PieceIndex, ['a', 'b'], digests(1, 2));
    expect(evidence.bytes).toBe(3 * one);
    const named = [0, 1, 2, 3].map((piece) => evidence.onVerified(piece as PieceIndex, digests(8, 9)).size);
    expect(named).toEqual([0, 2, 2, 2]);
    // One that is larger than all there may be is not kept at all.
    expect(new Evidence(100).onCorrupt(P, ['a', 'b'], digests(1, 2))).toBeUndefined();
    expect(evidence.bytes).toBe(0);
  });
});

describe('beside a model that knows who lied', () => {
  const BLOCKS = 4;
  const truth = digests(...Array.from({ length: BLOCKS }, (_, block) => block));
  /** Each block: who gave it, and whether it is bad. */
  const failure = fc.array(fc.record({ giver: fc.option(fc.constantFrom('a', 'b', 'c', 'd')), bad: fc.boolean() }), {
    minLength: BLOCKS,
    maxLength: BLOCKS,
  });
  const step = fc.record({ piece: fc.nat(2), failure, passes: fc.boolean() });

  it('it names exactly the liars whatever the mix of givers, and never an innocent, however little it may keep', () => {
    const property = fc.property(fc.array(step, { maxLength: 30 }), fc.nat(2_000), (script, capBytes) => {
      const [ample, tight] = [new Evidence(1e6), new Evidence(capBytes)];
      const lied = [new Set<string>(), new Set<string>(), new Set<string>()];
      for (const { piece: number, failure: blocks, passes } of script) {
        const piece = number as PieceIndex;
        if (passes) {
          expect(ample.onVerified(piece, truth)).toEqual(lied[number]);
          for (const named of tight.onVerified(piece, truth)) expect(lied[number]).toContain(named);
          lied[number] = new Set();
        } else if (blocks.some(({ bad }) => bad)) {
          const givers: Giver[] = blocks.map(({ giver }) => giver ?? undefined);
          const sent = digests(...blocks.map(({ bad }, block) => (bad ? 100 + block : block)));
          const liars = blocks.flatMap(({ giver, bad }) => (bad && giver !== null ? [giver] : []));
          const culprit = ample.onCorrupt(piece, givers, sent);
          expect(tight.onCorrupt(piece, givers, sent)).toBe(culprit);
          const isOne = new Set(givers).size === 1 && givers[0] !== undefined;
          expect(culprit).toBe(isOne ? givers[0] : undefined);
          if (culprit !== undefined) expect(liars).toContain(culprit);
          else for (const liar of liars) lied[number]!.add(liar);
        }
        expect(tight.bytes).toBeLessThanOrEqual(capBytes);
      }
    });
    fc.assert(property, { numRuns: 300 });
  });
});

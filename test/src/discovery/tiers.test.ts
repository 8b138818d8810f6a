import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrangeTiers, promote } from '../../../src/discovery/tiers.js';

describe('arrangeTiers', () => {
  it('keeps the order of tiers, drops repetitions, blanks and empty tiers', () => {
    const tiers = [['a'], [], ['a', ' b '], [''], ['b', 'c']];
    expect(arrangeTiers(tiers, () => 0.999)).toEqual([['a'], ['b'], ['c']]);
  });

  it('shuffles within a tier by the given random source', () => {
    expect(arrangeTiers([['a', 'b', 'c', 'd']], () => 0.999)).toEqual([['a', 'b', 'c', 'd']]);
    expect(arrangeTiers([['a', 'b', 'c', 'd']], () => 0)).toEqual([['b', 'c', 'd', 'a']]);
    const draws = [0.5, 0.1, 0.9];
    expect(arrangeTiers([['a', 'b', 'c', 'd']], () => draws.shift()!)).toEqual([['d', 'b', 'a', 'c']]);
  });

  it('keeps every tracker in its tier, and no more than 256 in all', () => {
    const tiers = fc.array(fc.array(fc.integer({ min: 0, max: 400 }).map(String)));
    fc.assert(
      fc.property(tiers, fc.infiniteStream(fc.double({ min: 0, max: 0.999_999, noNaN: true })), (given, draws) => {
        const arranged = arrangeTiers(given, () => draws.next().value);
        const distinct = [...new Set(given.flat())].slice(0, 256);
        expect(arranged.flat().sort()).toEqual(distinct.sort());
        for (const tier of arranged) expect(given.some((from) => tier.every((url) => from.includes(url)))).toBe(true);
      }),
    );
    const many = Array.from({ length: 1000 }, (_, i) => [`udp://t${i}`]);
    expect(arrangeTiers(many, () => 0)).toHaveLength(256);
  });

  it('leaves what it was given alone', () => {
    const tiers = Object.freeze([Object.freeze(['a', 'b'])]);
    expect(arrangeTiers(tiers, () => 0)).toEqual([['b', 'a']]);
  });
});

describe('promote', () => {
  it('moves one to the front and keeps the order of the others', () => {
    const tier = ['a', 'b', 'c'];
    promote(tier, 'c');
    expect(tier).toEqual(['c', 'a', 'b']);
    promote(tier, 'c');
    expect(tier).toEqual(['c', 'a', 'b']);
  });
});

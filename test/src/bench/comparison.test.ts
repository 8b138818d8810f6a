import { describe, expect, it } from 'vitest';
import { rotated, summarise } from '../../../src/bench/comparison.js';
import { contender, GIB, sampleComparison } from '../../helpers/bench-comparison.js';

describe('summarise', () => {
  it('gives the spread of each figure', () => {
    const [ours] = summarise(sampleComparison([contender('spate', [2, 4, 1], [3, 1, 2], [100, 300, 200])]));
    expect(ours).toMatchObject({
      name: 'spate',
      runs: 3,
      voids: 0,
      seconds: { min: 1, median: 2, max: 4 },
      bytesPerSecond: { min: GIB / 4, median: GIB / 2, max: GIB },
      cpuSecondsPerGib: { min: 1, median: 2, max: 3 },
      peakRssBytes: { min: 100, median: 200, max: 300 },
    });
  });

  it('takes the ratio within each round, so that a slow round is slow for both', () => {
    const ours = contender('spate', [1, 10, 2], [1, 1, 1]);
    const other = contender('other', [2, 20, 4], [3, 1, 2]);
    expect(summarise(sampleComparison([ours, other]))[1]).toMatchObject({ secondsRatio: 2, cpuRatio: 2 });
  });

  it('leaves out rounds in which one of the two is void', () => {
    const ours = { ...contender('spate', [1, 1, 1]), voids: [] };
    const first = contender('other', [9, 3, 5]);
    const other = { ...first, runs: first.runs.slice(1), voids: [{ round: 1, reason: 'gone' }] };
    expect(summarise(sampleComparison([ours, other]))[1]).toMatchObject({ runs: 2, voids: 1, secondsRatio: 4 });
  });

  it('says nothing of what was not measured', () => {
    const ours = contender('spate', [1]);
    const blind = { ...ours, runs: [{ round: 1, seconds: 1, cpuSeconds: null, peakRssBytes: null }] };
    const dead = { ...ours, runs: [], voids: [{ round: 1, reason: 'gone' }] };
    const [, second, third] = summarise(sampleComparison([ours, blind, dead]));
    expect(second).toMatchObject({ cpuSecondsPerGib: null, peakRssBytes: null, cpuRatio: null, secondsRatio: 1 });
    expect(third).toMatchObject({ seconds: null, bytesPerSecond: null, secondsRatio: null, runs: 0, voids: 1 });
  });
});

describe('rotated', () => {
  it('lets everybody be first in turn', () => {
    expect([0, 1, 2, 3].map((round) => rotated(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'bca', 'cab', 'abc']);
    expect(rotated([], 3)).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { holds, latencyAt, parseAssertion } from '../../../src/bench/metrics.js';

describe('an assertion', () => {
  it.each([
    ['goodput>=500MiB/s', 'goodput', '>=', 524_288_000],
    ['goodput > 8 Gbit/s', 'goodput', '>', 1_000_000_000],
    ['rss<100MiB', 'rss', '<', 104_857_600],
    ['cpu<=2.5s/GiB', 'cpu', '<=', 2.5],
    ['first<=250ms', 'first', '<=', 0.25],
    ['latencyP99<1s', 'latencyP99', '<', 1000],
    ['wasted<=0', 'wasted', '<=', 0],
  ])('%s is read', (text, metric, operator, value) => {
    expect(parseAssertion(text)).toEqual({ text, metric, operator, value });
  });

  it.each(['', 'goodput', 'goodput=5', 'goodput>=fast', 'speed>=5', 'goodput>=5s', 'toString>=5', 'rss<5toString'])(
    '%j is refused',
    (text) => {
      expect(() => parseAssertion(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );

  it.each([
    ['rss>=5', 5, true],
    ['rss>5', 5, false],
    ['rss<=5', 5, true],
    ['rss<5', 5, false],
  ])('%s of %i is %s', (text, found, expected) => {
    expect(holds(parseAssertion(text), found)).toBe(expected);
  });
});

describe('latencyAt', () => {
  it('is 0 when nothing was measured', () => expect(latencyAt([0, 0], 0.5)).toBe(0));

  it('is the upper end of the bucket that the part falls into', () => {
    const counts = new Array(300).fill(0);
    counts[199] = 9;
    counts[219] = 1;
    expect(latencyAt(counts, 0.5)).toBeCloseTo(1.024);
    expect(latencyAt(counts, 0.99)).toBeCloseTo(2.048);
  });
});

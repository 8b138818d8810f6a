import { describe, expect, it } from 'vitest';
import { quantile, spreadOf } from '../../src/statistics.js';

describe('spreadOf', () => {
  it('sorts by value and takes the middle one', () => {
    expect(spreadOf([10, 9, 100])).toEqual({ min: 9, median: 10, max: 100 });
  });

  it('takes the mean of the middle two of an even number', () => {
    expect(spreadOf([4, 1, 3, 2])).toEqual({ min: 1, median: 2.5, max: 4 });
  });

  it('is the value itself where there is one', () => {
    expect(spreadOf([7])).toEqual({ min: 7, median: 7, max: 7 });
  });

  it('refuses nothing', () => {
    expect(() => spreadOf([])).toThrow(RangeError);
  });
});

describe('quantile', () => {
  it('lies between two values in proportion', () => {
    expect(quantile([0, 10, 20, 30, 40], 0.9)).toBe(36);
  });
});

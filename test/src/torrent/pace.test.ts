import { expect, it } from 'vitest';
import { Pace } from '../../../src/torrent/pace.js';

it('a pace has its burst at once, then its rate, and saves up no more than its burst', () => {
  const pace = new Pace(5, 2);
  expect(pace.available(1_000)).toBe(5);
  pace.take(5);
  expect([1_000, 1_499, 1_500, 1_999, 2_000].map((now) => pace.available(now))).toEqual([0, 0, 1, 1, 2]);
  pace.take(1);
  expect(pace.available(2_500)).toBe(2);
  expect(pace.available(1e9)).toBe(5);
});

import { describe, expect, it } from 'vitest';
import { Census } from '../../../src/torrent/census.js';

describe('a census', () => {
  it('counts connections and dials against what there may be', () => {
    const census = new Census(10);
    expect([census.excess, census.isCrowded]).toEqual([-10, false]);
    census.onChange(2, 3);
    expect([census.excess, census.dialling, census.isCrowded]).toEqual([-5, 3, false]);
    census.onChange(3, -2);
    expect([census.excess, census.dialling, census.isCrowded]).toEqual([-4, 1, true]);
    census.onChange(6, 0);
    expect(census.excess).toBe(2);
  });

  it('shares out what there may be, one at least', () => {
    const census = new Census(10);
    expect([0, 1, 3, 10, 5_000].map((torrents) => census.shareOf(torrents))).toEqual([10, 10, 3, 1, 1]);
  });
});

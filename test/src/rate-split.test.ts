import { describe, expect, it } from 'vitest';
import type { GroupLoad } from '../../src/messages.js';
import { RateSplit, rateOf } from '../../src/rate-split.js';

const IDLE: GroupLoad = { peers: 0, bytesPerSecond: 0, waiting: 0 };
const FIRST_PEERS: GroupLoad = { peers: 4, bytesPerSecond: 0, waiting: 0 };

/** The limits each group was told last. */
function splitOf(down: number, up: number): { split: RateSplit; told: Map<number, { down: number; up: number }> } {
  const told = new Map<number, { down: number; up: number }>();
  const split = new RateSplit({ down, up }, (group, shares) => told.set(group, shares));
  for (const group of [0, 1]) split.add(group);
  return { split, told };
}

describe('a rate limit', () => {
  it('goes to a group with all the peers as soon as it tells of them, but for what lets the others begin', () => {
    const { split, told } = splitOf(1_000_000, 2_000_000);
    expect(told.get(0)).toEqual({ down: 500_000, up: 1_000_000 });
    split.onLoad(0, FIRST_PEERS, FIRST_PEERS);
    expect(told.get(0)!.down).toBeGreaterThan(990_000);
    expect(told.get(0)!.up).toBeGreaterThan(1_980_000);
    expect(told.get(1)!.down).toBeGreaterThan(1_000);
  });

  it('is shared with the next group when that tells of its first peers', () => {
    const { split, told } = splitOf(1_000_000, 0);
    split.onLoad(0, FIRST_PEERS, IDLE);
    split.onLoad(1, FIRST_PEERS, IDLE);
    expect(told.get(0)!.down).toBeGreaterThan(450_000);
    expect(told.get(1)!.down).toBeGreaterThan(450_000);
  });

  it('is not split anew by loads alone', () => {
    const { split, told } = splitOf(1_000_000, 0);
    split.onLoad(0, FIRST_PEERS, IDLE);
    told.clear();
    split.onLoad(0, { peers: 5, bytesPerSecond: 400_000, waiting: 1 }, IDLE);
    expect(told.size).toBe(0);
  });

  it('is split anew every two seconds', () => {
    const { split, told } = splitOf(1_000_000, 0);
    split.onTick(0);
    for (const group of [0, 1]) split.onLoad(group, FIRST_PEERS, IDLE);
    split.onLoad(0, { peers: 4, bytesPerSecond: 1_000, waiting: 0 }, IDLE);
    split.onLoad(1, { peers: 4, bytesPerSecond: 400_000, waiting: 1 }, IDLE);
    const before = told.get(1)!.down;
    split.onTick(1_999);
    expect(told.get(1)!.down).toBe(before);
    split.onTick(2_000);
    expect(told.get(1)!.down).toBeGreaterThan(before);
  });

  it('is all of the one group there is, and of those that are left', () => {
    const told = new Map<number, number>();
    const split = new RateSplit({ down: 1_000_000, up: 0 }, (group, { down }) => told.set(group, down));
    split.add(3);
    expect([...told]).toEqual([[3, 1_000_000]]);
    split.add(1);
    expect(told.get(3)! + told.get(1)!).toBe(1_000_000);
    split.remove(3);
    expect(told.get(1)).toBe(1_000_000);
  });

  it('of none is told to nobody', () => {
    const { split, told } = splitOf(0, 0);
    split.onTick(0);
    expect(told.size).toBe(0);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('cannot be %d', (rate) => {
    expect(() => rateOf('maxDown', rate)).toThrow(`maxDown must be 0 or more bytes per second, got ${rate}`);
    expect([rateOf('maxDown'), rateOf('maxDown', 0.5)]).toEqual([0, 0.5]);
  });
});

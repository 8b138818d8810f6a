import { describe, expect, it } from 'vitest';
import type { GroupLoad, ToGroup } from '../../src/messages.js';
import { RateSplit } from '../../src/rate-split.js';

const IDLE: GroupLoad = { peers: 0, bytesPerSecond: 0, waiting: 0 };
const FIRST_PEERS: GroupLoad = { peers: 4, bytesPerSecond: 0, waiting: 0 };

/** The limits each group was told last. */
function splitOf(down: number, up: number): { split: RateSplit; told: Map<number, { down: number; up: number }> } {
  const told = new Map<number, { down: number; up: number }>();
  const send = (group: number, message: ToGroup): void => {
    if (message.type === 'limits') told.set(group, { down: message.down, up: message.up });
  };
  const split = new RateSplit({ down, up }, 2, send);
  split.split();
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
});

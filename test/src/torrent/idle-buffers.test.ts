import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ByteBudget } from '../../../src/torrent/byte-budget.js';
import { type IdleBuffer, IdleBuffers } from '../../../src/torrent/idle-buffers.js';

const BLOCK = 16_384;

/** Buffers at home, of so many blocks, since such times; those that are let go give theirs back when told. */
function world(capBlocks: number, afterMs = 100) {
  const budget = new ByteBudget(capBlocks * BLOCK);
  const idle = new IdleBuffers(budget, afterMs);
  const spilled: number[] = [];
  const ends: (() => Promise<void>)[] = [];
  const home = (blocks: number, since: number, id = since): IdleBuffer => {
    const buffer = budget.take(blocks * BLOCK)!;
    const held: IdleBuffer = {
      bytes: buffer.byteLength,
      since,
      spill: () => {
        spilled.push(id);
        return new Promise((resolve) => {
          ends.push(async () => {
            budget.give(buffer);
            resolve();
            await Promise.resolve();
          });
        });
      },
    };
    idle.add(held);
    return held;
  };
  return { budget, idle, spilled, ends, home };
}

it('lets go of the longest idle, as many as it takes and no more, however often it is asked', () => {
  const { idle, spilled, home } = world(8);
  for (const since of [1, 2, 3, 4]) home(2, since);
  idle.relieve(3 * BLOCK, 1000);
  idle.relieve(3 * BLOCK, 1000);
  expect(spilled).toEqual([1, 2]);
});

it('lets go of nothing while there is room, nor of what came home just now', () => {
  const { idle, spilled, home } = world(8);
  home(4, 0);
  idle.relieve(4 * BLOCK, 1000);
  home(4, 950);
  idle.relieve(BLOCK, 99);
  expect(spilled).toEqual([]);
  idle.relieve(BLOCK, 100);
  expect(spilled).toEqual([0]);
});

it('leaves alone what somebody works on again', () => {
  const { idle, spilled, home } = world(2);
  idle.delete(home(2, 0));
  idle.relieve(BLOCK, 1000);
  expect(spilled).toEqual([]);
});

it('lets go of all of them for a buffer beyond the cap', () => {
  const { idle, spilled, home } = world(4);
  for (const since of [1, 2, 3]) home(1, since);
  idle.relieve(9 * BLOCK, 1000);
  expect(spilled).toEqual([1, 2, 3]);
});

it('there is room in the end wherever idle buffers can make it, and never was more let go than that took', async () => {
  const arbitrary = fc.record({
    cap: fc.integer({ min: 1, max: 20 }),
    buffers: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 12 }),
    wanted: fc.integer({ min: 1, max: 25 }),
  });
  await fc.assert(
    fc.asyncProperty(arbitrary, async ({ cap, buffers, wanted }) => {
      const { budget, idle, spilled, ends, home } = world(cap, 0);
      const sizes = new Map<number, number>();
      for (const [id, blocks] of buffers.entries()) {
        if (budget.room(blocks * BLOCK) === 0) continue;
        home(blocks, 0, id);
        sizes.set(id, blocks);
      }
      const out = budget.outBytes / BLOCK;
      idle.relieve(wanted * BLOCK, 0);
      const freed = spilled.map((id) => sizes.get(id)!);
      const short = (gone: number): boolean => out - gone + Math.min(wanted, cap) > cap;
      if (freed.length > 0) expect(short(freed.slice(0, -1).reduce((sum, each) => sum + each, 0))).toBe(true);
      for (const end of ends) await end();
      expect(budget.room(wanted * BLOCK)).toBeGreaterThan(0);
    }),
  );
});

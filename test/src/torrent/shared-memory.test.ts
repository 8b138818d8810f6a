import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SharedMemory } from '../../../src/torrent/shared-memory.js';

const hashesFor = (pieces: number): Uint8Array => Uint8Array.from({ length: 20 * pieces }, (_, i) => i % 251);

describe('SharedMemory', () => {
  it('holds the piece hashes, for every thread that is given the buffer', () => {
    const memory = SharedMemory.create(hashesFor(3), 2);
    expect(memory.pieceCount).toBe(3);
    const there = new SharedMemory(memory.buffer, 3);
    expect(there.hashes).toEqual(hashesFor(3));
    expect(there.hashes.subarray(20, 40)).toEqual(hashesFor(3).subarray(20, 40));
  });

  it('shows on one side what the other writes', () => {
    const memory = SharedMemory.create(hashesFor(10), 2);
    const [mine, theirs] = [memory.section(1), new SharedMemory(memory.buffer, 10).section(1)];
    mine.availability[9] = 65_535;
    mine.seeds = 4;
    mine.hungry[1] = 0b0100_0000;
    mine.touch();
    expect([theirs.availability[9], theirs.seeds, theirs.version]).toEqual([65_535, 4, 1]);
    expect([8, 9].map((piece) => theirs.canGive(piece))).toEqual([false, true]);
    const other = new SharedMemory(memory.buffer, 10).section(0);
    expect([other.availability[9], other.seeds, other.version, other.canGive(9)]).toEqual([0, 0, 0, false]);
  });

  it('tells the groups that the budget is scarce or spent, and when it is not', () => {
    const memory = SharedMemory.create(hashesFor(3), 2);
    const theirs = new SharedMemory(memory.buffer, 3);
    expect([theirs.isScarce, theirs.isSpent]).toEqual([false, false]);
    memory.isScarce = true;
    expect([theirs.isScarce, theirs.isSpent]).toEqual([true, false]);
    memory.isSpent = true;
    expect([theirs.isScarce, theirs.isSpent]).toEqual([true, true]);
    memory.isScarce = false;
    expect([theirs.isScarce, theirs.isSpent]).toEqual([false, true]);
    expect(theirs.hashes).toEqual(hashesFor(3));
    expect([0, 1].map((group) => theirs.section(group).seeds)).toEqual([0, 0]);
    memory.isSpent = false;
    expect(theirs.isSpent).toBe(false);
  });

  it('can give any piece while the flag says so, without the bitset', () => {
    const section = SharedMemory.create(hashesFor(3), 1).section(0);
    expect([0, 1, 2].some((piece) => section.canGive(piece))).toBe(false);
    section.anyPiece = true;
    expect([0, 1, 2].every((piece) => section.canGive(piece))).toBe(true);
    section.anyPiece = false;
    expect(section.canGive(0)).toBe(false);
  });

  it('forgets a dead group, which changes its version, and keeps the others', () => {
    const memory = SharedMemory.create(hashesFor(9), 2);
    const [dead, alive] = [memory.section(0), memory.section(1)];
    for (const section of [dead, alive]) {
      section.availability.fill(7);
      section.hungry.fill(0xff);
      section.seeds = 2;
      section.anyPiece = true;
      section.touch();
    }
    const { version } = dead;
    dead.reset();
    expect(dead.version).not.toBe(version);
    expect([dead.seeds, dead.anyPiece, dead.canGive(0), Math.max(...dead.availability)]).toEqual([0, false, false, 0]);
    expect([alive.seeds, alive.anyPiece, alive.canGive(0), Math.min(...alive.availability)]).toEqual([
      2,
      true,
      true,
      7,
    ]);
    expect(memory.hashes).toEqual(hashesFor(9));
  });

  it('lays its parts out beside one another for any number of pieces and groups', () => {
    fc.assert(
      fc.property(fc.nat(70), fc.integer({ min: 1, max: 5 }), (pieces, groups) => {
        const memory = SharedMemory.create(hashesFor(pieces), groups);
        const sections = Array.from({ length: groups }, (_, group) => memory.section(group));
        for (const [group, section] of sections.entries()) {
          expect([section.availability.length, section.hungry.length]).toEqual([pieces, Math.ceil(pieces / 8)]);
          section.availability.fill(1000 + group);
          section.hungry.fill(group + 1);
          section.seeds = 100 + group;
          for (let i = 0; i <= group; i++) section.touch();
        }
        expect(memory.hashes).toEqual(hashesFor(pieces));
        for (const [group, section] of sections.entries()) {
          expect([...new Set(section.availability)]).toEqual(pieces === 0 ? [] : [1000 + group]);
          expect([...new Set(section.hungry)]).toEqual(pieces === 0 ? [] : [group + 1]);
          expect([section.seeds, section.version, section.anyPiece]).toEqual([100 + group, group + 1, false]);
        }
      }),
    );
  });
});

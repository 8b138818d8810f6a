import fc from 'fast-check';
import { expect, it } from 'vitest';
import { spill, unspill } from '../../src/spill.js';
import { ByteBudget } from '../../src/torrent/byte-budget.js';
import { Geometry, type PieceIndex } from '../../src/torrent/geometry.js';

const BLOCK = 16_384;
/** Two pieces of 3 blocks, the last one of 2, short. */
const GEOMETRY = new Geometry({ length: 3 * BLOCK + BLOCK + 5, pieceLength: 3 * BLOCK });
const MISSING = 0xee;

/** A disk of bytes. */
function memory() {
  const bytes = new Uint8Array(GEOMETRY.length).fill(MISSING);
  return {
    bytes,
    async write(offset: number, views: readonly Uint8Array[]): Promise<void> {
      for (const view of views) bytes.set(view, offset);
    },
    async readInto(offset: number, views: readonly Uint8Array[]): Promise<void> {
      for (const view of views) view.set(bytes.subarray(offset, offset + view.length));
    },
  };
}

it('spilled pieces are written block by block to their place, nothing else is, and they come back as they were', async () => {
  const bit = fc.constantFrom(0, 1);
  await fc.assert(
    fc.asyncProperty(fc.tuple(bit, bit, bit), fc.tuple(bit, bit), async (first, last) => {
      const presences = [Uint8Array.from(first), Uint8Array.from(last)];
      const disk = memory();
      const partials = new Map(
        presences.map((present, index) => [
          index as PieceIndex,
          { buffer: new Uint8Array(3 * BLOCK).map((_, i) => 1 + index * 3 + Math.floor(i / BLOCK)).buffer, present },
        ]),
      );
      const written = await spill(partials, GEOMETRY, disk);
      disk.bytes.forEach((byte, offset) => {
        const [index, block] = [Math.floor(offset / (3 * BLOCK)), Math.floor((offset % (3 * BLOCK)) / BLOCK)];
        const expected = presences[index]![block] === 1 ? 1 + index * 3 + block : MISSING;
        if (byte !== expected) throw new Error(`byte ${offset} is ${byte}, expected ${expected}`);
      });
      const back = new Map<number, { buffer: ArrayBuffer; present: Uint8Array }>();
      const budget = new ByteBudget(100 * BLOCK);
      await unspill(written, GEOMETRY, disk, budget, (piece, partial) => back.set(piece, partial));
      presences.forEach((present, index) => {
        const bytes = new Uint8Array(back.get(index)!.buffer);
        present.forEach((here, block) => {
          if (here === 1) expect(bytes[block * BLOCK]).toBe(1 + index * 3 + block);
        });
        expect(back.get(index)!.present).toEqual(present);
      });
    }),
    { numRuns: 32 },
  );
});

it('what cannot be read back is left out, and its buffer is free again', async () => {
  const budget = new ByteBudget(100 * BLOCK);
  const adopted: number[] = [];
  const readInto = async (offset: number): Promise<void> => {
    if (offset === 0) throw new Error('gone');
  };
  const spilled = new Map([0, 1].map((index) => [index as PieceIndex, Uint8Array.from([1, 0])]));
  await unspill(spilled, GEOMETRY, { readInto }, budget, (piece) => adopted.push(piece));
  expect(adopted).toEqual([1]);
  expect(budget.outBytes).toBe(2 * BLOCK);
});

it('a budget that is spent leaves pieces where they are, with room for one that is new', async () => {
  const budget = new ByteBudget(3 * BLOCK);
  const spilled = new Map([[0 as PieceIndex, Uint8Array.from([1, 0, 0])]]);
  await unspill(spilled, GEOMETRY, memory(), budget, () => {
    throw new Error('expected no piece to be read');
  });
  expect(budget.outBytes).toBe(0);
});

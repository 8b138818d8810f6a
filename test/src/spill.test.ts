import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Spills } from '../../src/spill.js';
import { Geometry, type PieceIndex } from '../../src/torrent/geometry.js';

const BLOCK = 16_384;
/** A piece of 3 blocks, the last one of 2, short. */
const GEOMETRY = new Geometry({ length: 3 * BLOCK + BLOCK + 5, pieceLength: 3 * BLOCK });
const MISSING = 0xee;
const [FIRST, LAST] = [0 as PieceIndex, 1 as PieceIndex];

/** A disk of bytes, which writes down what is asked of it. */
class Memory {
  readonly bytes = new Uint8Array(GEOMETRY.length).fill(MISSING);
  readonly writes: [offset: number, length: number][] = [];
  failure: Error | undefined;

  async write(offset: number, views: readonly Uint8Array[]): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    for (const view of views) {
      this.writes.push([offset, view.length]);
      this.bytes.set(view, offset);
    }
  }

  async readInto(offset: number, views: readonly Uint8Array[]): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    for (const view of views) view.set(this.bytes.subarray(offset, offset + view.length));
  }
}

function world() {
  const storage = new Memory();
  const told: unknown[] = [];
  const spills = new Spills({
    geometry: GEOMETRY,
    storage,
    onSpilled: (piece, present) => told.push([piece, [...present]]),
    onForgotten: (piece) => told.push(piece),
  });
  return { storage, spills, told };
}

/** A buffer whose blocks are 1, 2, 3 throughout. */
const bufferOf = (first = 1): ArrayBuffer =>
  new Uint8Array(3 * BLOCK).map((_, i) => first + Math.floor(i / BLOCK)).buffer;

describe('an unfinished piece', () => {
  it('is written block by block to its place, nothing else is, and comes back as it was', async () => {
    const bit = fc.constantFrom(0, 1);
    await fc.assert(
      fc.asyncProperty(fc.tuple(bit, bit, bit), fc.tuple(bit, bit), async (first, last) => {
        const { storage, spills } = world();
        const presences = [Uint8Array.from(first), Uint8Array.from(last)];
        for (const [piece, present] of presences.entries()) {
          await spills.write(piece as PieceIndex, { buffer: bufferOf(1 + piece * 3), present });
        }
        storage.bytes.forEach((byte, offset) => {
          const [index, block] = [Math.floor(offset / (3 * BLOCK)), Math.floor((offset % (3 * BLOCK)) / BLOCK)];
          const expected = presences[index]![block] === 1 ? 1 + index * 3 + block : MISSING;
          if (byte !== expected) throw new Error(`byte ${offset} is ${byte}, expected ${expected}`);
        });
        for (const [piece, present] of presences.entries()) {
          const buffer = new ArrayBuffer(3 * BLOCK);
          expect(await spills.read(piece as PieceIndex, buffer)).toEqual(present);
          const bytes = new Uint8Array(buffer);
          present.forEach((here, block) => {
            expect(bytes[block * BLOCK]).toBe(here === 1 ? 1 + piece * 3 + block : 0);
          });
        }
      }),
      { numRuns: 32 },
    );
  });

  it('that has been there before is written as far as it is new', async () => {
    const { storage, spills, told } = world();
    await spills.write(FIRST, { buffer: bufferOf(), present: Uint8Array.of(0, 1, 0) });
    await spills.write(FIRST, { buffer: bufferOf(), present: Uint8Array.of(1, 1, 1) });
    expect(storage.writes).toEqual([
      [BLOCK, BLOCK],
      [0, BLOCK],
      [2 * BLOCK, BLOCK],
    ]);
    expect(told).toEqual([
      [0, [0, 1, 0]],
      [0, [1, 1, 1]],
    ]);
  });

  it('that cannot be written is not there, and that cannot be read is forgotten', async () => {
    const { storage, spills, told } = world();
    storage.failure = new Error('gone');
    await expect(spills.write(FIRST, { buffer: bufferOf(), present: Uint8Array.of(1, 0, 0) })).rejects.toThrow('gone');
    expect([spills.has(FIRST), spills.isWriting(FIRST), told]).toEqual([false, false, []]);
    spills.found(LAST, Uint8Array.of(1, 0));
    expect(await spills.read(LAST, new ArrayBuffer(2 * BLOCK))).toBeUndefined();
    expect([spills.has(LAST), told]).toEqual([false, [1]]);
  });

  it('is waited for while it is being written', async () => {
    const { spills } = world();
    const written: number[] = [];
    const writing = spills
      .write(LAST, { buffer: bufferOf(), present: Uint8Array.of(1, 1) })
      .then(() => written.push(1));
    expect([spills.isWriting(LAST), spills.has(LAST)]).toEqual([true, false]);
    await spills.idle();
    expect(spills.has(LAST)).toBe(true);
    await writing;
    expect(spills.isWriting(LAST)).toBe(false);
  });
});

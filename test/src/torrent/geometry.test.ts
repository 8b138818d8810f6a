import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Geometry } from '../../../src/torrent/geometry.js';

/** Shapes of up to twenty pieces, whole and odd piece lengths alike. */
const shapes = fc
  .record({
    pieceLength: fc.oneof(
      fc.integer({ min: 1, max: 100_000 }),
      fc.constantFrom(1, 16_383, 16_384, 16_385, 32_768, 2 ** 18),
    ),
    pieces: fc.integer({ min: 0, max: 20 }),
    spare: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  })
  .map(({ pieceLength, pieces, spare }) => ({
    pieceLength,
    length: Math.max(0, pieces * pieceLength - Math.floor(spare * pieceLength)),
  }));

describe('Geometry', () => {
  it('splits a torrent into pieces and pieces into blocks without gap or overlap', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const geometry = new Geometry(shape);
        let offset = 0;
        for (const piece of geometry.pieces()) {
          expect(geometry.offsetOf(piece)).toBe(offset);
          let begin = 0;
          for (let block = 0; block < geometry.blocksIn(piece); block++) {
            const length = geometry.blockLengthOf(piece, block);
            expect(length).toBeGreaterThan(0);
            expect(length).toBe(
              block + 1 < geometry.blocksIn(piece) ? 16_384 : geometry.lengthOf(piece) - block * 16_384,
            );
            expect(length).toBeLessThanOrEqual(16_384);
            begin += length;
          }
          expect(begin).toBe(geometry.lengthOf(piece));
          expect(begin).toBeLessThanOrEqual(shape.pieceLength);
          offset += begin;
        }
        expect(offset).toBe(shape.length);
      }),
    );
  });

  it('makes only the last piece short', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const geometry = new Geometry(shape);
        const lengths = [...geometry.pieces()].map((piece) => geometry.lengthOf(piece));
        expect(lengths).toHaveLength(geometry.pieceCount);
        for (const length of lengths.slice(0, -1)) expect(length).toBe(shape.pieceLength);
        for (const piece of [...geometry.pieces()].slice(0, -1)) {
          expect(geometry.blocksIn(piece)).toBe(geometry.blocksPerPiece);
        }
      }),
    );
  });

  it('has no piece and no block in an empty torrent', () => {
    const geometry = new Geometry({ length: 0, pieceLength: 16_384 });
    expect(geometry.pieceCount).toBe(0);
    expect([...geometry.pieces()]).toEqual([]);
    expect(geometry.pieceIndex(0)).toBeUndefined();
    expect(geometry.pieceAt(0)).toBeUndefined();
  });

  it('makes the last block of every piece short when the piece length is no multiple of 16 KiB', () => {
    const geometry = new Geometry({ length: 100_000, pieceLength: 40_000 });
    const blocks = [...geometry.pieces()].map((piece) =>
      Array.from({ length: geometry.blocksIn(piece) }, (_, block) => geometry.blockLengthOf(piece, block)),
    );
    expect(blocks).toEqual([
      [16_384, 16_384, 7_232],
      [16_384, 16_384, 7_232],
      [16_384, 3_616],
    ]);
  });

  it('counts exactly up to the largest torrents', () => {
    const geometry = new Geometry({ length: 2 ** 53 - 1, pieceLength: 2 ** 29 });
    const last = geometry.pieceIndex(geometry.pieceCount - 1)!;
    expect(geometry.pieceCount).toBe(2 ** 24);
    expect(geometry.offsetOf(last) + geometry.lengthOf(last)).toBe(2 ** 53 - 1);
  });

  it('mints the indices inside the torrent and no other', () => {
    const geometry = new Geometry({ length: 100, pieceLength: 40 });
    expect([0, 1, 2].map((index) => geometry.pieceIndex(index))).toEqual([0, 1, 2]);
    for (const index of [-1, 3, 0xffffffff, 0.5, 2.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(geometry.pieceIndex(index)).toBeUndefined();
    }
  });

  it('finds the piece of every byte', () => {
    fc.assert(
      fc.property(shapes, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (shape, at) => {
        fc.pre(shape.length > 0);
        const geometry = new Geometry(shape);
        const offset = Math.floor(at * shape.length);
        const piece = geometry.pieceAt(offset)!;
        expect(geometry.offsetOf(piece)).toBeLessThanOrEqual(offset);
        expect(geometry.offsetOf(piece) + geometry.lengthOf(piece)).toBeGreaterThan(offset);
      }),
    );
  });

  it('finds no piece for a byte outside of the torrent', () => {
    const geometry = new Geometry({ length: 80, pieceLength: 40 });
    expect(geometry.pieceAt(79)).toBe(1);
    for (const offset of [-1, 80, 1000, Number.NaN]) expect(geometry.pieceAt(offset)).toBeUndefined();
  });

  it('contains the ranges inside a piece and no other', () => {
    const geometry = new Geometry({ length: 70, pieceLength: 40 });
    const [first, last] = [geometry.pieceIndex(0)!, geometry.pieceIndex(1)!];
    expect(geometry.contains(first, 0, 40)).toBe(true);
    expect(geometry.contains(first, 39, 1)).toBe(true);
    expect(geometry.contains(last, 0, 30)).toBe(true);
    for (const [begin, length] of [
      [0, 41],
      [39, 2],
      [40, 1],
      [0, 0],
      [-1, 2],
      [5, -1],
      [0xffffffff, 0xffffffff],
      [Number.NaN, 1],
    ] as const) {
      expect(geometry.contains(first, begin, length)).toBe(false);
    }
    expect(geometry.contains(last, 0, 31)).toBe(false);
  });

  it.each([
    [{ length: -1, pieceLength: 1 }, 'length must be an integer >= 0, got -1'],
    [{ length: 1.5, pieceLength: 1 }, 'length must be an integer >= 0, got 1.5'],
    [{ length: 2 ** 53, pieceLength: 1 }, 'length must be an integer >= 0, got 9007199254740992'],
    [{ length: Number.NaN, pieceLength: 1 }, 'length must be an integer >= 0, got NaN'],
    [{ length: 1, pieceLength: 0 }, 'piece length must be an integer >= 1, got 0'],
    [{ length: 1, pieceLength: 0.5 }, 'piece length must be an integer >= 1, got 0.5'],
    [{ length: 1, pieceLength: Number.POSITIVE_INFINITY }, 'piece length must be an integer >= 1, got Infinity'],
  ])('refuses %j', (shape, message) => {
    expect(() => new Geometry(shape)).toThrow(new RangeError(message));
  });
});

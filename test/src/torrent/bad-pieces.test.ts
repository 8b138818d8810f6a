import { describe, expect, it } from 'vitest';
import { BadPieces } from '../../../src/torrent/bad-pieces.js';
import type { PieceIndex } from '../../../src/torrent/geometry.js';

const PIECE = 7 as PieceIndex;

describe('BadPieces', () => {
  it('knows nothing of pieces that never failed', () => {
    const bad = new BadPieces(3);
    bad.onEmpty(PIECE);
    expect([bad.size, bad.has(PIECE), bad.isExclusive(PIECE)]).toEqual([0, false, false]);
  });

  it('keeps a piece for one peer until it has come home empty, twice as often after each failure that names nobody', () => {
    const bad = new BadPieces(20);
    for (const times of [1, 2, 4, 8]) {
      bad.onFailed(PIECE, false);
      for (let time = 0; time < times; time++) {
        expect(bad.isExclusive(PIECE)).toBe(true);
        bad.onEmpty(PIECE);
      }
      expect(bad.isExclusive(PIECE)).toBe(false);
    }
    bad.onFailed(PIECE, true);
    expect(bad.isExclusive(PIECE)).toBe(true);
  });

  it('has enough of a piece after so many failures that name nobody, or ten times as many that do', () => {
    const bad = new BadPieces(2);
    for (let ban = 1; ban <= 10; ban++) expect(bad.onFailed(PIECE, true)).toBeUndefined();
    expect(bad.onFailed(PIECE, false)).toBe(11);
    const worse = new BadPieces(2);
    for (let ban = 1; ban <= 19; ban++) expect(worse.onFailed(PIECE, true)).toBeUndefined();
    expect(worse.onFailed(PIECE, true)).toBe(20);
  });

  it('forgets a piece that has passed', () => {
    const bad = new BadPieces(2);
    bad.onFailed(PIECE, false);
    expect([...bad]).toEqual([PIECE]);
    bad.delete(PIECE);
    expect([bad.size, bad.onFailed(PIECE, false)]).toEqual([0, undefined]);
  });
});

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeResume, encodeResume, maxResumeBytes, type ResumeState } from '../../../src/storage/resume-state.js';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import { Geometry, type PieceIndex } from '../../../src/torrent/geometry.js';

const BLOCK = 16_384;
/** 10 pieces of 3 blocks, the last one of 1. */
const shape = {
  infohash: Buffer.from('an infohash of twenty'.slice(0, 20)),
  geometry: new Geometry({ length: 9 * 3 * BLOCK + 5, pieceLength: 3 * BLOCK }),
  fileCount: 2,
};

const anyState: fc.Arbitrary<ResumeState> = fc
  .record({
    have: fc.uniqueArray(fc.nat(9)),
    files: fc.array(fc.record({ size: fc.bigInt(-1n, 2n ** 62n), mtimeNs: fc.bigInt(-(2n ** 62n), 2n ** 62n) }), {
      minLength: 2,
      maxLength: 2,
    }),
    partials: fc.array(fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 7 }))),
  })
  .map(({ have, files, partials }) => {
    const bits = new Bitfield(10);
    for (const piece of have) bits.set(piece);
    const unfinished = new Map<PieceIndex, Uint8Array>();
    for (const [piece, mask] of partials) {
      const present = piece === 9 ? [1] : [mask & 1, (mask >> 1) & 1, mask >> 2];
      if (!bits.has(piece)) unfinished.set(piece as PieceIndex, Uint8Array.from(present));
    }
    return { have: bits, files, partials: unfinished };
  });

/** With the digest of whatever it says. */
const signed = (body: Buffer): Buffer => Buffer.concat([body, createHash('sha256').update(body).digest()]);
const plain = (state: ResumeState | undefined) =>
  state && { have: [...state.have], files: state.files, partials: [...state.partials].sort(([a], [b]) => a - b) };

/** Written by hand: pieces 0 and 9, two files, blocks 0 and 2 of piece 4. */
const BODY = Buffer.concat([
  Buffer.from('spateRES'),
  Buffer.from([0, 0, 0, 1]),
  shape.infohash,
  Buffer.from([0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1]),
  Buffer.from([0b1000_0000, 0b0100_0000]),
  Buffer.from([0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1]),
  Buffer.from([255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 0, 4, 0b1010_0000]),
]);
const STATE = {
  have: [0, 9],
  files: [
    { size: 256n, mtimeNs: 513n },
    { size: -1n, mtimeNs: 0n },
  ],
  partials: [[4, Uint8Array.from([1, 0, 1])]],
};

describe('a resume state', () => {
  it('is read from bytes written by hand, and written as them', () => {
    const state = decodeResume(signed(BODY), shape);
    expect(plain(state)).toEqual(STATE);
    expect(Buffer.from(encodeResume(state!, shape)).equals(signed(BODY))).toBe(true);
  });

  it('comes back as it was, within its bound', () => {
    fc.assert(
      fc.property(anyState, (state) => {
        const bytes = encodeResume(state, shape);
        expect(bytes.length).toBeLessThanOrEqual(maxResumeBytes(shape));
        expect(plain(decodeResume(bytes, shape))).toEqual(plain(state));
      }),
    );
  });

  it('with any bit turned or cut anywhere is none', () => {
    const bytes = signed(BODY);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 1 << (at % 8);
      expect(decodeResume(damaged, shape)).toBeUndefined();
      expect(decodeResume(bytes.subarray(0, at), shape)).toBeUndefined();
    }
  });

  it.each([
    ['of another version', 8, [0, 0, 0, 2]],
    ['of another torrent', 12, [1]],
    ['with another number of pieces', 32, [0, 0, 0, 11]],
    ['with another number of files', 36, [0, 0, 0, 3]],
    ['that claims pieces it does not list', 40, [0xff, 0xff, 0xff, 0xff]],
    ['that lists pieces it does not claim', 40, [0, 0, 0, 0]],
    ['with a piece beyond the last', 45, [0b0010_0000]],
    ['with blocks of a piece beyond the last', 78, [0, 0, 0, 10]],
    ['with blocks of a piece that is had', 78, [0, 0, 0, 0]],
    ['with a block beyond the last', 82, [0b1001_0000]],
    ['with no block of an unfinished piece', 82, [0]],
  ])('%s is none, though its digest is right', (_, at, bytes) => {
    const body = Buffer.from(BODY);
    body.set(bytes, at);
    expect(decodeResume(signed(body), shape)).toBeUndefined();
  });

  it('made of any bytes, with a right digest or without, never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(BODY.length), fc.boolean(), (bytes, at, grafted) => {
        const body = grafted ? Buffer.concat([BODY.subarray(0, at), bytes]) : Buffer.from(bytes);
        expect(() => decodeResume(bytes, shape)).not.toThrow();
        const state = decodeResume(signed(body), shape);
        if (state !== undefined) expect(Buffer.from(encodeResume(state, shape)).equals(signed(body))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Geometry, type PieceIndex } from '../../../src/torrent/geometry.js';
import { PieceBuffer } from '../../../src/torrent/piece-buffer.js';

const BLOCK = 16_384;
/** Three pieces of 2.5 blocks, the last of 1.5. */
const geometry = new Geometry({ length: 6.5 * BLOCK, pieceLength: 2.5 * BLOCK });
const at = (piece: number): PieceIndex => geometry.pieceIndex(piece)!;

const lease = (piece = 0, extra: { present?: Uint8Array; exclusive?: boolean } = {}): PieceBuffer =>
  new PieceBuffer({ lease: 1, piece: at(piece), buffer: new ArrayBuffer(3 * BLOCK), ...extra }, geometry, 100);

describe('PieceBuffer', () => {
  it('covers exactly its piece, in a buffer that may be longer', () => {
    expect([lease(0).bytes.length, lease(0).blockCount]).toEqual([2.5 * BLOCK, 3]);
    expect([lease(2).bytes.length, lease(2).blockCount]).toEqual([1.5 * BLOCK, 2]);
  });

  it('refuses a buffer that is too short, as a transferred one is', () => {
    const make = (buffer: ArrayBuffer): PieceBuffer => new PieceBuffer({ lease: 1, piece: at(0), buffer }, geometry, 0);
    expect(() => make(new ArrayBuffer(2.5 * BLOCK - 1))).toThrow(
      new RangeError('lease buffer of 40959 bytes for 40960'),
    );
    const transferred = new ArrayBuffer(3 * BLOCK);
    structuredClone(transferred, { transfer: [transferred] });
    expect(() => make(transferred)).toThrow(RangeError);
  });

  it('hands its blocks out once each, first to last', () => {
    const piece = lease();
    expect([piece.takeMissing(1), piece.takeMissing(1), piece.takeMissing(1), piece.takeMissing(1)]).toEqual([
      0, 1, 2, -1,
    ]);
    expect(piece.missing).toBe(0);
    expect([0, 1, 2].every((block) => piece.lacks(block))).toBe(true);
  });

  it('hands a released block out again before later ones', () => {
    const piece = lease();
    piece.takeMissing(1);
    piece.takeMissing(1);
    expect(piece.release(0, 1)).toBe(true);
    expect(piece.release(0, 1)).toBe(false);
    expect([piece.takeMissing(1), piece.takeMissing(1), piece.takeMissing(1)]).toEqual([0, 2, -1]);
  });

  it('releases neither what is missing nor what is present nor what it has not', () => {
    const piece = lease();
    piece.complete(1, 5, 100);
    expect([0, 1, 3, 99].map((block) => piece.release(block, 1))).toEqual([false, false, false, false]);
    expect(piece.missing).toBe(2);
  });

  it('keeps the blocks it came with', () => {
    const piece = lease(0, { present: Uint8Array.of(1, 0, 1) });
    expect([piece.missing, piece.isComplete]).toEqual([1, false]);
    expect([0, 1, 2].map((block) => piece.lacks(block))).toEqual([false, true, false]);
    expect([piece.takeMissing(1), piece.takeMissing(1)]).toEqual([1, -1]);
    expect(piece.presence()).toEqual(Uint8Array.of(1, 0, 1));
    expect(lease(0, { present: Uint8Array.of(1, 1, 1) }).isComplete).toBe(true);
    expect(lease(2, { present: Uint8Array.of(1, 1, 1, 1) }).isComplete).toBe(true);
  });

  it('takes a block only once and notes when it last got one', () => {
    const piece = lease();
    expect(piece.progressAt).toBe(100);
    piece.complete(2, 5, 200);
    piece.complete(2, 6, 300);
    expect(piece.progressAt).toBe(200);
    expect(piece.givers()).not.toContain(6);
    expect(piece.presence()).toEqual(Uint8Array.of(0, 0, 1));
  });

  it('names the peer that gave each block', () => {
    const piece = lease();
    piece.complete(0, 9, 0);
    piece.complete(1, 4, 0);
    piece.complete(2, 9, 0);
    expect(piece.givers()).toEqual(Uint32Array.of(9, 4, 9));
  });

  it('names nobody as the giver of a block that it came with', () => {
    const piece = lease(0, { present: Uint8Array.of(1, 0, 0) });
    piece.complete(1, 4, 0);
    piece.complete(2, 4, 0);
    expect(piece.givers()).toEqual(Uint32Array.of(0, 4, 4));
  });

  it('has a block written in place by the peer that began it first, and given by the one that ends it first', () => {
    const piece = lease();
    expect(piece.isWriter(0, 4)).toBe(false);
    expect(piece.begin(0, 4)).toBe(true);
    expect(piece.begin(0, 9)).toBe(true);
    expect([piece.isWriter(0, 4), piece.isWriter(0, 9), piece.isWriter(1, 4)]).toEqual([true, false, false]);
    piece.complete(0, 9, 0);
    expect([piece.begin(0, 4), piece.begin(3, 4), piece.givers()[0]]).toEqual([false, false, 9]);
  });

  it('marks a missing block as requested for who asks, once', () => {
    const piece = lease();
    expect([piece.claim(1, 4), piece.claim(1, 4), piece.claim(9, 4)]).toEqual([true, false, false]);
    expect([piece.missing, piece.takeMissing(1), piece.takeMissing(1), piece.takeMissing(1)]).toEqual([2, 0, 2, -1]);
    piece.release(1, 4);
    expect(piece.takeMissing(1)).toBe(1);
  });

  it('lacks no block that it has not', () => {
    expect([3, 4, 0xffffffff].map((block) => lease().lacks(block))).toEqual([false, false, false]);
  });

  it('writes bytes where they belong, whole or a part of their source', () => {
    const piece = lease(2);
    piece.write(BLOCK - 1, Uint8Array.of(1, 2, 3), 0, 3);
    piece.write(0, Uint8Array.of(9, 8, 7, 6), 1, 3);
    expect([...piece.bytes.subarray(0, 3)]).toEqual([8, 7, 0]);
    expect([...piece.bytes.subarray(BLOCK - 2, BLOCK + 3)]).toEqual([0, 1, 2, 3, 0]);
  });

  describe('for one peer alone', () => {
    it('admits anybody until somebody is asked', () => {
      const piece = lease(0, { exclusive: true });
      expect([piece.admits(4), piece.admits(9)]).toEqual([true, true]);
      expect(piece.takeMissing(4)).toBe(0);
      expect([piece.admits(4), piece.admits(9), piece.begin(1, 9), piece.claim(1, 9)]).toEqual([
        true,
        false,
        false,
        false,
      ]);
    });

    it.each([
      ['begins a block', (piece: PieceBuffer) => piece.begin(1, 4)],
      ['claims a block', (piece: PieceBuffer) => piece.claim(1, 4)],
    ])('admits nobody else once a peer %s', (_, act) => {
      const piece = lease(0, { exclusive: true });
      expect(act(piece)).toBe(true);
      expect([piece.admits(4), piece.admits(9)]).toEqual([true, false]);
    });

    it('starts again when a block is given up, for anybody else', () => {
      const piece = lease(0, { exclusive: true });
      for (const block of [0, 1, 2]) expect(piece.takeMissing(4)).toBe(block);
      piece.begin(0, 4);
      piece.complete(0, 4, 0);
      piece.begin(1, 4);
      expect(piece.release(2, 4)).toBe(true);
      expect([0, 1, 2].every((block) => piece.lacks(block))).toBe(true);
      expect([piece.missing, piece.isWriter(1, 4)]).toEqual([3, false]);
      expect([piece.admits(4), piece.admits(9)]).toEqual([false, true]);
      expect([piece.release(0, 4), piece.release(1, 4)]).toEqual([false, false]);
      for (const block of [0, 1, 2]) {
        expect(piece.takeMissing(9)).toBe(block);
        piece.complete(block, 9, 0);
      }
      expect(piece.givers()).toEqual(Uint32Array.of(9, 9, 9));
    });

    it('is not given up by who was asked before', () => {
      const piece = lease(0, { exclusive: true });
      for (const block of [0, 1]) expect(piece.takeMissing(4)).toBe(block);
      expect(piece.release(0, 4)).toBe(true);
      for (const block of [0, 1]) expect(piece.takeMissing(9)).toBe(block);
      piece.complete(0, 9, 0);
      expect([piece.release(1, 4), piece.lacks(0), piece.release(1, 9)]).toEqual([false, false, true]);
    });

    it('is overdue when one peer has had it for too long, twice as long after each hand-over', () => {
      const piece = lease(0, { exclusive: true });
      expect(piece.isOverdue(100, 1_000)).toBe(false);
      piece.takeMissing(4);
      piece.complete(0, 4, 1_000);
      piece.takeMissing(4);
      expect([1_050, 1_149, 1_150].map((now) => piece.isOverdue(100, now))).toEqual([false, false, true]);
      piece.handOver(9);
      expect([piece.missing, piece.lacks(0), piece.admits(4), piece.admits(9)]).toEqual([3, true, false, true]);
      expect([1_150, 1_349, 1_350].map((now) => piece.isOverdue(100, now))).toEqual([false, false, true]);
      // Another owner has his own time.
      expect([piece.takeMissing(9), piece.release(0, 9), piece.takeMissing(4)]).toEqual([0, true, 0]);
      expect([1_400, 1_599, 1_600].map((now) => piece.isOverdue(100, now))).toEqual([false, false, true]);
    });

    it('is never overdue when others may give it too', () => {
      const piece = lease();
      piece.takeMissing(4);
      expect([0, 1_000_000].map((now) => piece.isOverdue(100, now))).toEqual([false, false]);
    });

    it('tells what it has thrown away: at each new start, and what is there when it is over', () => {
      const piece = lease(0, { exclusive: true });
      const give = (peer: number, blocks: number) => {
        for (let block = 0; block < blocks; block++) piece.complete(piece.takeMissing(peer), peer, 0);
      };
      give(4, 1);
      piece.takeMissing(4);
      piece.release(1, 4);
      expect(piece.discarded(false)).toBe(BLOCK);
      give(9, 2);
      expect([piece.discarded(false), piece.discarded(true)]).toEqual([BLOCK, 3 * BLOCK]);
      piece.handOver(4);
      give(4, 3);
      expect([piece.discarded(false), piece.discarded(true)]).toEqual([3 * BLOCK, 5.5 * BLOCK]);
      expect(lease(0, { present: Uint8Array.of(1, 1, 1) }).discarded(true)).toBe(0);
    });

    it('goes home as if it were empty', () => {
      const piece = lease(0, { exclusive: true });
      piece.takeMissing(4);
      piece.complete(0, 4, 0);
      expect(piece.presence()).toEqual(Uint8Array.of(0, 0, 0));
    });
  });

  it('keeps its counts true whatever happens', () => {
    const blocks = 20;
    const wide = new Geometry({ length: blocks * BLOCK, pieceLength: blocks * BLOCK });
    const step = fc.tuple(
      fc.constantFrom('take' as const, 'claim' as const, 'release' as const, 'complete' as const),
      fc.nat(blocks - 1),
    );
    fc.assert(
      fc.property(
        fc.uint8Array({ max: 1, maxLength: blocks }),
        fc.array(step, { maxLength: 80 }),
        (present, script) => {
          const piece = new PieceBuffer(
            { lease: 1, piece: wide.pieceIndex(0)!, buffer: new ArrayBuffer(wide.length), present },
            wide,
            0,
          );
          const model: ('missing' | 'requested' | 'present')[] = Array.from({ length: blocks }, (_, block) =>
            present[block] === 1 ? 'present' : 'missing',
          );
          for (const [action, block] of script) {
            if (action === 'take') {
              const first = model.indexOf('missing');
              expect(piece.takeMissing(1)).toBe(first);
              if (first !== -1) model[first] = 'requested';
            } else if (action === 'claim') {
              expect(piece.claim(block, 1)).toBe(model[block] === 'missing');
              if (model[block] === 'missing') model[block] = 'requested';
            } else if (action === 'release') {
              expect(piece.release(block, 1)).toBe(model[block] === 'requested');
              if (model[block] === 'requested') model[block] = 'missing';
            } else {
              piece.complete(block, 1, 0);
              model[block] = 'present';
            }
            const count = (state: string): number => model.filter((each) => each === state).length;
            expect(piece.missing).toBe(count('missing'));
            expect(piece.isComplete).toBe(count('present') === blocks);
            expect(piece.presence()).toEqual(Uint8Array.from(model, (state) => (state === 'present' ? 1 : 0)));
            for (const [each, state] of model.entries()) expect(piece.lacks(each)).toBe(state !== 'present');
          }
        },
      ),
    );
  });
});

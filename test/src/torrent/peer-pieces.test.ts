import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/protocol/wire.js';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import type { PieceIndex } from '../../../src/torrent/geometry.js';
import { PeerPieces } from '../../../src/torrent/peer-pieces.js';

const COUNT = 10;
const FULL = Bitfield.full(COUNT);
const at = (piece: number): PieceIndex => piece as PieceIndex;

/** A peer's pieces, and what was told of them: how many there were before, or which one came or went. */
function world() {
  const told: (number | string)[] = [];
  const pieces = new PeerPieces(FULL, {
    onPieces: (before) => told.push(before.count),
    onPiece: (piece) => told.push(`+${piece}`),
    onLost: (piece) => told.push(`-${piece}`),
  });
  return { pieces, told };
}

describe('what a peer has', () => {
  it('is told of a piece at a time, or as it was before', () => {
    const { pieces, told } = world();
    expect([pieces.onHave(at(3)), pieces.onHave(at(3))]).toEqual([true, false]);
    expect([pieces.onBitfield(Uint8Array.of(0xc0, 0)), pieces.onBitfield(Uint8Array.of(0xd0, 0))]).toEqual([
      true,
      false,
    ]);
    expect([pieces.onHaveAll(), pieces.onHaveAll(), pieces.onBitfield(Uint8Array.of(0, 0))]).toEqual([
      true,
      false,
      false,
    ]);
    expect(told).toEqual(['+3', 1, 3]);
  });

  it('is one set for all seeds, which none of them changes', () => {
    const { pieces, told } = world();
    for (let piece = 0; piece < COUNT; piece++) pieces.onHave(at(piece));
    expect(pieces.has).toBe(FULL);
    pieces.onDontHave(at(4));
    pieces.onDontHave(at(5));
    expect([FULL.count, pieces.has.count]).toEqual([COUNT, 8]);
    expect(told.slice(COUNT)).toEqual([COUNT, '-5']);
  });

  it('goes from all to less no more than sixteen times', () => {
    const { pieces } = world();
    for (let lapse = 0; lapse < 16; lapse++) {
      pieces.onHaveAll();
      pieces.onDontHave(at(0));
    }
    pieces.onHaveAll();
    expect(() => pieces.onDontHave(at(0))).toThrow(WireError);
  });

  it.each([[[0]], [[0, 0, 0]], [[0, 0x20]]])('is no bitfield of %j', (bytes) => {
    expect(() => world().pieces.onBitfield(Uint8Array.from(bytes))).toThrow(WireError);
  });

  it('is, with what it grants, what a plain model says', () => {
    const piece = fc.nat(COUNT - 1);
    const step = fc.record({
      do: fc.constantFrom('have', 'lose', 'grant', 'revoke', 'all', 'bitfield'),
      piece,
      several: fc.uniqueArray(piece),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 15 }), (steps) => {
        const { pieces } = world();
        let has = new Set<number>();
        const granted = new Set<number>();
        const allowed = new Set<number>();
        for (const action of steps) {
          if (action.do === 'have') {
            pieces.onHave(at(action.piece));
            has.add(action.piece);
          } else if (action.do === 'lose') {
            pieces.onDontHave(at(action.piece));
            if (has.delete(action.piece)) allowed.delete(action.piece);
          } else if (action.do === 'grant') {
            pieces.grant(at(action.piece));
            granted.add(action.piece);
          } else if (action.do === 'revoke') {
            pieces.revoke(at(action.piece));
            allowed.delete(action.piece);
          } else if (action.do === 'all') {
            pieces.onHaveAll();
            has = new Set(Array(COUNT).keys());
          } else {
            const given = new Bitfield(COUNT);
            for (const one of action.several) given.set(one);
            pieces.onBitfield(given.bytes);
            for (const one of action.several) has.add(one);
          }
          for (const one of granted) {
            if (!has.has(one)) continue;
            allowed.add(one);
            granted.delete(one);
          }
          const all = [...Array(COUNT).keys()];
          expect(all.filter((one) => pieces.has.has(one))).toEqual(all.filter((one) => has.has(one)));
          expect(all.filter((one) => pieces.allowedFast?.has(one))).toEqual(all.filter((one) => allowed.has(one)));
        }
      }),
    );
  });
});

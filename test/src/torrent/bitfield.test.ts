import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bitfield } from '../../../src/torrent/bitfield.js';

const sizes = fc.integer({ min: 0, max: 70 });

describe('Bitfield', () => {
  it('puts piece 0 into the high bit of byte 0', () => {
    const bitfield = new Bitfield(12);
    for (const piece of [0, 7, 8, 11]) bitfield.set(piece);
    expect(bitfield.bytes).toEqual(Uint8Array.of(0b1000_0001, 0b1001_0000));
    expect([...bitfield]).toEqual([0, 7, 8, 11]);
    expect(bitfield.count).toBe(4);
  });

  it('does what a set of indices does', () => {
    const steps = fc.array(
      fc.tuple(fc.constantFrom('set' as const, 'clear' as const), fc.integer({ min: 0, max: 80 })),
    );
    fc.assert(
      fc.property(sizes, steps, (size, script) => {
        const bitfield = new Bitfield(size);
        const model = new Set<number>();
        for (const [step, index] of script) {
          const had = model.has(index);
          if (step === 'clear') expect(bitfield.clear(index)).toBe(model.delete(index));
          else expect(bitfield.set(index)).toBe(index < size && !had);
          if (step === 'set' && index < size) model.add(index);
          expect(bitfield.has(index)).toBe(model.has(index));
          expect(bitfield.count).toBe(model.size);
          expect(bitfield.isFull).toBe(model.size === size);
        }
        expect([...bitfield]).toEqual([...model].sort((a, b) => a - b));
      }),
    );
  });

  it('unites with another, and says what another lacks', () => {
    const pair = sizes.chain((size) =>
      fc.tuple(fc.constant(size), fc.array(fc.nat(), { maxLength: 70 }), fc.array(fc.nat(), { maxLength: 70 })),
    );
    fc.assert(
      fc.property(pair, ([size, ...indices]) => {
        const [a, b] = indices.map(
          (of) => new Set(of.map((index) => index % Math.max(size, 1)).filter((i) => i < size)),
        );
        const [left, right] = [new Bitfield(size), new Bitfield(size)];
        for (const index of a!) left.set(index);
        for (const index of b!) right.set(index);
        const sorted = (all: Iterable<number>): number[] => [...all].sort((x, y) => x - y);
        expect([...left.without(right)]).toEqual(sorted(a!).filter((index) => !b!.has(index)));
        left.include(right);
        expect([...left]).toEqual(sorted(new Set([...a!, ...b!])));
        expect(left.count).toBe(new Set([...a!, ...b!]).size);
        expect([...right]).toEqual(sorted(b!));
      }),
    );
  });

  it.each([-1, -8, 8, 100, 2 ** 32, 2 ** 32 - 1, Number.NaN])('leaves index %d of 8 alone', (index) => {
    for (const bitfield of [new Bitfield(8), Bitfield.full(8)]) {
      const { count } = bitfield;
      expect(bitfield.has(index)).toBe(false);
      expect(bitfield.set(index)).toBe(false);
      expect(bitfield.clear(index)).toBe(false);
      expect(bitfield.count).toBe(count);
    }
  });

  it('is full with zero spare bits', () => {
    expect(Bitfield.full(8).bytes).toEqual(Uint8Array.of(0xff));
    expect(Bitfield.full(9).bytes).toEqual(Uint8Array.of(0xff, 0x80));
    expect(Bitfield.full(15).bytes).toEqual(Uint8Array.of(0xff, 0xfe));
    expect(Bitfield.full(0).bytes).toEqual(new Uint8Array(0));
    fc.assert(
      fc.property(sizes, (size) => {
        const full = Bitfield.full(size);
        expect([...full]).toEqual([...Array(size).keys()]);
        expect(full.count).toBe(size);
        expect(full.isFull).toBe(true);
      }),
    );
  });
});

describe('a bitfield from the wire', () => {
  it('is what was sent, as a copy', () => {
    const wire = Uint8Array.of(0b1010_0000, 0b1000_0000);
    const bitfield = Bitfield.fromWire(wire, 9)!;
    wire.fill(0);
    expect([...bitfield]).toEqual([0, 2, 8]);
    expect(bitfield.count).toBe(3);
  });

  it('survives the way out and in again', () => {
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(69)), (size, indices) => {
        const bitfield = new Bitfield(size);
        for (const index of indices) bitfield.set(index);
        const again = Bitfield.fromWire(bitfield.bytes, size)!;
        expect([...again]).toEqual([...bitfield]);
        expect(again.count).toBe(bitfield.count);
      }),
    );
  });

  it('has exactly as many bytes as the pieces need', () => {
    for (let size = 0; size <= 24; size++) {
      for (let length = 0; length <= 4; length++) {
        const fits = length === Math.ceil(size / 8);
        expect(Bitfield.fromWire(new Uint8Array(length), size) !== undefined).toBe(fits);
      }
    }
  });

  it('is refused for each spare bit that is set', () => {
    for (let size = 1; size <= 16; size++) {
      for (let bit = 0; bit < Math.ceil(size / 8) * 8; bit++) {
        const bytes = new Uint8Array(Math.ceil(size / 8));
        bytes[bit >> 3]! |= 0x80 >> (bit & 7);
        expect(Bitfield.fromWire(bytes, size) !== undefined).toBe(bit < size);
      }
    }
  });
});

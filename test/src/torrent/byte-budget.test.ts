import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteBudget } from '../../../src/torrent/byte-budget.js';

const KIB = 1024;

/** What a transfer to another thread leaves behind. */
function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

describe('ByteBudget', () => {
  it('hands out whole blocks: a block grid always fits', () => {
    const budget = new ByteBudget(1024 * KIB);
    expect([1, 16_384, 16_385, 100_000].map((length) => ByteBudget.sizeFor(length))).toEqual([
      16_384, 16_384, 32_768, 114_688,
    ]);
    expect(budget.take(16_385)?.byteLength).toBe(32_768);
    expect(budget.outBytes).toBe(32_768);
  });

  it('hands out nothing beyond its cap until something comes back', () => {
    const budget = new ByteBudget(100 * KIB);
    expect(budget.room(48 * KIB)).toBe(2);
    const first = budget.take(48 * KIB)!;
    const second = budget.take(48 * KIB)!;
    expect(budget.room(16 * KIB)).toBe(0);
    expect(budget.take(16 * KIB)).toBeUndefined();
    budget.give(first);
    expect(budget.room(48 * KIB)).toBe(1);
    budget.give(second);
    expect(budget.outBytes).toBe(0);
  });

  it('hands out one buffer of any size when nothing is out', () => {
    const budget = new ByteBudget(100 * KIB);
    expect(budget.room(1024 * KIB)).toBe(1);
    const large = budget.take(1024 * KIB)!;
    expect(large.byteLength).toBe(1024 * KIB);
    expect(budget.room(1)).toBe(0);
    expect(budget.take(1)).toBeUndefined();
    budget.give(large);
    expect(budget.room(16 * KIB)).toBe(6);
    expect(budget.freeBytes).toBeLessThanOrEqual(100 * KIB);
  });

  it('hands the buffer that came back last out first', () => {
    const budget = new ByteBudget(1024 * KIB);
    const [first, second] = [budget.take(32 * KIB)!, budget.take(32 * KIB)!];
    budget.give(first);
    budget.give(second);
    expect(budget.freeBytes).toBe(64 * KIB);
    expect(budget.take(32 * KIB)).toBe(second);
    expect(budget.take(17 * KIB)).toBe(first);
    expect(budget.take(32 * KIB)).not.toBe(first);
  });

  it('lets free buffers of another size go for a new one, the size used longest ago first', () => {
    const budget = new ByteBudget(128 * KIB);
    const [a, b, c] = [budget.take(16 * KIB)!, budget.take(32 * KIB)!, budget.take(48 * KIB)!];
    for (const buffer of [b, c, a]) budget.give(buffer);
    expect(budget.freeBytes).toBe(96 * KIB);
    budget.take(64 * KIB);
    expect(budget.freeBytes).toBe(64 * KIB);
    expect([budget.take(48 * KIB), budget.take(16 * KIB)]).toEqual([c, a]);
  });

  it('counts a buffer that died with its group no longer', () => {
    const budget = new ByteBudget(64 * KIB);
    budget.take(50_000);
    expect(budget.room(16 * KIB)).toBe(0);
    budget.forget(50_000);
    expect([budget.outBytes, budget.room(16 * KIB)]).toEqual([0, 4]);
  });

  it('refuses a buffer that was transferred away', () => {
    const budget = new ByteBudget(64 * KIB);
    const buffer = budget.take(16 * KIB)!;
    detach(buffer);
    expect(() => budget.give(buffer)).toThrow(new RangeError('a detached buffer was given back'));
    expect(budget.outBytes).toBe(16 * KIB);
  });

  it('never holds more than its cap, or one buffer, and never hands out one buffer twice', () => {
    const step = fc.tuple(
      fc.constantFrom('take' as const, 'take' as const, 'give' as const, 'forget' as const),
      fc.nat(20),
      fc.integer({ min: 1, max: 90 * KIB }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 16 * KIB, max: 256 * KIB }), fc.array(step), (cap, script) => {
        const budget = new ByteBudget(cap);
        const out: { buffer: ArrayBuffer; length: number }[] = [];
        for (const [action, pick, length] of script) {
          const bytesOut = out.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
          const size = Math.ceil(length / 16_384) * 16_384;
          if (action === 'take') {
            const fits = bytesOut + size <= cap || out.length === 0;
            expect(budget.room(length) > 0).toBe(fits);
            const buffer = budget.take(length);
            expect(buffer?.byteLength).toBe(fits ? size : undefined);
            if (buffer === undefined) continue;
            expect(out.some((other) => other.buffer === buffer)).toBe(false);
            out.push({ buffer, length });
          } else if (out.length > 0) {
            const [{ buffer, length }] = out.splice(pick % out.length, 1) as [{ buffer: ArrayBuffer; length: number }];
            if (action === 'give') budget.give(buffer);
            else budget.forget(length);
          }
          expect(budget.outBytes).toBe(out.reduce((sum, { buffer }) => sum + buffer.byteLength, 0));
          expect(budget.freeBytes).toBeGreaterThanOrEqual(0);
          expect(budget.outBytes + budget.freeBytes).toBeLessThanOrEqual(Math.max(cap, out[0]?.buffer.byteLength ?? 0));
        }
      }),
    );
  });

  it('promises room for no more than it then hands out', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 512 * KIB }),
        fc.integer({ min: 1, max: 90 * KIB }),
        fc.integer({ min: 1, max: 90 * KIB }),
        (cap, other, length) => {
          const budget = new ByteBudget(cap);
          budget.take(other);
          const room = budget.room(length);
          for (let i = 0; i < room; i++) expect(budget.take(length)).toBeDefined();
          expect(budget.take(length)).toBeUndefined();
        },
      ),
    );
  });
});

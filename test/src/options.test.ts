import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULTS, type Options, resolveOptions } from '../../src/options.js';

const NAMES = Object.keys(DEFAULTS) as (keyof Options)[];

/** The range of an option, as its error message tells it. */
function rangeOf(name: keyof Options): { min: number; max: number; unit: string } {
  try {
    resolveOptions({ [name]: Number.NaN });
  } catch (error) {
    const told = /^(\w+) must be (?:a whole number, )?(\d+) to (\d+) (\S+), got NaN$/.exec((error as Error).message);
    expect(told?.[1]).toBe(name);
    return { min: Number(told![2]), max: Number(told![3]), unit: told![4]! };
  }
  throw new Error(`${name} may be NaN`);
}

describe('options', () => {
  it('have their defaults when nothing is given', () => {
    expect(resolveOptions()).toEqual(DEFAULTS);
    expect(resolveOptions({})).toEqual(DEFAULTS);
  });

  it('are what is given, and the defaults elsewhere', () => {
    const resolved = resolveOptions({ memoryBytes: 4_194_304, tickMs: 12.5 });
    expect(resolved).toEqual({ ...DEFAULTS, memoryBytes: 4_194_304, tickMs: 12.5 });
    expect(DEFAULTS.memoryBytes).toBe(268_435_456);
  });

  it('have a default inside their range, and may be at its ends', () => {
    expect(resolveOptions(DEFAULTS)).toEqual(DEFAULTS);
    for (const name of NAMES) {
      const { min, max } = rangeOf(name);
      for (const value of [min, max]) expect(resolveOptions({ [name]: value })[name]).toBe(value);
      for (const value of [min - 1, max + 1]) {
        expect(() => resolveOptions({ [name]: value })).toThrow(new RegExp(`^${name} must be .*, got ${value}$`));
      }
    }
  });

  it('have their unit in the name', () => {
    for (const name of NAMES) {
      const { unit } = rangeOf(name);
      expect([name, /Ms$/.test(name)]).toEqual([name, unit === 'ms']);
      expect([name, /Bytes$/.test(name)]).toEqual([name, unit === 'bytes']);
    }
  });

  it('survive the way to a worker', () => {
    const resolved = resolveOptions({ halfOpen: 7 });
    expect(structuredClone(resolved)).toEqual(resolved);
  });

  it('cannot be changed by way of the defaults', () => {
    expect(() => Object.assign(DEFAULTS, { memoryBytes: 1 })).toThrow(TypeError);
  });

  it.each([
    [{ memoryBytes: 1 }, 'memoryBytes must be a whole number, 1048576 to 1099511627776 bytes, got 1'],
    [{ requestsMin: 1.5 }, 'requestsMin must be a whole number, 1 to 2048 count, got 1.5'],
    [{ tickMs: 9.9 }, 'tickMs must be 10 to 10000 ms, got 9.9'],
    [{ tickMs: Number.POSITIVE_INFINITY }, 'tickMs must be 10 to 10000 ms, got Infinity'],
    [{ tickMs: '100' }, 'tickMs must be 10 to 10000 ms, got 100'],
    [{ tickMs: undefined }, 'tickMs must be 10 to 10000 ms, got undefined'],
    [{ nonsense: 1 }, 'unknown option nonsense'],
    [{ toString: 1 }, 'unknown option toString'],
    [{ constructor: 1 }, 'unknown option constructor'],
    [JSON.parse('{"__proto__": 1}'), 'unknown option __proto__'],
  ])('are refused when they make no sense: %j', (overrides, message) => {
    expect(() => resolveOptions(overrides as Partial<Options>)).toThrow(new RangeError(message));
  });

  it('are inside their range or refused, whatever is given', () => {
    const given = fc.dictionary(
      fc.oneof(fc.constantFrom(...NAMES), fc.string()),
      fc.oneof(fc.double(), fc.integer(), fc.anything()),
      {
        maxKeys: 3,
      },
    );
    fc.assert(
      fc.property(given, (overrides) => {
        let resolved: Options;
        try {
          resolved = resolveOptions(overrides as Partial<Options>);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
          return;
        }
        expect(Object.keys(resolved).sort()).toEqual([...NAMES].sort());
        for (const name of NAMES) expect(Number.isFinite(resolved[name])).toBe(true);
      }),
    );
  });
});

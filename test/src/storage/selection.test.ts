import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatFileRanges, parseFileRanges } from '../../../src/storage/selection.js';

test('numbers of files are read as people write them', () => {
  expect(parseFileRanges('1, 3-5 ,7-')).toEqual([
    [1, 1],
    [3, 5],
    [7, Number.POSITIVE_INFINITY],
  ]);
});

test.each(['', '0', '1,', '-3', '5-3', 'a', '1.5', '1 2', '9999999999'])('%j is refused', (text) => {
  expect(() => parseFileRanges(text)).toThrow('expected numbers of files such as 1,3-5, got ');
});

test('what is written is read back', () => {
  const range = fc
    .tuple(fc.integer({ min: 1, max: 1e8 }), fc.oneof(fc.nat(1e6), fc.constant(Number.POSITIVE_INFINITY)))
    .map(([first, more]): [number, number] => [first, first + more]);
  fc.assert(
    fc.property(fc.array(range, { minLength: 1 }), (ranges) => {
      expect(parseFileRanges(formatFileRanges(ranges))).toEqual(ranges);
    }),
  );
});

import { expect, test } from 'vitest';
import { combinedExitCode, exitCodeOf } from '../../../src/cli/exit-codes.js';
import { type ErrorCode, SpateError } from '../../../src/errors.js';

const CODES: readonly (readonly [ErrorCode, number])[] = [
  ['INTERNAL', 1],
  ['USAGE', 2],
  ['INVALID_TORRENT', 3],
  ['DUPLICATE_TORRENT', 3],
  ['UNAVAILABLE', 4],
  ['STALLED', 5],
  ['BAD_DATA', 6],
  ['LOCAL_IO', 8],
  ['DISK_FULL', 9],
  ['CANNOT_LISTEN', 10],
  ['ALREADY_RUNNING', 11],
];

test.each(CODES)('%s ends with %i', (code, exitCode) => {
  expect(exitCodeOf(new SpateError(code, 'why'))).toBe(exitCode);
});

test('whatever else is thrown is a fault of the program', () => {
  expect(exitCodeOf(new TypeError('x is not a function'))).toBe(1);
  expect(exitCodeOf('text')).toBe(1);
});

test.each([
  [[], 0],
  [[0], 0],
  [[4], 4],
  [[0, 0, 0], 0],
  [[4, 4], 4],
  [[0, 4], 7],
  [[3, 4], 7],
])('torrents that end with %j make the command end with %i', (codes, expected) => {
  expect(combinedExitCode(codes)).toBe(expected);
});

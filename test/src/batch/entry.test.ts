import { expect, test } from 'vitest';
import { formatPlace, isRefused, refusedText } from '../../../src/batch/entry.js';
import { SpateError } from '../../../src/errors.js';

const error = new SpateError('INVALID_TORRENT', 'a.torrent: not a torrent');

test('a place is a file, or a file and its line', () => {
  expect(formatPlace({ file: 'a.torrent' })).toBe('a.torrent');
  expect(formatPlace({ file: 'list.txt', line: 12 })).toBe('list.txt:12');
});

test('what is refused is told with its line; a file that is an argument is named once', () => {
  const line = { place: { file: 'list.txt', line: 12 }, source: 'a.torrent', error };
  expect(refusedText(line)).toBe('list.txt:12: a.torrent: not a torrent');
  expect(refusedText({ ...line, place: { file: 'a.torrent' } })).toBe('a.torrent: not a torrent');
});

test('a refused item has an error', () => {
  const entry = { place: { file: 'a' }, source: 'a' };
  expect(isRefused({ ...entry, error })).toBe(true);
  expect(isRefused({ entry, infohash: '', name: '', length: 0, pieceLength: 1 })).toBe(false);
});

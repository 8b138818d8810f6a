import { expect, test } from 'vitest';
import { requirePath, sourceKind } from '../../../src/protocol/source.js';

test.each([
  ['magnet:?xt=urn:btih:0123', 'magnet'],
  ['MAGNET:?', 'magnet'],
  ['https://example.org/a.torrent', 'url'],
  ['HTTP://example.org/a.torrent', 'url'],
  ['0123456789abcdef0123456789ABCDEF01234567', 'infohash'],
  ['abcdefghijklmnopqrstuvwxyz234567', 'infohash'],
  ['a.torrent', 'path'],
  ['ftp://example.org/a.torrent', 'path'],
  ['./0123456789abcdef0123456789ABCDEF01234567', 'path'],
  ['0123456789abcdef0123456789ABCDEF0123456', 'path'],
])('%s is a %s', (source, kind) => {
  expect(sourceKind(source)).toBe(kind);
});

test('what is not supported yet is refused as what it is, a path is not', () => {
  expect(() => requirePath('magnet:?x')).toThrow(
    'magnet:?x: magnet links are not supported yet; get the .torrent file and give its path',
  );
  expect(() => requirePath('magnet.torrent')).not.toThrow();
});

import { expect, test } from 'vitest';
import { infoJson, infoLines } from '../../../src/cli/info.js';
import { parseMetainfo } from '../../../src/protocol/metainfo.js';

const text = (value: string): string => `${Buffer.byteLength(value)}:${value}`;
const file = (length: number, path: string, attr = ''): string =>
  `d${attr === '' ? '' : `4:attr${text(attr)}`}6:lengthi${length}e4:pathl${path.split('/').map(text).join('')}ee`;

const SEVERAL = parseMetainfo(
  Buffer.from(
    [
      'd8:announce17:http://a.example/',
      '13:announce-listll17:http://a.example/17:http://b.example/el17:udp://c.example:1ee',
      `7:comment${text('one\x1b[31m\ntwo')}10:created by3:me!13:creation datei1700000000e`,
      `4:infod5:filesl${file(20_000, 'a.bin')}${file(12_768, 'pad', 'p')}${file(1, 'sub/b.bin')}e`,
      `4:name${text('the name')}12:piece lengthi32768e6:pieces40:${'x'.repeat(40)}7:privatei1eee`,
    ].join(''),
  ),
);

test('the facts of a torrent are listed above its files, with control characters written out', () => {
  const [infohash] = infoLines(SEVERAL).filter((line) => line.startsWith('infohash'));
  expect(infohash).toMatch(/^infohash {4}[0-9a-f]{40}$/);
  expect(infoLines(SEVERAL).filter((line) => line !== infohash)).toEqual([
    'name        the name',
    'length      32.0 KiB (32769 bytes)',
    'pieces      2 of 32.0 KiB',
    'private     yes',
    'created     2023-11-14 22:13:20 UTC',
    'created by  me!',
    'comment     one\\x1b[31m\\x0atwo',
    'tracker 1   http://a.example/  http://b.example/',
    'tracker 2   udp://c.example:1',
    '',
    '#      size  path',
    '1  19.5 KiB  the name/a.bin',
    '3       1 B  the name/sub/b.bin',
  ]);
});

test('the JSON has the same in bytes; pad files count and are not listed', () => {
  expect(infoJson(SEVERAL)).toEqual({
    infohash: expect.stringMatching(/^[0-9a-f]{40}$/),
    name: 'the name',
    length: 32_769,
    pieceLength: 32_768,
    pieces: 2,
    private: true,
    files: [
      { index: 1, path: 'the name/a.bin', length: 20_000 },
      { index: 3, path: 'the name/sub/b.bin', length: 1 },
    ],
    trackers: [['http://a.example/', 'http://b.example/'], ['udp://c.example:1']],
    comment: 'one\x1b[31m\ntwo',
    createdBy: 'me!',
    creationDate: 1_700_000_000,
  });
});

test('a torrent that says little has few lines', () => {
  const metainfo = parseMetainfo(
    Buffer.from(`d13:creation datei9007199254740991e4:infod6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces0:ee`),
  );
  expect(infoLines(metainfo).filter((line) => !line.startsWith('infohash'))).toEqual([
    'name        x',
    'length      0 B (0 bytes)',
    'pieces      0 of 16.0 KiB',
    'private     no',
    'created     9007199254740991',
    '',
    '#  size  path',
    '1   0 B  x',
  ]);
});

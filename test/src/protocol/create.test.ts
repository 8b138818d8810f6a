import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeMetainfo, type NewMetainfo } from '../../../src/protocol/create.js';
import { parseMetainfo } from '../../../src/protocol/metainfo.js';

const bytes = (latin1: string): Uint8Array => new Uint8Array(Buffer.from(latin1, 'latin1'));
const text = (torrent: NewMetainfo): string => Buffer.from(encodeMetainfo(torrent)).toString('latin1');

const A = 'A'.repeat(20);
const B = 'B'.repeat(20);
const single: NewMetainfo = { name: 'a.txt', pieceLength: 4, length: 5, pieceHashes: bytes(A + B) };
const SINGLE_INFO = `4:infod6:lengthi5e4:name5:a.txt12:piece lengthi4e6:pieces40:${A}${B}e`;

describe('encodeMetainfo', () => {
  it('writes a torrent of one file', () => {
    expect(text(single)).toBe(`d${SINGLE_INFO}e`);
  });

  it('writes a torrent of many files in their order', () => {
    const files = [
      { path: ['sub', 'é'], length: 3 },
      { path: ['empty'], length: 0 },
    ];
    expect(text({ name: 't', pieceLength: 16, files, pieceHashes: bytes(A) })).toBe(
      'd4:infod5:filesld6:lengthi3e4:pathl3:sub2:\xc3\xa9eed6:lengthi0e4:pathl5:emptyeee' +
        `4:name1:t12:piece lengthi16e6:pieces20:${A}ee`,
    );
  });

  it('writes an empty torrent', () => {
    const empty = { name: 'a', pieceLength: 16, length: 0, pieceHashes: bytes('') };
    expect(text(empty)).toBe('d4:infod6:lengthi0e4:name1:a12:piece lengthi16e6:pieces0:ee');
  });

  it('writes every optional field in its place', () => {
    const full: NewMetainfo = {
      ...single,
      trackers: [['http://a', 'http://b'], [], ['udp://c:1']],
      private: true,
      comment: 'hé',
      createdBy: 'spate',
      creationDate: 1_700_000_000,
    };
    expect(text(full)).toBe(
      'd8:announce8:http://a13:announce-listll8:http://a8:http://bel9:udp://c:1ee' +
        '7:comment3:h\xc3\xa910:created by5:spate13:creation datei1700000000e' +
        `${SINGLE_INFO.slice(0, -1)}7:privatei1eee`,
    );
  });

  it.each<[string, NewMetainfo['trackers'], string]>([
    ['no tracker', [], ''],
    ['only empty tiers', [[], []], ''],
    ['one tracker, without a list', [[], ['http://a']], '8:announce8:http://a'],
    ['one tier of two', [['http://a', 'udp://c:1']], '8:announce8:http://a13:announce-listll8:http://a9:udp://c:1ee'],
    ['two tiers', [['http://a'], ['http://b']], '8:announce8:http://a13:announce-listll8:http://ael8:http://bee'],
  ])('writes %s', (_, trackers, expected) => {
    expect(text({ ...single, trackers: trackers! })).toBe(`d${expected}${SINGLE_INFO}e`);
  });

  it('writes nothing for private: false', () => {
    expect(text({ ...single, private: false })).toBe(`d${SINGLE_INFO}e`);
  });

  it.each<[string, NewMetainfo]>([
    ['expected 40 bytes of piece hashes, found 20', { ...single, pieceHashes: bytes(A) }],
    ['expected a piece length from 1 to 536870912, found 0', { ...single, pieceLength: 0 }],
    ['expected a piece length from 1 to 536870912, found 536870913', { ...single, pieceLength: 536_870_913 }],
    ['expected a length from 0 to 9007199254740991, found -1', { ...single, length: -1 }],
    ['expected a length from 0 to 9007199254740991, found 1.5', { ...single, length: 1.5 }],
    ['expected at least one file, found none', { ...single, length: undefined, files: [] }],
    ['expected a path for file 0, found none', { ...single, length: undefined, files: [{ path: [], length: 5 }] }],
    [
      'expected a length of file 1 from 0 to 9007199254740991, found -1',
      {
        ...single,
        length: undefined,
        files: [
          { path: ['a'], length: 6 },
          { path: ['b'], length: -1 },
        ],
      },
    ],
    ['expected a safe integer to encode, found NaN', { ...single, creationDate: Number.NaN }],
  ])('refuses numbers that do not fit: %s', (message, torrent) => {
    expect(() => encodeMetainfo(torrent)).toThrow(new RangeError(message));
  });

  it.each<[string, NewMetainfo]>([
    ['info.name', { ...single, name: 'a/b' }],
    ['info.files[0].path[1]', { ...single, length: undefined, files: [{ path: ['a', '..'], length: 5 }] }],
  ])('refuses a name nobody would read: %s', (field, torrent) => {
    expect(() => encodeMetainfo(torrent)).toThrow(`\`${field}\`: expected the name of one file or folder`);
  });

  it('writes what parseMetainfo reads back', () => {
    const files = fc
      .array(fc.tuple(fc.stringMatching(/^[a-z]{1,3}$/), fc.nat(60)), { minLength: 1, maxLength: 8 })
      .map((list) => list.map(([name, length], i) => ({ path: [`d-${name}`, `f-${i}`], length })));
    fc.assert(
      fc.property(files, fc.integer({ min: 1, max: 100 }), fc.boolean(), (files, pieceLength, isPrivate) => {
        const length = files.reduce((sum, file) => sum + file.length, 0);
        const pieceHashes = new Uint8Array(Math.ceil(length / pieceLength) * 20).fill(7);
        const metainfo = parseMetainfo(
          encodeMetainfo({ name: 't', pieceLength, files, pieceHashes, private: isPrivate, comment: 'c' }),
        );
        expect(metainfo).toMatchObject({
          name: 't',
          length,
          pieceLength,
          pieceHashes,
          private: isPrivate,
          comment: 'c',
        });
        expect(metainfo.files.map(({ path, length }) => ({ path, length }))).toEqual(
          files.map(({ path, length }) => ({ path: ['t', ...path], length })),
        );
      }),
    );
  });
});

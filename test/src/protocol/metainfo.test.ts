import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpateError } from '../../../src/errors.js';
import { type Metainfo, parseMetainfo } from '../../../src/protocol/metainfo.js';

const bytes = (latin1: string): Uint8Array => new Uint8Array(Buffer.from(latin1, 'latin1'));
const hex = (raw: Uint8Array): string => Buffer.from(raw).toString('hex');

const A = 'A'.repeat(20);
const B = 'B'.repeat(20);
const SINGLE_INFO = `d6:lengthi5e4:name5:a.txt12:piece lengthi4e6:pieces40:${A}${B}e`;
const SINGLE = `d8:announce18:http://t.example/a4:info${SINGLE_INFO}e`;

/** A torrent of one piece of at most 16 bytes, its files and further fields of `info` as given. */
const multi = (files: string, more = ''): string =>
  `d4:infod5:filesl${files}e4:name1:t12:piece lengthi16e6:pieces20:${A}${more}ee`;
const file = (name: string, length = 1): string =>
  `d6:lengthi${length}e4:pathl${Buffer.byteLength(name, 'latin1')}:${name}ee`;

const parse = (latin1: string): Metainfo => parseMetainfo(bytes(latin1));
const pathsOf = (latin1: string): string[] => parse(latin1).files.map(({ path }) => path.join('/'));

/** The message of the INVALID_TORRENT that reading must end in. */
function refusal(latin1: string): string {
  try {
    parse(latin1);
  } catch (error) {
    if (error instanceof SpateError && error.code === 'INVALID_TORRENT') return error.message;
    throw error;
  }
  throw new Error(`${latin1.slice(0, 200)} is accepted`);
}

describe('a torrent of one file', () => {
  it('is read whole', () => {
    expect(parse(SINGLE)).toEqual({
      infohash: Uint8Array.from(Buffer.from('8b7f34b02579984eef4497585f95069e42115354', 'hex')),
      info: bytes(SINGLE_INFO),
      name: 'a.txt',
      length: 5,
      pieceLength: 4,
      pieceHashes: bytes(A + B),
      files: [{ path: ['a.txt'], length: 5, offset: 0, pad: false }],
      private: false,
      trackers: [['http://t.example/a']],
    });
  });

  it('may be empty', () => {
    const empty = parse('d4:infod6:lengthi0e4:name1:a12:piece lengthi16e6:pieces0:ee');
    expect(empty).toMatchObject({ length: 0, pieceHashes: bytes(''), trackers: [] });
    expect(empty.files).toEqual([{ path: ['a'], length: 0, offset: 0, pad: false }]);
  });

  it('does not keep or share the bytes it was read from', () => {
    const input = bytes(SINGLE);
    const metainfo = parseMetainfo(Buffer.from(input.buffer));
    input.fill(0);
    expect(metainfo).toEqual(parse(SINGLE));
    expect(metainfo.info.buffer.byteLength).toBe(SINGLE_INFO.length);
  });

  it.each([1, 536_870_912])('may have a piece length of %i', (pieceLength) => {
    const torrent = `d4:infod6:lengthi1e4:name1:a12:piece lengthi${pieceLength}e6:pieces20:${A}ee`;
    expect(parse(torrent).pieceLength).toBe(pieceLength);
  });
});

describe('a torrent of many files', () => {
  it('is read in its order, with offsets', () => {
    const files = 'd6:lengthi3e4:pathl3:sub1:aeed6:lengthi0e4:pathl5:emptyeed6:lengthi13e4:pathl1:bee';
    expect(parse(multi(files))).toMatchObject({
      name: 't',
      length: 16,
      files: [
        { path: ['t', 'sub', 'a'], length: 3, offset: 0, pad: false },
        { path: ['t', 'empty'], length: 0, offset: 3, pad: false },
        { path: ['t', 'b'], length: 13, offset: 3, pad: false },
      ],
    });
  });

  it('keeps the infohash of an unsorted dictionary', () => {
    const info = `d6:pieces20:${'C'.repeat(20)}12:piece lengthi16e5:filesld4:pathl1:ae6:lengthi3eee4:name1:te`;
    expect(hex(parse(`d4:info${info}7:comment2:hie`).infohash)).toBe('f8814270d3df2049cc2d0743e8cfd2f74757067b');
  });

  it('gives colliding files distinct paths', () => {
    expect(pathsOf(multi(file('a') + file('A') + file('a\x01') + file('a_')))).toEqual([
      't/a',
      't/A (2)',
      't/a_',
      't/a_ (2)',
    ]);
  });

  it('knows pad files, which have bytes but no path', () => {
    const pad = (path: string): string => `d4:attr2:xp6:lengthi2e${path}e`;
    const files = file('a') + pad('4:pathl4:.pad1:2e') + file('b') + pad('4:pathl2:..e') + pad('') + file('c');
    expect(parse(multi(files)).files).toEqual([
      { path: ['t', 'a'], length: 1, offset: 0, pad: false },
      { path: [], length: 2, offset: 1, pad: true },
      { path: ['t', 'b'], length: 1, offset: 3, pad: false },
      { path: [], length: 2, offset: 4, pad: true },
      { path: [], length: 2, offset: 6, pad: true },
      { path: ['t', 'c'], length: 1, offset: 8, pad: false },
    ]);
  });

  it('takes a symlink without a length for an empty file', () => {
    const link = 'd4:attr1:l4:pathl1:le12:symlink pathl1:aee';
    expect(parse(multi(file('a') + link + file('b'))).files.map(({ offset }) => offset)).toEqual([0, 1, 1]);
  });

  it('lets a symlink follow the file it points to to the name that was found for it', () => {
    const link = (path: string, to: string): string =>
      `d4:attr1:l6:lengthi0e4:pathl${path.length}:${path}e12:symlink pathl${to.length}:${to}ee`;
    const list = file('A') + file('a') + file('q\x01') + file('q_');
    const folder = 'd6:lengthi1e4:pathl1:d1:eee';
    const links = link('l', 'a') + link('L', 'q_') + link('m', 'L') + link('n', 'd') + link('o', 'gone');
    const { files } = parse(multi(list + folder + links));
    expect(files.slice(5).map(({ path, symlink }) => [path[1], symlink?.[1]])).toEqual([
      ['l', 'a (2)'],
      ['L (2)', 'q_ (2)'],
      ['m', 'q_ (2)'],
      ['n', 'd'],
      ['o', 'gone'],
    ]);
  });

  it('reads tens of thousands of files', () => {
    const count = 40_000;
    const files = Array.from({ length: count }, (_, i) => `d6:lengthi16e4:pathl1:d6:f${10 ** 4 + (i >> 1)}ee`).join('');
    const info = `d5:filesl${files}e4:name1:t12:piece lengthi16e6:pieces${count * 20}:${A.repeat(count)}e`;
    const metainfo = parse(`d4:info${info}e`);
    expect(metainfo.files).toHaveLength(count);
    expect(metainfo.length).toBe(count * 16);
    expect(metainfo.files.at(-1)).toEqual({
      path: ['t', 'd', 'f29999 (2)'],
      originalPath: ['t', 'd', 'f29999'],
      length: 16,
      offset: (count - 1) * 16,
      pad: false,
    });
    expect(new Set(metainfo.files.map(({ path }) => path.join('/'))).size).toBe(count);
  });
});

describe('names', () => {
  it('prefers what is marked as UTF-8', () => {
    const files = 'd6:lengthi1e4:pathl1:?e10:path.utf-8l2:\xc3\xa9ee';
    expect(pathsOf(multi(files, '10:name.utf-82:\xc3\xbc'))).toEqual(['ü/é']);
  });

  it.each([
    ['', 'd6:lengthi1e10:path.utf-8i1e4:pathl1:aee'],
    ['10:name.utf-8i1e', file('a')],
    ['10:name.utf-80:', file('a')],
  ])('falls back when that is junk (case %#)', (more, files) => {
    expect(pathsOf(multi(files, more))).toEqual(['t/a']);
  });

  it('replaces what is no UTF-8, and what is unsafe', () => {
    expect(pathsOf(multi(file('\xff\xfe.txt') + file('a\xe2\x80\xaeb') + file('nul.txt')))).toEqual([
      't/\ufffd\ufffd.txt',
      't/a_b',
      't/_nul.txt',
    ]);
  });

  it('does not take an overlong encoding for a separator', () => {
    expect(pathsOf(multi(file('a\xc0\xafb')))).toEqual(['t/a\ufffd\ufffdb']);
  });

  it.each([
    [`d4:infod6:lengthi1e4:name2:..12:piece lengthi4e6:pieces20:${A}ee`, 'info.name'],
    [`d4:infod6:lengthi1e4:name0:12:piece lengthi4e6:pieces20:${A}ee`, 'info.name'],
    [multi(file('a'), '10:name.utf-83:a/b'), 'info.name.utf-8'],
    [multi(`${file('a')}d6:lengthi1e4:pathl1:b2:..1:cee`), 'info.files[1].path[1]'],
    [multi('d6:lengthi1e4:pathl1:ae10:path.utf-8l4:/etcee'), 'info.files[0].path.utf-8[0]'],
    [multi(file('a\\b')), 'info.files[0].path[0]'],
    [multi(file('a\0')), 'info.files[0].path[0]'],
  ])('refuses a path that leads elsewhere (case %#)', (torrent, field) => {
    expect(refusal(torrent)).toContain(`\`${field}\`: expected the name of one file or folder, found "`);
  });
});

describe('a field that is wrong', () => {
  const single = (length: string, pieceLength: string, pieces: string): string =>
    `d4:infod${length}4:name1:a${pieceLength}${pieces}ee`;
  const one = '6:lengthi1e';
  const four = '12:piece lengthi4e';
  const pieces = `6:pieces20:${A}`;

  it.each([
    ['de', 'info', 'a dictionary', 'nothing'],
    ['d4:infoi1ee', 'info', 'a dictionary', '1'],
    ['d4:infolee', 'info', 'a dictionary', 'a list'],
    ['d4:info2:dee', 'info', 'a dictionary', 'a string of 2 bytes'],
    ['d4:infodee', 'info.pieces', 'a string', 'nothing'],
    [single(one, four, '6:piecesi1e'), 'info.pieces', 'a string', '1'],
    [single(one, four, '6:pieces0:'), 'info.pieces', '20 bytes for each of 1 pieces', '0 bytes'],
    [single(one, four, `6:pieces19:${A.slice(1)}`), 'info.pieces', '20 bytes for each of 1 pieces', '19 bytes'],
    [single(one, four, `6:pieces40:${A}${B}`), 'info.pieces', '20 bytes for each of 1 pieces', '40 bytes'],
    [single('6:lengthi0e', four, pieces), 'info.pieces', '20 bytes for each of 0 pieces', '20 bytes'],
    [
      single('6:lengthi9007199254740991e', '12:piece lengthi1e', pieces),
      'info.pieces',
      '20 bytes for each of 9007199254740991 pieces',
      '20 bytes',
    ],
    [single(one, '', pieces), 'info.piece length', 'an integer from 1 to 536870912', 'nothing'],
    [single(one, '12:piece lengthi0e', pieces), 'info.piece length', 'an integer from 1 to 536870912', '0'],
    [single(one, '12:piece lengthi-4e', pieces), 'info.piece length', 'an integer from 1 to 536870912', '-4'],
    [
      single(one, '12:piece lengthi536870913e', pieces),
      'info.piece length',
      'an integer from 1 to 536870912',
      '536870913',
    ],
    [
      single(one, '12:piece length1:4', pieces),
      'info.piece length',
      'an integer from 1 to 536870912',
      'a string of 1 bytes',
    ],
    [`d4:infod${one}${four}${pieces}ee`, 'info.name', 'a string', 'nothing'],
    [single('', four, pieces), 'info', '`length` or `files`', 'neither'],
    [multi(file('a'), one), 'info', '`length` or `files`', 'both'],
    [single('6:lengthi-1e', four, pieces), 'info.length', 'an integer from 0 to 9007199254740991', '-1'],
    [single('6:lengthle', four, pieces), 'info.length', 'an integer from 0 to 9007199254740991', 'a list'],
    [single('5:filesi1e', four, pieces), 'info.files', 'a list', '1'],
    [single('5:filesle', four, pieces), 'info.files', '1 to 500000 files', '0'],
    [multi('i1e'), 'info.files[0]', 'a dictionary', '1'],
    [multi(`${file('a')}d4:pathl1:bee`), 'info.files[1].length', 'an integer from 0 to 9007199254740991', 'nothing'],
    [multi(file('a', -1)), 'info.files[0].length', 'an integer from 0 to 9007199254740991', '-1'],
    [multi(file('a', Number.MAX_SAFE_INTEGER) + file('b', 1)), 'info.files', 'at most 2^53 - 1 bytes in all', 'more'],
    [multi('d6:lengthi1ee'), 'info.files[0].path', 'a list', 'nothing'],
    [multi('d6:lengthi1e4:path1:ae'), 'info.files[0].path', 'a list', 'a string of 1 bytes'],
    [multi('d6:lengthi1e4:pathlee'), 'info.files[0].path', 'at least one name', 'none'],
    [multi('d6:lengthi1e4:pathl1:ai2eee'), 'info.files[0].path[1]', 'a string', '2'],
  ])('is named, with what was expected and found (case %#)', (torrent, field, expected, found) => {
    expect(refusal(torrent)).toBe(`invalid torrent: \`${field}\`: expected ${expected}, found ${found}`);
  });

  it('is told before half a million files are looked at', () => {
    const files = 'i0e'.repeat(500_001);
    expect(refusal(multi(files))).toBe('invalid torrent: `info.files`: expected 1 to 500000 files, found 500001');
  });
});

describe('BitTorrent v2 (BEP 52)', () => {
  const tree = '9:file treed1:ad0:d6:lengthi1eeee';

  it('alone is refused as such', () => {
    const message = 'BitTorrent v2 only, not supported: expected v1 piece hashes in `info.pieces`, found nothing';
    expect(refusal(`d4:infod${tree}12:meta versioni2e4:name1:a12:piece lengthi16384eee`)).toBe(message);
    expect(refusal('d4:infod12:meta versioni2e4:name1:aee')).toBe(message);
    expect(refusal(`d4:infod${tree}4:name1:aee`)).toBe(message);
  });

  it('beside v1 is read as v1', () => {
    const layers = `12:piece layersd32:${'\xff'.repeat(32)}32:${'\x01'.repeat(32)}e`;
    const hybrid = `d4:infod${tree}6:lengthi1e12:meta versioni2e4:name1:a12:piece lengthi4e6:pieces20:${A}e${layers}e`;
    expect(parse(hybrid)).toMatchObject({ length: 1, files: [{ path: ['a'] }] });
  });
});

describe('bytes that are no torrent', () => {
  it.each([
    ['', 'not a torrent: expected a dictionary, found no bytes at all'],
    ['<!DOCTYPE html><html>', 'not a torrent: starts with `<!DOCTYPE`; it looks like a web page'],
    [
      'magnet:?xt=urn:btih:0123',
      'not a torrent: starts with `magnet:?xt=urn:b`; give a magnet link as the source, not in a file',
    ],
    ['Not Found\n', 'not a torrent: starts with `Not`'],
    ['le', 'not a torrent: starts with `le`'],
    ['\x1f\x8b\x08\x00\x00', 'not a torrent: starts with 0x1f8b0800'],
    ['\n', 'not a torrent: starts with 0x0a'],
    ['dog', 'invalid torrent: expected a key or the end of the dictionary at byte 1, found "o"'],
    ['dear sir', 'invalid torrent: expected its end at byte 2, found 6 more bytes'],
    [`${SINGLE}\n`, `invalid torrent: expected its end at byte ${SINGLE.length}, found 1 more bytes`],
    [
      `d4:info${SINGLE_INFO}4:info${SINGLE_INFO}e`,
      'invalid torrent: `info`: expected a new key at byte 102, found one seen before',
    ],
  ])('are refused: %j', (input, message) => {
    expect(refusal(input)).toBe(message);
  });

  it('are refused when they hold too many values', () => {
    expect(refusal(`d1:al${'le'.repeat(5_000_000)}ee`)).toBe(
      'invalid torrent: `a[4999996]`: expected at most 5000000 values and keys at byte 9999999, found more',
    );
  });

  it('are refused when they are too many', () => {
    const huge = new Uint8Array(128 * 1_048_576 + 1);
    huge[0] = 0x64;
    expect(() => parseMetainfo(huge)).toThrow('not a torrent: expected at most 134217728 bytes, found 134217729');
  });

  it('are refused at every point a torrent may be cut off', () => {
    const whole = multi(file('a') + file('b'), '7:privatei1e');
    for (const torrent of [SINGLE, whole]) {
      expect(() => parse(torrent)).not.toThrow();
      for (let length = 0; length < torrent.length; length++) refusal(torrent.slice(0, length));
    }
  });

  it('are refused in one line or read into numbers that agree, whatever byte is changed', () => {
    const torrent = multi(file('a') + file('b', 9) + file('c', 6));
    fc.assert(
      fc.property(fc.nat(torrent.length - 1), fc.nat(2), fc.string({ maxLength: 3 }), (at, dropped, put) => {
        const input = Buffer.from(torrent.slice(0, at) + put + torrent.slice(at + dropped), 'latin1');
        let metainfo: Metainfo;
        try {
          metainfo = parseMetainfo(input);
        } catch (error) {
          expect(error).toMatchObject({ name: 'SpateError', code: 'INVALID_TORRENT' });
          expect((error as Error).message).toMatch(/^[^\p{Cc}]{1,400}$/u);
          return;
        }
        let offset = 0;
        for (const { offset: found, length } of metainfo.files) {
          expect(found).toBe(offset);
          offset += length;
        }
        expect(metainfo.length).toBe(offset);
        expect(metainfo.pieceHashes.length).toBe(Math.ceil(offset / metainfo.pieceLength) * 20);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('trackers', () => {
  /** Fields of the root sort before `info`. */
  const trackers = (fields: string): readonly (readonly string[])[] => parse(`d${fields}${SINGLE.slice(32)}`).trackers;
  const list = (...tiers: string[][]): string =>
    `13:announce-listl${tiers.map((tier) => `l${tier.map((url) => `${url.length}:${url}`).join('')}e`).join('')}e`;

  it('are tiers, which override announce', () => {
    expect(trackers(`8:announce10:http://one${list(['http://a', 'udp://b:1'], ['https://c/x?k=%00'])}`)).toEqual([
      ['http://a', 'udp://b:1'],
      ['https://c/x?k=%00'],
    ]);
  });

  it('lose duplicates, other schemes, junk and empty tiers', () => {
    const junk = [
      'ws://x',
      '',
      'http://',
      'ftp://x',
      'javascript:1',
      'http://a b',
      'http://a\nb',
      'udp://[x',
      'http://a/\x1b[2J',
      'dht://x',
    ];
    expect(trackers(list([], junk, ['http://a', ' HTTP://b\n', 'http://a'], ['http://a'], ['udp://c:1']))).toEqual([
      ['http://a', 'HTTP://b'],
      ['udp://c:1'],
    ]);
    expect(trackers('13:announce-listlli1ed1:a1:bel8:http://x0:e8:http://aee')).toEqual([['http://a']]);
  });

  it('may be listed without tiers', () => {
    expect(trackers('13:announce-listl8:http://ai1e8:http://be')).toEqual([['http://a'], ['http://b']]);
  });

  it.each(['13:announce-listle', '13:announce-listllee', '13:announce-listi1e', list(['ws://x'])])(
    'are the one of announce when the list has none: %s',
    (none) => {
      expect(trackers(`8:announce10:http://one${none}`)).toEqual([['http://one']]);
    },
  );

  it.each(['', '8:announcei1e', '8:announce0:', '8:announce6:ws://x', '8:announcede'])(
    'may be none: %s',
    (announce) => {
      expect(trackers(announce)).toEqual([]);
    },
  );

  it('are a thousand at most', () => {
    const urls = Array.from({ length: 1500 }, (_, i) => `http://t/${i}`);
    expect(trackers(list(urls.slice(0, 600), urls.slice(600), ['http://late'])).map((tier) => tier.length)).toEqual([
      600, 400,
    ]);
  });
});

describe('optional fields', () => {
  const root = (fields: string): Metainfo => parse(`d${fields}${SINGLE.slice(32)}`);

  it('are read', () => {
    const fields = '7:comment4:caf\xe910:created by7:spate/113:creation datei1700000000e';
    expect(root(fields)).toMatchObject({
      comment: 'caf\ufffd',
      createdBy: 'spate/1',
      creationDate: 1_700_000_000,
    });
    expect(root('7:comment1:?13:comment.utf-82:\xc3\xa9').comment).toBe('é');
  });

  it.each(['7:commenti1e10:created byle13:creation date3:now', '13:creation datei-1e', '8:encodingi1e5:nodesi1e'])(
    'are ignored when they are junk: %s',
    (junk) => {
      expect(root(junk)).toEqual(root(''));
    },
  );

  it.each([
    ['7:privatei1e', true],
    ['7:privatei2e', true],
    ['7:privatei0e', false],
    ['7:private1:1', false],
    ['', false],
  ])('private is a number other than 0 inside info: %s', (field, expected) => {
    expect(parse(multi(file('a'), field)).private).toBe(expected);
    expect(root(field).private).toBe(false);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpateError } from '../../../src/errors.js';
import { distinctPaths, safeElement } from '../../../src/protocol/paths.js';

describe('safeElement', () => {
  const safe = (element: string): string => safeElement(element, 'info.name', false);

  it.each([
    'a',
    'debian-13.iso',
    '.hidden',
    '...a',
    ' lead',
    'naïve 文件 🎬.mkv',
    'What? "1": <a|b>*.txt',
    'C:',
    'console',
    'con-fusion',
    'com',
    'com10.txt',
    'xcon',
    '\ufffd.bin',
    'constructor',
    '__proto__',
  ])('keeps %j as it is', (element) => {
    expect(safe(element)).toBe(element);
  });

  it.each([
    ['a control', 'a\x01b\tc\nd\x7fe\x85f', 'a_b_c_d_e_f'],
    ['a bidi control', 'a\u202egpj.exe\u200e\u2066', 'a_gpj.exe__'],
    ['a zero-width character', 'a\u200bb\u200dc\ufeffd\u2060', 'a_b_c_d_'],
    ['a separator of lines', 'a\u2028b\u2029c', 'a_b_c'],
    ['a tag character', 'a\u{e0041}b', 'a_b'],
    ['a lone surrogate', 'a\ud800b', 'a_b'],
    ['a trailing dot', 'a.', 'a_'],
    ['a trailing space', 'a ', 'a_'],
    ['only the last of many dots', '...', '.._'],
    ['a lone space', ' ', '_'],
  ])('replaces %s', (_, element, expected) => {
    expect(safe(element)).toBe(expected);
  });

  it.each(['con', 'CON', 'Nul.txt', 'aux.tar.gz', 'prn ', 'COM1', 'lpt9.x', 'com¹', 'CONIN$', 'nul .txt'])(
    'puts _ before the reserved name %j',
    (element) => {
      expect(safe(element)).toBe(`_${element.replace(/ $/, '_')}`);
    },
  );

  it('replaces on Windows what a name cannot hold there', () => {
    expect(safeElement('C:', 'info.name', true)).toBe('C_');
    expect(safeElement('What? "1": <a|b>*.txt', 'info.name', true)).toBe('What_ _1__ _a_b__.txt');
    expect(safeElement('con:x', 'info.name', true)).toBe('con_x');
  });

  it.each([
    ['a'.repeat(240), 'a'.repeat(240)],
    ['a'.repeat(241), 'a'.repeat(240)],
    [`${'a'.repeat(300)}.mkv`, `${'a'.repeat(236)}.mkv`],
    [`${'é'.repeat(200)}.mkv`, `${'é'.repeat(118)}.mkv`],
    [`a${'é'.repeat(200)}.mkv`, `a${'é'.repeat(117)}.mkv`],
    ['🎬'.repeat(61), '🎬'.repeat(60)],
    [`a${'🎬'.repeat(61)}`, `a${'🎬'.repeat(59)}`],
    [`a.${'x'.repeat(300)}`, `a.${'x'.repeat(238)}`],
    [`.${'x'.repeat(300)}`, `.${'x'.repeat(239)}`],
    [`${'a'.repeat(239)} ${'b'.repeat(30)}`, `${'a'.repeat(239)}_`],
  ])('cuts a long name to whole characters and 240 bytes, and keeps its extension (case %#)', (element, expected) => {
    expect(safe(element)).toBe(expected);
  });

  it.each([
    ['', '""'],
    ['.', '"."'],
    ['..', '".."'],
    ['/', '"/"'],
    ['/etc', '"/etc"'],
    ['a/../b', '"a/../b"'],
    ['..\\b', '"..\\\\b"'],
    ['a\0b', '"a\\u0000b"'],
    ['a/\u202e\u2028b', '"a/__b"'],
    [`/${'a'.repeat(1000)}`, `"/${'a'.repeat(79)}"`],
  ])('refuses %j by the name of its field', (element, found) => {
    const field = 'info.files[3].path[1]';
    const message = `invalid torrent: \`${field}\`: expected the name of one file or folder, found ${found}`;
    expect(() => safeElement(element, field)).toThrow(new SpateError('INVALID_TORRENT', message));
  });

  it('makes of anything a name that is safe and stays as it is, or refuses it', () => {
    const unit = fc.oneof(fc.constantFrom('.', ' ', '..', 'con', 'é', '🎬', '\u202e', '\ud800', '/'), fc.string());
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 90 }), fc.boolean(), (units, windows) => {
        const element = units.join('');
        let name: string;
        try {
          name = safeElement(element, 'x', windows);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_TORRENT' });
          expect(element === '' || element === '.' || element === '..' || /[/\\\0]/.test(element)).toBe(true);
          return;
        }
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(240);
        expect(name).toMatch(/^[^/\\\0-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*[^. /]$/);
        expect(safeElement(name, 'x', windows)).toBe(name);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('distinctPaths', () => {
  const distinct = (...paths: string[]): string[] =>
    distinctPaths(paths.map((path) => path.split('/'))).map((path) => path.join('/'));

  it.each<[string, string[], string[]]>([
    ['leaves distinct paths alone', ['t/a', 't/b', 't/c/a', 'a'], ['t/a', 't/b', 't/c/a', 'a']],
    ['numbers duplicates', ['t/a.txt', 't/a.txt', 't/a.txt'], ['t/a.txt', 't/a (2).txt', 't/a (3).txt']],
    ['numbers names that differ in case', ['a.TXT', 'A.txt', 'a.txt'], ['a.TXT', 'A (2).txt', 'a (3).txt']],
    ['numbers names that differ in normalisation', ['\u00e9', 'e\u0301'], ['\u00e9', 'e\u0301 (2)']],
    ['folds ß as far as any file system', ['straße', 'STRASSE', 'STRAẞE'], ['straße', 'STRASSE (2)', 'STRAẞE (3)']],
    ['folds what has no upper case of its own', ['θ', 'ϴ', 'k', '\u212a'], ['θ', 'ϴ (2)', 'k', '\u212a (2)']],
    ['folds marks in any order', ['\u1fb4', '\u03b1\u0345\u0301'], ['\u1fb4', '\u03b1\u0345\u0301 (2)']],
    ['takes no name from a file that is called so', ['a', 'a', 'a (2)', 'A (3)'], ['a', 'a (4)', 'a (2)', 'A (3)']],
    ['numbers a file that is a folder of a later one', ['x', 'x/y'], ['x (2)', 'x/y']],
    ['numbers a file that is a folder of an earlier one', ['x/y/z', 'X/Y', 'x'], ['x/y/z', 'X/Y (2)', 'x (2)']],
    ['numbers past a folder', ['a', 'a', 'a (2)/b'], ['a', 'a (3)', 'a (2)/b']],
    ['sees files of folders that differ in case only', ['T/a', 't/A', 't/b'], ['T/a', 't/A (2)', 't/b']],
    ['numbers hidden names at their end', ['.rc', '.rc'], ['.rc', '.rc (2)']],
    ['numbers before the last extension', ['a.tar.gz', 'a.tar.gz'], ['a.tar.gz', 'a.tar (2).gz']],
    ['numbers names of Object.prototype', ['constructor', 'constructor'], ['constructor', 'constructor (2)']],
  ])('%s', (_, paths, expected) => {
    expect(distinct(...paths)).toEqual(expected);
  });

  it('makes room for the number in a name of full length', () => {
    const long = `${'é'.repeat(118)}.mkv`;
    expect(distinct(long, long)).toEqual([long, `${'é'.repeat(112)} (2).mkv`]);
  });

  it('takes a hundred thousand equal names', () => {
    const paths = distinct(...Array.from({ length: 100_000 }, () => 'same/name.txt'));
    expect(new Set(paths).size).toBe(100_000);
    expect(paths.at(-1)).toBe('same/name (100000).txt');
  });

  it('takes long names that are cut to one and all need numbers', () => {
    const names = Array.from({ length: 20_000 }, (_, i) => `${'a'.repeat(230)}${String(i >> 1).padStart(10, '0')}`);
    const paths = distinct(...names);
    expect(new Set(paths).size).toBe(names.length);
    expect(paths.at(-1)).toBe(`${'a'.repeat(228)} (10001)`);
  });

  it('takes a path of a hundred thousand folders', () => {
    const deep = Array.from({ length: 100_000 }, () => 'd');
    const [first, second] = distinctPaths([deep, deep]);
    expect(first).toEqual(deep);
    expect(second).toEqual([...deep.slice(1), 'd (2)']);
  });

  it('lets no two paths share a file, nor a file be a folder, whatever the paths', () => {
    const name = fc.constantFrom('a', 'A', 'a (2)', 'A (3)', 'a.b', 'a (2).b', 'é', 'e\u0301');
    fc.assert(
      fc.property(fc.array(fc.array(name, { minLength: 1, maxLength: 3 }), { maxLength: 40 }), (paths) => {
        const result = distinctPaths(paths);
        const folded = result.map((path) => path.join('/').normalize('NFC').toLowerCase());
        expect(new Set(folded).size).toBe(paths.length);
        const folders = folded.flatMap((path) => [...path.matchAll(/\//g)].map(({ index }) => path.slice(0, index)));
        for (const folder of folders) expect(folded).not.toContain(folder);
        expect(result.map((path) => path.slice(0, -1))).toEqual(paths.map((path) => path.slice(0, -1)));
        expect(distinctPaths(result)).toEqual(result);
      }),
      { numRuns: 500 },
    );
  });
});

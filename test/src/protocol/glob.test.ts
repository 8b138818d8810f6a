import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileGlob } from '../../../src/protocol/glob.js';

const matches = (glob: string, path: string): boolean => compileGlob(glob)(path.split('/'));

describe('a glob', () => {
  it.each([
    ['*.mkv', 'show/s1/e1.mkv'],
    ['e?.mkv', 'show/e1.mkv'],
    ['*', 'show/.hidden'],
    ['show/*/e1.mkv', 'show/s1/e1.mkv'],
    ['s1/*', 'show/s1/e1.mkv'],
    ['/s1/*', 'show/s1/e1.mkv'],
    ['**/e1.*', 'show/s1/e1.mkv'],
    ['**/s1/**', 'show/a/b/s1/c/d'],
    ['show/**', 'show/x'],
    ['[a-c]*', 'show/b1'],
    ['[!a-c]*', 'show/d1'],
    ['[]x]', 't/]'],
    ['[a-]', 't/-'],
    ['*.{mkv,srt}', 't/x.srt'],
    ['{a,b{c,d}}', 't/bd'],
    ['a\\*', 't/a*'],
    ['\\{a', 't/{a'],
    ['?', 't/\u{1f600}'],
    ['a**b', 't/axxb'],
  ])('%s matches %s', (glob, path) => {
    expect(matches(glob, path)).toBe(true);
  });

  it.each([
    ['*.mkv', 'show/e1.MKV'],
    ['*.mkv', 'a.mkv/readme'],
    ['show/*', 'show/s1/e1.mkv'],
    ['s1/e?.mkv', 'show/other/s1/e1.mkv'],
    ['[!a-c]*', 'show/a1'],
    ['a\\*', 't/ab'],
    ['?', 't/ab'],
    ['', 't/a'],
  ])('%s does not match %s', (glob, path) => {
    if (glob === '') expect(() => compileGlob(glob)).toThrow('expected a glob with 1 to 4096 characters');
    else expect(matches(glob, path)).toBe(false);
  });

  it.each([
    ['{a,b', 'a `}` for each `{`'],
    ['[a', 'a `]` for each `[`'],
    ['a\\', 'a character after `\\`'],
    ['{a,b}'.repeat(12), 'at most 1000 alternatives'],
  ])('%s is refused', (glob, expected) => {
    expect(() => compileGlob(glob)).toThrow(`expected a glob with ${expected}`);
  });

  it('of literals, stars and question marks agrees with the regular expression of the same meaning', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 12 });
    const globs = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(
        globs.filter((glob) => !/^\*\*$/.test(glob)),
        letters,
        (glob, name) => {
          const expression = new RegExp(`^${glob.replaceAll(/\*+/g, '.*').replaceAll('?', '.')}$`);
          expect(matches(glob, `t/${name}`)).toBe(expression.test(name));
        },
      ),
    );
  });

  it('that would make a regular expression go back for ever is answered', () => {
    expect(matches('*a'.repeat(60), `t/${'a'.repeat(240)}`)).toBe(true);
    expect(matches(`${'*a'.repeat(60)}b`, `t/${'a'.repeat(240)}`)).toBe(false);
    expect(matches(`${'**/a/'.repeat(60)}b`, 'a/'.repeat(99))).toBe(false);
  });
});

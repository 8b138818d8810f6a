import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fillIn, joinWords, splitWords } from '../../../src/bench/command-words.js';
import { anyText } from '../../helpers/arbitraries.js';

describe('splitWords', () => {
  it.each([
    ['cp {payload} {out}/', ['cp', '{payload}', '{out}/']],
    ['  spaced\t out  ', ['spaced', 'out']],
    [`sh -c 'a "b" \\n' "it's \\"so\\""`, ['sh', '-c', 'a "b" \\n', `it's "so"`]],
    [`a'b'"c"d`, ['abcd']],
    [`a\\ b ''`, ['a b', '']],
    ['', []],
  ])('takes %j apart', (text, words) => {
    expect(splitWords(text)).toEqual(words);
  });

  it.each([`a 'b`, `a "b`])('refuses a quote that is not closed: %s', (text) => {
    expect(() => splitWords(text)).toThrow('expected a closing');
  });

  it('takes apart what joinWords has put together', () => {
    fc.assert(
      fc.property(fc.array(anyText().filter((word) => word !== '')), (words) => {
        expect(splitWords(joinWords(words))).toEqual(words);
      }),
    );
  });
});

describe('fillIn', () => {
  it('replaces every name in braces, in one pass', () => {
    expect(fillIn(['{a}/{b}', 'x{a}'], { a: '{b}', b: 7 })).toEqual(['{b}/7', 'x{b}']);
  });

  it("leaves a shell's own braces and others alone", () => {
    const words = [`\${a}`, '{"a": 1}', '{}', '{ a }'];
    expect(fillIn(words, { a: 1 })).toEqual(words);
  });

  it.each(['{nope}', '{toString}'])('refuses %s and names what there is', (word) => {
    expect(() => fillIn([word], { a: 1, b: 2 })).toThrow(`expected one of {a} {b} in a command, got ${word}`);
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { displayWidth, escapeControls, jsonLine, shortened, truncate } from '../../src/text.js';
import { anyText } from '../helpers/arbitraries.js';

test.each([
  ['plain text, ünïcödé, 日本', 'plain text, ünïcödé, 日本'],
  ['\x1b[2J\x1b]0;title\x07', '\\x1b[2J\\x1b]0;title\\x07'],
  ['a\nb\rc\td\x00', 'a\\x0ab\\x0dc\\x09d\\x00'],
  ['\x7f\x9b31m', '\\x7f\\x9b31m'],
  ['a\u202egpj.exe', 'a\\u202egpj.exe'],
  ['zero\u200bwidth\u2028', 'zero\\u200bwidth\\u2028'],
  ['tag\u{e0041}', 'tag\\u{e0041}'],
  ['\ud800', '\\ud800'],
])('%j is printed as %s', (text, expected) => {
  expect(escapeControls(text)).toBe(expected);
});

test('nothing that escapes to a terminal is left in any text', () => {
  fc.assert(
    fc.property(anyText(), (text) => {
      expect(escapeControls(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    }),
  );
});

test('JSON with hostile text is one harmless line that reads back as it was', () => {
  fc.assert(
    fc.property(anyText(), (text) => {
      const line = jsonLine({ text });
      expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      expect(JSON.parse(line)).toEqual({ text });
    }),
  );
  expect(jsonLine('\x9b\u{e0041}')).toBe('"\\u009b\\udb40\\udc41"');
});

test.each([
  ['abc', 3],
  ['日本', 4],
  ['한글', 4],
  ['e\u0301', 1],
  ['🚀', 2],
  ['', 0],
])('%s takes %i columns', (text, columns) => {
  expect(displayWidth(text)).toBe(columns);
});

test.each([
  ['abcdef', 6, 'abcdef'],
  ['abcdef', 5, 'abcd…'],
  ['abcdef', 1, '…'],
  ['abcdef', 0, ''],
  ['日本語', 5, '日本…'],
  ['日本語', 4, '日…'],
  ['日本語', 6, '日本語'],
])('%s in %i columns is %s', (text, columns, expected) => {
  expect(truncate(text, columns)).toBe(expected);
});

test('a text is shortened to a number of characters, whatever their width', () => {
  expect(shortened('abc', 3)).toBe('abc');
  expect(shortened('abcd', 3)).toBe('ab…');
  expect(shortened('\u0301'.repeat(1000), 3)).toHaveLength(3);
});

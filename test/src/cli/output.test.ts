import { expect, test } from 'vitest';
import { Output, redrawn, usesColor } from '../../../src/cli/output.js';
import { SpateError } from '../../../src/errors.js';
import { fakeStreams } from '../../helpers/cli-streams.js';

const TERMINAL = { isTTY: true, columns: 20, rows: 5 };

test('an error is one line, with control characters written out and no stack', () => {
  const { streams, stdout, stderr } = fakeStreams();
  new Output({}, streams).error(new SpateError('LOCAL_IO', 'cannot write\n/x\x1b[2J'), 'a\tname');
  expect(stderr()).toBe('spate: a\\x09name: cannot write /x\\x1b[2J\n');
  expect(stdout()).toBe('');
});

test('with -v the stack follows', () => {
  const { streams, stderr } = fakeStreams();
  new Output({ verbose: true }, streams).error(new Error('why'));
  expect(stderr()).toMatch(/^spate: why\nError: why\n {4}at /);
});

test('a warning is said once', () => {
  const { streams, stderr } = fakeStreams();
  const output = new Output({}, streams);
  for (const text of ['one', 'two', 'one']) output.warning(text);
  expect(stderr()).toBe('spate: warning: one\nspate: warning: two\n');
});

test('with -q errors and data are left', () => {
  const { streams, stdout, stderr } = fakeStreams(TERMINAL);
  const output = new Output({ quiet: true }, streams);
  output.warning('w');
  output.note('n');
  output.detail('d');
  output.live(['l']);
  output.error(new Error('e'));
  output.data('data');
  expect(stderr()).toBe('spate: e\n'.replace('spate:', '\x1b[31mspate:\x1b[0m'));
  expect(stdout()).toBe('data\n');
});

test('details are for -v', () => {
  const plain = fakeStreams();
  new Output({}, plain.streams).detail('d');
  expect(plain.stderr()).toBe('');
  const verbose = fakeStreams();
  new Output({ verbose: true }, verbose.streams).detail('d');
  expect(verbose.stderr()).toBe('d\n');
});

test('no terminal, no live lines and no escape sequence', () => {
  const { streams, stdout, stderr } = fakeStreams();
  const output = new Output({}, streams);
  output.live(['line']);
  output.warning('w');
  output.success('done', 'x');
  expect(stderr()).toBe('spate: warning: w\n');
  expect(stdout()).toBe('done x\n');
});

test('a line of text takes the place of the live lines, which are drawn again below', () => {
  const { streams, stderr } = fakeStreams(TERMINAL);
  const output = new Output({ color: 'never' }, streams);
  output.live(['one', 'two']);
  output.note('note');
  output.live([]);
  expect(stderr()).toBe(
    ['one\x1b[K\ntwo\x1b[K', '\r\x1b[1A\x1b[J', 'note\n', 'one\x1b[K\ntwo\x1b[K', '\r\x1b[1A\x1b[J'].join(''),
  );
});

test('live lines are cut to the terminal, whose last column and row stay free', () => {
  const { streams, stderr } = fakeStreams(TERMINAL);
  new Output({}, streams).live(['1', '2', '3', '4', 'a line longer than the terminal']);
  expect(stderr()).toBe('2\x1b[K\n3\x1b[K\n4\x1b[K\na line longer than…\x1b[K');
});

test('fewer lines than before leave nothing behind', () => {
  expect(redrawn(3, ['x'])).toBe('\r\x1b[2Ax\x1b[K\x1b[J');
  expect(redrawn(1, ['x', 'y'])).toBe('\rx\x1b[K\ny\x1b[K');
  expect(redrawn(0, [])).toBe('');
});

test.each([
  ['auto', true, {}, true],
  ['auto', false, {}, false],
  ['auto', true, { NO_COLOR: '1' }, false],
  ['auto', true, { NO_COLOR: '' }, true],
  ['auto', false, { FORCE_COLOR: '1' }, true],
  ['auto', true, { FORCE_COLOR: '0' }, false],
  ['auto', false, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
  ['auto', true, { TERM: 'dumb' }, false],
  ['always', false, { NO_COLOR: '1' }, true],
  ['never', true, { FORCE_COLOR: '1' }, false],
] as const)('--color %s, terminal %s, %j: colour %s', (choice, isTTY, env, expected) => {
  expect(usesColor(choice, { isTTY, write: () => {} }, env)).toBe(expected);
});

test('--color always paints the prefix alone', () => {
  const { streams, stdout, stderr } = fakeStreams();
  const output = new Output({ color: 'always' }, streams);
  output.error(new Error('e'));
  output.warning('w');
  output.success('done', 'x');
  expect(stderr()).toBe('\x1b[31mspate:\x1b[0m e\nspate: \x1b[33mwarning:\x1b[0m w\n');
  expect(stdout()).toBe('\x1b[32mdone\x1b[0m x\n');
});

// Torrents made to hurt, through the real command: each is refused with exit code 3 and one line that names the field.
import { execFileSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { spate } from '../helpers/cli-run.js';
import { temporaryFolder } from '../helpers/fs-temp.js';
import { oddTorrent } from '../helpers/odd-torrent.js';
import { ScriptedSeed } from '../helpers/scripted-peer.js';

const text = (value: string): string => `${Buffer.byteLength(value)}:${value}`;
const list = (...names: string[]): string => `l${names.map(text).join('')}e`;
const info = (fields: string): string => `d4:infod${fields}ee`;
const HASH = 'A'.repeat(20);
const multi = (files: string, name = 't'): string =>
  info(`5:filesl${files}e4:name${text(name)}12:piece lengthi16e6:pieces20:${HASH}`);
const file = (...path: string[]): string => `d6:lengthi1e4:path${list(...path)}e`;
const link = (path: string[], target: string[]): string =>
  `d4:attr1:l6:lengthi0e4:path${list(...path)}12:symlink path${list(...target)}e`;
const single = (length: string, pieces = `20:${HASH}`, pieceLength = '16'): string =>
  info(`6:lengthi${length}e4:name1:a12:piece lengthi${pieceLength}e6:pieces${pieces}`);

const BAD: readonly (readonly [string, string, string])[] = [
  ['.. as an element', multi(file('..', 'x')), 'info.files[0].path[0]'],
  ['. as an element', multi(file('a', '.')), 'info.files[0].path[1]'],
  ['an empty element', multi(file('', 'x')), 'info.files[0].path[0]'],
  ['a slash in an element', multi(file('../../x')), 'info.files[0].path[0]'],
  ['an absolute element', multi(file('/etc/passwd')), 'info.files[0].path[0]'],
  ['a backslash in an element', multi(file('..\\x')), 'info.files[0].path[0]'],
  ['a NUL in an element', multi(file('a\0b')), 'info.files[0].path[0]'],
  ['.. as the name', multi(file('x'), '..'), 'info.name'],
  ['a path as the name', multi(file('x'), '../t'), 'info.name'],
  ['an empty name', multi(file('x'), ''), 'info.name'],
  ['a path of no elements', multi(file()), 'info.files[0].path'],
  ['a path of 101 elements', multi(file(...new Array(101).fill('d'))), 'info.files[0].path'],
  ['a symlink that climbs out', multi(file('a') + link(['l'], ['..', '..', 'etc'])), 'info.files[1].symlink path[0]'],
  ['an absolute symlink', multi(file('a') + link(['l'], ['/etc'])), 'info.files[1].symlink path[0]'],
  ['a symlink to nowhere', multi(file('a') + link(['l'], [])), 'info.files[1].symlink path'],
  [
    'a symlink through a symlink',
    multi(file('a') + link(['l'], ['m', 'x']) + link(['m'], ['d'])),
    'info.files[1].symlink path',
  ],
  ['symlinks in a circle', multi(file('a') + link(['l'], ['m']) + link(['m'], ['l'])), 'info.files[1].symlink path'],
  ['a symlink to itself', multi(file('a') + link(['l'], ['l'])), 'info.files[1].symlink path'],
  ['a length of 2^53', single('9007199254740992'), 'info.length'],
  ['a length of 2^63', single('9223372036854775808'), 'info.length'],
  ['a piece length of 2^53', single('16', `20:${HASH}`, '9007199254740992'), 'info.piece length'],
  ['a piece length of 2^63', single('16', `20:${HASH}`, '9223372036854775808'), 'info.piece length'],
  [
    'a file of 2^53 bytes behind others',
    multi(file('a') + file('b') + file('c') + file('d').replace('i1e', 'i9007199254740992e')),
    'info.files[3].length',
  ],
  ['a file of -2^63 bytes', multi(file('a').replace('i1e', 'i-9223372036854775808e')), 'info.files[0].length'],
  ['a number of a thousand digits', single('9'.repeat(1000)), 'info.length'],
  ['a negative length', single('-1'), 'info.length'],
  ['lengths whose sum overflows', multi(`d6:lengthi9007199254740991e4:path${list('a')}e${file('b')}`), 'info.files'],
  ['pieces for another length', single('40'), 'info.pieces'],
  ['pieces that are no whole hashes', single('16', '19:AAAAAAAAAAAAAAAAAAA'), 'info.pieces'],
  ['a piece length of 0', single('16', `20:${HASH}`, '0'), 'info.piece length'],
  ['a piece length above 512 MiB', single('16', `20:${HASH}`, '536870913'), 'info.piece length'],
  ['a piece length that begins with 0', single('16', `20:${HASH}`, '016384'), 'info.piece length'],
  ['a string that ends with the data', 'd4:infod4:name9:a.txt', 'info.name'],
  ['no files', multi(''), 'info.files'],
  ['more files than there may be', multi(`d6:lengthi0e4:pathl1:aee`.repeat(500_001)), 'info.files'],
];

test('torrents made to hurt end in exit code 3 and one line each that names the field; nothing is written', async () => {
  const folder = await temporaryFolder();
  const out = join(folder, 'out');
  const paths = await Promise.all(
    BAD.map(async ([, bytes], i) => {
      const path = join(folder, `${i}.torrent`);
      await writeFile(path, Buffer.from(bytes, 'latin1'));
      return path;
    }),
  );

  const { code, stderr, stdout } = await spate([...paths, '-o', out, '--bind', '127.0.0.1']);

  expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  const lines = stderr.trimEnd().split('\n');
  expect(lines).toHaveLength(BAD.length);
  for (const [i, [what, , field]] of BAD.entries()) {
    expect(lines[i], what).toContain(`spate: ${paths[i]}: invalid torrent: `);
    expect(lines[i], what).toContain(`\`${field}\``);
  }
  expect(await readdir(folder)).not.toContain('out');
});

test('nesting without end is refused by its depth', async () => {
  const { code, stderr } = await spate(['info', '-'], { stdin: `d4:info${'l'.repeat(1_000_000)}` });
  expect(code).toBe(3);
  expect(stderr).toBe(
    'spate: standard input: invalid torrent: `info[0][0][0]...[0][0][0][0]`: expected nesting of at most 100 at byte 106, found deeper\n',
  );
});

test('names that are unsafe, too long or collide are shown with what they became', async () => {
  const long = 'x'.repeat(250);
  const torrent = multi(
    [file('a'), file('A'), file('caf\u00e9'), file('cafe\u0301'), file('a', 'b'), file(long)].join(''),
  );
  const { stdout } = await spate(['info', '-', '--json'], { stdin: torrent });
  const files: { path: string; originalPath?: string }[] = JSON.parse(stdout).files;
  expect(files.map(({ path, originalPath }) => [path, originalPath])).toEqual([
    ['t/a (2)', 't/a'],
    ['t/A (3)', 't/A'],
    ['t/caf\u00e9', undefined],
    ['t/cafe\u0301 (2)', 't/cafe\u0301'],
    ['t/a/b', undefined],
    [`t/${'x'.repeat(240)}`, `t/${long}`],
  ]);
});

const MANY = Number(process.env.SPATE_TEST_FILES ?? 3_000);

test(`${MANY} files are downloaded by a process that may open 256`, {
  timeout: 60_000 + MANY,
}, async () => {
  // Every eleventh is empty; a piece holds thousands.
  const files = Array.from({ length: MANY }, (_, i) => ({ path: [`d${i % 100}`, `f${i}`], length: i % 11 }));
  const odd = oddTorrent(files, { name: 'many' });
  const { payload, infohash } = odd;
  const pieceCount = Math.ceil(payload.length / 16_384);
  const seed = await ScriptedSeed.listen({
    payload,
    pieceLength: 16_384,
    pieceCount,
    infohash: Buffer.from(infohash, 'hex'),
  });
  onTestFinished(() => seed.close());
  const out = await temporaryFolder();
  const args = ['-', '-o', out, '--bind', '127.0.0.1', '--workers', '2', '--peer', `127.0.0.1:${seed.port}`];
  const { code, stderr } = await spate(args, { stdin: odd.bytes, fileLimit: 256 });
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  const made = execFileSync('find', [join(out, 'many'), '-type', 'f', '-printf', '%P %s\\n'], { maxBuffer: 1e8 });
  const sizes = new Map(
    made
      .toString()
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  );
  expect(sizes.size).toBe(MANY);
  for (const [i, { path, length }] of files.entries()) {
    if (Number(sizes.get(path.join('/'))) !== length)
      expect.fail(`${path.join('/')} has ${sizes.get(path.join('/'))} bytes`);
    if (i % 97 === 0) expect(await readFile(join(out, 'many', ...path))).toEqual(odd.content(i));
  }
});

import { appendFile, mkdir, open, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { spate } from '../helpers/cli-run.js';
import { PIECE, SEVERAL, SINGLE, testSwarm } from '../helpers/cli-swarm.js';

test('data that are good are said to be, with exit code 0', async () => {
  const swarm = await testSwarm(SEVERAL);
  const { code, stdout, stderr } = await spate(['verify', swarm.torrent, swarm.seeds]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^good 21 of 21 pieces of \S+\/several, 1\.3 MiB in \d+\.\d+ s\n$/);
});

test('missing, short, long and bad files are named with their pieces and bytes, exit code 6; nothing is changed', async () => {
  const swarm = await testSwarm(SEVERAL);
  const at = (...path: string[]): string => join(swarm.seeds, 'several', ...path);
  const file = await open(at('first.bin'), 'r+');
  await file.write(Buffer.from([1, 2, 3]), 0, 3, 2 * PIECE + 5);
  await file.close();
  await rm(at('folder', 'small'));
  await truncate(at('folder', 'deep', 'middle.bin'), 69_000);
  await appendFile(at('last.bin'), 'more');
  const { mtimeMs } = await stat(at('last.bin'));

  const { code, stdout } = await spate(['verify', swarm.torrent, swarm.seeds]);

  expect(code).toBe(6);
  const lines = stdout.split('\n');
  // Piece 15 holds the end of the first file, the small one and the start of the middle one, whose end is in piece 16.
  expect(lines.slice(0, 4)).toEqual([
    `bad      several/first.bin: pieces 2,15, bytes ${2 * PIECE}-${3 * PIECE - 1},${15 * PIECE}-999999`,
    'missing  several/folder/small: pieces 15, bytes 0-6',
    'short    several/folder/deep/middle.bin (expected 70000 bytes, found 69000): pieces 15-16, bytes 0-69999',
    `long     several/last.bin (expected 300000 bytes, found 300004): pieces 16, bytes 0-${17 * PIECE - 1_070_007 - 1}`,
  ]);
  expect(lines[4]).toMatch(/^bad 18 of 21 pieces of \S+ are good, 4 files are not, /);
  expect((await stat(at('folder', 'deep', 'middle.bin'))).size).toBe(69_000);
  expect((await stat(at('last.bin'))).mtimeMs).toBe(mtimeMs);

  const json = JSON.parse((await spate(['verify', swarm.torrent, swarm.seeds, '--json'])).stdout);
  expect(json).toMatchObject({ type: 'verify', exitCode: 6, pieces: { good: 18, of: 21 } });
  expect(json.files[1]).toEqual({
    index: 3,
    path: 'several/folder/small',
    problem: 'missing',
    length: 7,
    size: 0,
    pieces: [[15, 15]],
    bytes: [[0, 6]],
  });
});

test('only the chosen files are judged, with the part file of an earlier choice', async () => {
  const swarm = await testSwarm(SEVERAL);
  await swarm.seeder();
  const flags = ['-o', swarm.downloads, '--bind', '127.0.0.1', '--workers', '1', '--json'];
  const got = await spate(['get', swarm.torrent, ...flags, '--include', 'small', '-f', '4']);
  expect(got.code).toBe(0);
  expect(JSON.parse(got.stdout).downloads[0]).toMatchObject({ length: 70_007, have: 70_007 });

  const some = await spate(['verify', swarm.torrent, swarm.downloads, '-f', '3,4']);
  await mkdir(join(swarm.downloads, 'several', 'first.bin'));
  const odd = await spate(['verify', swarm.torrent, swarm.downloads, '-f', '3,4']);
  await rm(join(swarm.downloads, 'several', 'first.bin'), { recursive: true });
  const all = await spate(['verify', swarm.torrent, swarm.downloads]);

  expect(some).toMatchObject({ code: 0, stdout: expect.stringMatching(/^good 2 of 2 pieces of \S+, 68\.4 KiB in /) });
  expect(odd).toMatchObject({ code: 0, stdout: expect.stringMatching(/^good 2 of 2 pieces /) });
  expect(all.code).toBe(6);
  expect(all.stdout).toContain('missing  several/first.bin: ');
  // Their pieces are there, with what the part file has of them.
  expect(all.stdout).toMatch(/bad 2 of 21 pieces of .* are good, 3 files are not/);
});

test('a choice that the torrent does not have is a usage error', async () => {
  const swarm = await testSwarm(SEVERAL);
  for (const flags of [
    ['-f', '9'],
    ['-f', '0'],
    ['-f', '3-1'],
    ['--include', '{a'],
  ]) {
    const { code, stderr } = await spate(['verify', swarm.torrent, swarm.seeds, ...flags]);
    expect({ code, lines: stderr.trim().split('\n').length }).toEqual({ code: 2, lines: 1 });
  }
});

test('a folder that leads out of the root is an error of its own, exit code 8, unless something else is bad', async () => {
  const swarm = await testSwarm(SEVERAL);
  const other = join(swarm.folder, 'other');
  await mkdir(join(other, 'deep'), { recursive: true });
  await rm(join(swarm.seeds, 'several', 'folder'), { recursive: true });
  await symlink(other, join(swarm.seeds, 'several', 'folder'));
  await writeFile(join(other, 'empty'), '');
  await symlink('/dev/null', join(other, 'small'));
  await writeFile(join(other, 'deep', 'middle.bin'), new Uint8Array(70_000));
  const { code, stdout } = await spate(['verify', swarm.torrent, swarm.seeds]);
  expect(code).toBe(8);
  const lines = stdout.split('\n');
  expect(lines[0]).toBe(`bad      several/first.bin: pieces 15, bytes ${15 * PIECE}-999999`);
  expect(lines[1]).toMatch(/^unreadable {2}several\/folder\/small \(cannot .*\): pieces 15, bytes 0-6$/);
  expect(lines[2]).toMatch(
    /^unreadable {2}several\/folder\/deep\/middle\.bin \(.* it is a symbolic link out of .*\): pieces 15-16, /,
  );
  expect(lines[3]).toMatch(/^bad {6}several\/last\.bin: pieces 16, /);
  expect(lines[4]).toMatch(/^bad 19 of 21 pieces of \S+ are good, 4 files are not, /);

  await truncate(join(swarm.seeds, 'several', 'last.bin'), 10);
  const json = JSON.parse((await spate(['verify', swarm.torrent, swarm.seeds, '--json'])).stdout);
  expect(json.exitCode).toBe(6);
  expect(json.files.map((file: { problem: string }) => file.problem)).toEqual([
    'bad',
    'unreadable',
    'unreadable',
    'short',
  ]);
  expect(json.files[2].reason).toContain('it is a symbolic link out of ');
});

test('a torrent of one file that is not there is missing as a whole', async () => {
  const swarm = await testSwarm(SINGLE);
  const { code, stdout } = await spate(['verify', swarm.torrent, swarm.downloads]);
  expect(code).toBe(6);
  expect(stdout).toContain(`missing  single.bin: pieces 0-39, bytes 0-${SINGLE.length - 1}\n`);
  await expect(readFile(join(swarm.downloads, 'single.bin'))).rejects.toThrow('ENOENT');
});

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { readTorrent } from '../../../src/cli/sources.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const TORRENT = Buffer.from(
  `d4:infod6:lengthi3e4:name5:a.bin12:piece lengthi16384e6:pieces20:${'x'.repeat(20)}ee`,
  'latin1',
);

const inParts =
  (...parts: readonly Uint8Array[]) =>
  () =>
    Readable.from(parts.map((part) => Buffer.from(part)));

test('a torrent is read from its path', async () => {
  const path = join(await temporaryFolder(), 'a.torrent');
  await writeFile(path, TORRENT);
  expect((await readTorrent(path)).name).toBe('a.bin');
});

test('- is a torrent on stdin, in whatever parts it comes', async () => {
  const stdin = inParts(TORRENT.subarray(0, 1), TORRENT.subarray(1, 30), TORRENT.subarray(30));
  expect((await readTorrent('-', undefined, stdin)).name).toBe('a.bin');
});

test.each([
  ['magnet:?xt=urn:btih:0123', 'magnet links are not supported yet'],
  ['https://example.com/a.torrent', 'URLs of torrents are not supported yet'],
  ['HTTP://example.com/a.torrent', 'URLs of torrents are not supported yet'],
  ['0123456789abcdef0123456789ABCDEF01234567', 'bare infohashes are not supported yet'],
  ['abcdefghijklmnopqrstuvwxyz234567', 'bare infohashes are not supported yet'],
])('%s is refused as what it is', async (source, why) => {
  await expect(readTorrent(source)).rejects.toMatchObject({
    code: 'INVALID_TORRENT',
    message: `${source}: ${why}; get the .torrent file and give its path`,
  });
});

test('a path with nothing at it is bad input', async () => {
  const path = join(await temporaryFolder(), 'none.torrent');
  await expect(readTorrent(path)).rejects.toMatchObject({
    code: 'INVALID_TORRENT',
    message: `cannot read ${path}: expected a .torrent file, but there is no such file`,
  });
});

test('a folder is bad input', async () => {
  const path = await temporaryFolder();
  await expect(readTorrent(path)).rejects.toMatchObject({
    code: 'INVALID_TORRENT',
    message: `cannot read ${path}: expected a .torrent file, but it is a folder`,
  });
});

test('what is no torrent is named with its source', async () => {
  const path = join(await temporaryFolder(), 'page.torrent');
  await writeFile(path, '<html>');
  await expect(readTorrent(path)).rejects.toMatchObject({
    code: 'INVALID_TORRENT',
    message: expect.stringMatching(/page\.torrent: not a torrent: starts with `<html>`/),
  });
  await expect(readTorrent('-', undefined, inParts(TORRENT.subarray(0, 40)))).rejects.toMatchObject({
    code: 'INVALID_TORRENT',
    message: expect.stringMatching(/^standard input: invalid torrent: /),
  });
});

test('input without an end is read no further than it can be a torrent', async () => {
  let parts = 0;
  const endless = (first: string) => () =>
    Readable.from(
      (function* () {
        yield Buffer.from(first);
        for (;;) {
          parts++;
          yield Buffer.alloc(8 * 2 ** 20, 0x30);
        }
      })(),
    );
  await expect(readTorrent('-', undefined, endless('no'))).rejects.toThrow('not a torrent: starts with `no`');
  expect(parts).toBeLessThan(10);
  parts = 0;
  await expect(readTorrent('-', undefined, endless('d'))).rejects.toThrow('expected at most 134217728 bytes');
  expect(parts).toBeLessThan(40);
});

test('reading ends when it is told to', async () => {
  const never = () => new Readable({ read: () => {} });
  await expect(readTorrent('-', AbortSignal.timeout(10), never)).rejects.toMatchObject({ code: 'LOCAL_IO' });
});

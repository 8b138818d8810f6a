import { execFileSync } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTorrentFile } from '../../../src/storage/torrent-source.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';
import { smallTorrent } from '../../helpers/small-torrent.js';

async function written(bytes: Uint8Array): Promise<string> {
  const path = join(await temporaryFolder(), 'a.torrent');
  await writeFile(path, bytes);
  return path;
}

describe('a .torrent file', () => {
  // More and fewer bytes than are read at once.
  it.each([1, 10_000])('of %d pieces is read', async (pieces) => {
    const torrent = smallTorrent(pieces, 1);
    const metainfo = readTorrentFile(await written(torrent.bytes));
    expect(Buffer.from(metainfo.infohash)).toEqual(torrent.infohash);
    expect(torrent.hashes.equals(metainfo.pieceHashes)).toBe(true);
  });

  it('read before is not changed by the next one', async () => {
    const [first, second] = [
      smallTorrent(1, 16_384, { name: 'one' }),
      smallTorrent(99, 16_384, { name: 'two', seed: 2 }),
    ];
    const metainfo = readTorrentFile(await written(first.bytes));
    readTorrentFile(await written(second.bytes));
    expect(metainfo.name).toBe('one');
    expect(Buffer.from(metainfo.pieceHashes)).toEqual(first.hashes);
    expect(Buffer.from(metainfo.info)).toEqual(first.bytes.subarray(first.bytes.indexOf('4:info') + 6, -1));
  });

  it('that is none is refused with its path', async () => {
    const path = await written(Buffer.from('<html>'));
    expect(() => readTorrentFile(path)).toThrow(`${path}: not a torrent: starts with \`<html>\``);
    const cut = await written(smallTorrent(1, 16_384).bytes.subarray(0, 40));
    expect(() => readTorrentFile(cut)).toThrow(`${cut}: invalid torrent: `);
    const empty = await written(Buffer.alloc(0));
    expect(() => readTorrentFile(empty)).toThrow('found no bytes at all');
  });

  it('that is a large file of another kind is not read to its end', async () => {
    const path = await written(Buffer.from('MZ'));
    await truncate(path, 2 ** 40);
    expect(() => readTorrentFile(path)).toThrow('not a torrent: starts with `MZ`');
  });

  it('is refused at once where there is none, or a folder, or a pipe', async () => {
    const folder = await temporaryFolder();
    const says = (found: string) => ({ code: 'INVALID_TORRENT', message: expect.stringContaining(found) });
    expect(() => readTorrentFile(join(folder, 'none'))).toThrow(
      expect.objectContaining(says('expected a .torrent file, but there is no such file')),
    );
    expect(() => readTorrentFile(folder)).toThrow(expect.objectContaining(says('but it is a folder')));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    expect(() => readTorrentFile(join(folder, 'pipe'))).toThrow(
      expect.objectContaining(says('but it is no regular file')),
    );
  });
});

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { check, readAgain } from '../../../src/batch/check.js';
import { type Checked, isRefused } from '../../../src/batch/entry.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';
import { oddTorrent } from '../../helpers/odd-torrent.js';
import { smallTorrent } from '../../helpers/small-torrent.js';

const place = { file: 'list.txt', line: 1 };
const torrent = smallTorrent(100_000, 16_384, { name: 'a.iso' });

async function written(bytes: Uint8Array, name = 'a.torrent'): Promise<string> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, bytes);
  return path;
}

describe('an entry', () => {
  it('is checked: a small record of what its torrent says', async () => {
    const source = await written(torrent.bytes);
    const item = check({ place, source, id: '7' });
    expect(item).toEqual({
      entry: { place, source, id: '7' },
      infohash: torrent.infohash.toString('hex'),
      name: 'a.iso',
      length: 100_000,
      pieceLength: 16_384,
    });
    expect(JSON.stringify(item).length).toBeLessThan(1000);
  });

  it('with a choice of files has their length', async () => {
    const files = [1, 20, 300].map((length, i) => ({ path: [`f${i}`], length }));
    const source = await written(oddTorrent(files).bytes);
    const lengthOf = (...select: [number, number][]) => (check({ place, source, select }) as Checked).length;
    expect(lengthOf([1, 1], [3, 3])).toBe(301);
    expect(lengthOf([2, Number.POSITIVE_INFINITY])).toBe(320);
    expect(lengthOf([1, 3])).toBe(321);
    expect(check({ place, source, select: [[4, 4]] })).toMatchObject({
      place,
      entry: { source },
      error: {
        code: 'INVALID_TORRENT',
        message: `${source}: \`select\`: expected files of the torrent, 1 to 3 as \`info\` lists them, got 4`,
      },
    });
  });

  it.each([
    ['magnet:?xt=urn:btih:0123', 'magnet links are not supported yet'],
    ['https://example.org/a.torrent', 'URLs of torrents are not supported yet'],
    ['a'.repeat(40), 'bare infohashes are not supported yet'],
    ['none.torrent', 'expected a .torrent file, but there is no such file'],
  ])('%s is refused with itself', (source, why) => {
    const item = check({ place, source, id: '7' });
    expect(item).toMatchObject({ place, source, entry: { source, id: '7' }, error: { code: 'INVALID_TORRENT' } });
    expect((item as { error: Error }).error.message).toContain(why);
  });

  it('that is no torrent is refused', async () => {
    const source = await written(Buffer.from('<html>'));
    expect(check({ place, source })).toMatchObject({
      error: { code: 'INVALID_TORRENT', message: expect.stringContaining(`${source}: not a torrent`) },
    });
  });
});

describe('a relative path of a list', () => {
  it('is one from the working directory, and failing that from the folder of the list', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'sub'));
    await writeFile(join(folder, 'sub', 'a.torrent'), torrent.bytes);
    const fromHere = relative(process.cwd(), join(folder, 'sub', 'a.torrent'));
    expect(check({ place, source: fromHere }, '/nowhere')).toMatchObject({ entry: { source: fromHere } });
    // As it is found it is kept: it is read again, and may be listed elsewhere.
    expect(check({ place, source: 'sub/a.torrent' }, folder)).toMatchObject({
      entry: { source: join(folder, 'sub', 'a.torrent') },
    });
    const missing = check({ place, source: 'b.torrent' }, folder);
    expect(missing).toMatchObject({ source: 'b.torrent', entry: { source: 'b.torrent' } });
    expect((missing as { error: Error }).error.message).toBe(
      `cannot read b.torrent: expected a .torrent file, but it is neither in the working directory nor in ${folder}, where the list is`,
    );
  });

  it('that leads to no sound torrent in the folder of the list is refused by its path there', async () => {
    const folder = await temporaryFolder();
    const source = join(folder, 'cut.torrent');
    await writeFile(source, torrent.bytes.subarray(0, -1));
    // So that it can be given again from the same working directory.
    expect(check({ place, source: 'cut.torrent', id: '7' }, folder)).toMatchObject({
      source,
      entry: { source, id: '7' },
      error: { code: 'INVALID_TORRENT', message: expect.stringContaining(`${source}: invalid torrent`) },
    });
  });

  it('that leads to something else here is not looked for there', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'src'), torrent.bytes);
    expect(check({ place, source: 'src' }, folder)).toMatchObject({
      error: { message: 'cannot read src: expected a .torrent file, but it is a folder' },
    });
    await writeFile(join(folder, 'package.json'), torrent.bytes);
    expect(isRefused(check({ place, source: 'package.json' }, folder))).toBe(true);
  });
});

describe('an item that starts', () => {
  it('has its torrent read again', async () => {
    const item = check({ place, source: await written(torrent.bytes) }) as Checked;
    expect(Buffer.from(readAgain(item).pieceHashes)).toEqual(torrent.hashes);
  });

  it('is refused when the file is another torrent now, or gone', async () => {
    const source = await written(torrent.bytes);
    const item = check({ place, source }) as Checked;
    const other = smallTorrent(5, 16_384);
    await writeFile(source, other.bytes);
    expect(() => readAgain(item)).toThrow(
      expect.objectContaining({
        code: 'INVALID_TORRENT',
        message: `${source} was replaced: expected the torrent ${item.infohash}, found ${other.infohash.toString('hex')}`,
      }),
    );
    await rm(source);
    expect(() => readAgain(item)).toThrow('there is no such file');
  });
});

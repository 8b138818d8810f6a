import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Disk } from '../../../src/storage/disk.js';
import { FolderFlushes } from '../../../src/storage/folder-flush.js';
import { ResumeStore } from '../../../src/storage/resume-store.js';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import { Geometry } from '../../../src/torrent/geometry.js';
import { RecordingDisk } from '../../helpers/fs-disk.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const shape = {
  infohash: Buffer.alloc(20, 1),
  geometry: new Geometry({ length: 80, pieceLength: 10 }),
  fileCount: 1,
};
const stateOf = (...pieces: number[]) => {
  const have = new Bitfield(8);
  for (const piece of pieces) have.set(piece);
  return { have, files: [{ size: 80n, mtimeNs: 5n }], partials: new Map() };
};

async function opened() {
  const folder = join(await temporaryFolder(), 'a', 'b');
  const disk = new RecordingDisk();
  const path = join(folder, 'x.resume');
  return { folder, disk, path, store: new ResumeStore(path, shape, disk, new FolderFlushes(disk)) };
}

it('is replaced as a whole: written, flushed, closed, renamed, and the folder flushed', async () => {
  const { store, disk, folder, path } = await opened();
  await store.save(stateOf(1));
  expect(disk.calls[0]).toMatchObject({ name: 'open', path: `${path}.new` });
  expect(disk.named('mkdir').at(-1)?.path).toBe(folder);
  const made = disk.calls.findLastIndex(({ name }) => name === 'mkdir');
  const order = disk.calls.slice(made + 1).map(({ name, path: at }) => `${name} ${at.slice(folder.length)}`);
  expect(order).toEqual([
    'open /x.resume.new',
    'writev /x.resume.new',
    'fsync /x.resume.new',
    'close /x.resume.new',
    'rename /x.resume',
    'open ',
    'fsync ',
    'close ',
  ]);
  expect([...(await store.load())!.have]).toEqual([1]);
  disk.calls.length = 0;
  await store.save(stateOf(1));
  expect(disk.named('mkdir')).toEqual([]);
  expect(readdirSync(folder)).toEqual(['x.resume']);
  expect(readFileSync(path).length).toBeGreaterThan(0);
});

it.each(['open', 'writev', 'fsync', 'close', 'rename'] as const)(
  'is the old one when %s fails',
  async (name: keyof Disk) => {
    const { store, disk } = await opened();
    await store.save(stateOf(1));
    disk.intervene = (call) => (call.name === name ? 'ENOSPC' : undefined);
    await expect(store.save(stateOf(1, 2))).rejects.toMatchObject({ code: 'DISK_FULL' });
    disk.intervene = () => undefined;
    expect([...(await store.load())!.have]).toEqual([1]);
    await store.save(stateOf(1, 2));
    expect([...(await store.load())!.have]).toEqual([1, 2]);
  },
);

it('is written whole by writes that stop short', async () => {
  const { store, disk } = await opened();
  disk.intervene = (call) => (call.name === 'writev' || call.name === 'readv' ? 7 : undefined);
  await store.save(stateOf(3));
  expect([...(await store.load())!.have]).toEqual([3]);
});

it('is absent where there is none', async () => {
  expect(await (await opened()).store.load()).toBeUndefined();
});

it.each([
  ['cut', (path: string) => truncateSync(path, 20)],
  ['empty', (path: string) => truncateSync(path, 0)],
  ['far too long', (path: string) => truncateSync(path, 2 ** 40)],
  ['of other bytes', (path: string) => writeFileSync(path, 'anything')],
])('that is %s is said to be damaged', async (_, damage) => {
  const { store, path } = await opened();
  await store.save(stateOf(1));
  damage(path);
  await expect(store.load()).rejects.toMatchObject({
    code: 'LOCAL_IO',
    message: expect.stringContaining('is damaged'),
  });
});

it('that is a folder is no state', async () => {
  const { store, path } = await opened();
  mkdirSync(path, { recursive: true });
  await expect(store.load()).rejects.toMatchObject({ code: 'LOCAL_IO' });
});

it('that is read counts as used today', async () => {
  const { store, path } = await opened();
  await store.save(stateOf(1));
  utimesSync(path, 1_000, 1_000);
  await store.load();
  await expect.poll(() => Date.now() - statSync(path).mtimeMs).toBeLessThan(60_000);
});

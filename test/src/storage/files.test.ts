import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpateError } from '../../../src/errors.js';
import { FileStore } from '../../../src/storage/files.js';
import type { FileEntry } from '../../../src/storage/layout.js';
import { OpenFiles } from '../../../src/storage/open-files.js';
import { gate, RecordingDisk } from '../../helpers/fs-disk.js';
import {
  anyTable,
  bytesOnDisk,
  contentOf,
  cut,
  filesBelow,
  lengthOf,
  pathOf,
  table,
  writeAll,
} from '../../helpers/fs-table.js';
import { inTemporaryFolder, temporaryFolder } from '../../helpers/fs-temp.js';

interface Setup {
  readonly root: string;
  readonly files: readonly FileEntry[];
  readonly limit?: number;
  readonly readonly?: boolean;
}

function setUp({ root, files, limit = 128, readonly = false }: Setup): { disk: RecordingDisk; store: FileStore } {
  const disk = new RecordingDisk();
  return { disk, store: new FileStore({ root, files, readonly, openFiles: new OpenFiles(limit, disk) }) };
}

async function failure(work: Promise<unknown>): Promise<SpateError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SpateError);
  return error as SpateError;
}

/** A view whose buffer has gone to another thread. */
function detached(length: number): Uint8Array {
  const view = new Uint8Array(length);
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

const anyCuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 10 });

describe('writing', () => {
  it('puts every byte in its place, in any order, through any partial writes, with any number of descriptors', async () => {
    const limits = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(anyTable, anyCuts, anyCuts, fc.nat(), limits, async (files, cuts, viewCuts, seed, moves) => {
        await inTemporaryFolder(async (root) => {
          const { disk, store } = setUp({ root, files, limit: 1 + (seed % 3) });
          disk.intervene = ({ name }) => (name === 'writev' ? moves[disk.calls.length % moves.length] : undefined);
          const content = contentOf(files, seed);
          // The order is as good as random, and several are under way at a time.
          const ranges = cut(content.length, cuts).sort(
            ([a], [b]) => ((a * 7919 + seed) % 101) - ((b * 7919 + seed) % 101),
          );
          await store.prepare();
          await Promise.all(
            ranges.map(([begin, end]) => {
              const views = cut(end - begin, viewCuts).map(([from, to]) => content.slice(begin + from, begin + to));
              return store.write(begin, views);
            }),
          );
          const back = new Uint8Array(content.length).fill(0xaa);
          await store.readInto(
            0,
            cut(back.length, viewCuts).map(([from, to]) => back.subarray(from, to)),
          );
          await store.close();
          expect(Buffer.from(back).equals(content)).toBe(true);
          expect(disk.openCount).toBe(0);
          const onDisk = files.filter(({ pad }) => !pad);
          expect(filesBelow(root)).toEqual(onDisk.map(({ path }) => join(...path)).sort());
          for (const file of onDisk) {
            expect(bytesOnDisk(root, file)).toEqual(content.slice(file.offset, file.offset + file.length));
          }
        });
      }),
      { numRuns: 60 },
    );
  });

  it('takes adjacent views as one writev per file', async () => {
    const root = await temporaryFolder();
    const { disk, store } = setUp({ root, files: table(10, 10) });
    const content = contentOf(table(10, 10));
    await store.write(2, [content.subarray(2, 5), content.subarray(5, 12), content.subarray(12, 16)]);
    // Two files are written at once: whichever was opened first begins.
    const calls = disk.named('writev').toSorted((a, b) => (a.path < b.path ? -1 : 1));
    expect(calls).toEqual([
      { name: 'writev', path: join(root, 'd0', 'f0'), position: 2, lengths: [3, 5] },
      { name: 'writev', path: join(root, 'd1', 'f1'), position: 0, lengths: [2, 4] },
    ]);
    await store.close();
  });

  it('makes folders and files no sooner than they are written to', async () => {
    const root = join(await temporaryFolder(), 'not', 'yet');
    const { store } = setUp({ root, files: table(4, 4) });
    expect(existsSync(root)).toBe(false);
    await store.write(4, [Uint8Array.of(1, 2, 3, 4)]);
    expect(readdirSync(root)).toEqual(['d1']);
    expect([...readFileSync(join(root, 'd1', 'f1'))]).toEqual([1, 2, 3, 4]);
    await store.close();
  });

  it('asks for each folder once', async () => {
    const root = await temporaryFolder();
    const files = table(...Array.from({ length: 30 }, (_, i) => ({ length: 1, path: ['a', 'b', `${i}`] })));
    const { disk, store } = setUp({ root, files });
    await Promise.all(files.map((file) => store.write(file.offset, [Uint8Array.of(1)])));
    expect(disk.named('mkdir').map(({ path }) => path)).toEqual([join(root, 'a'), join(root, 'a', 'b')]);
    await store.close();
  });

  it('gives a file its length with the first byte, the rest being zeros', async () => {
    const root = await temporaryFolder();
    const { store } = setUp({ root, files: table(9) });
    await store.write(3, [Uint8Array.of(7)]);
    expect([...readFileSync(join(root, 'd0', 'f0'))]).toEqual([0, 0, 0, 7, 0, 0, 0, 0, 0]);
    await store.close();
  });

  it('keeps what a file holds, lengthens a shorter one and cuts a longer one', async () => {
    const root = await temporaryFolder();
    const files = table(4, 6, 3);
    writeAll(root, table(4, 3, 5), Uint8Array.of(1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3));
    const { store } = setUp({ root, files });
    for (const offset of [0, 4, 10]) await store.write(offset, [Uint8Array.of(9)]);
    await store.close();
    expect(files.map((file) => [...bytesOnDisk(root, file)!])).toEqual([
      [9, 1, 1, 1],
      [9, 2, 2, 0, 0, 0],
      [9, 3, 3],
    ]);
  });

  it('makes the root and the zero-length files when prepared, and no pad', async () => {
    const root = join(await temporaryFolder(), 'new');
    const { store } = setUp({
      root,
      files: table(0, { length: 0, pad: true }, 5, 0, { length: 0, path: ['deep', 'er', 'x'] }),
    });
    await store.prepare();
    expect(statSync(join(root, 'd0', 'f0')).size).toBe(0);
    expect(statSync(join(root, 'deep', 'er', 'x')).size).toBe(0);
    expect(readdirSync(root).sort()).toEqual(['d0', 'deep']);
    expect(readdirSync(join(root, 'd0')).sort()).toEqual(['f0', 'f3']);
    await store.close();
  });

  it('leaves a file alone that has bytes and shall be empty', async () => {
    const root = await temporaryFolder();
    const files = table(0, 4);
    mkdirSync(join(root, 'd0'));
    writeFileSync(pathOf(root, files[0]!), 'notes');
    const { store } = setUp({ root, files, limit: 1 });
    await store.prepare();
    await store.write(0, [new Uint8Array(4)]);
    await store.prepare();
    expect(readFileSync(pathOf(root, files[0]!), 'utf8')).toBe('notes');
    await store.close();
  });

  it('makes the root when there is nothing else to make', async () => {
    const root = join(await temporaryFolder(), 'new');
    const { store } = setUp({ root, files: table(5) });
    await store.prepare();
    expect(readdirSync(root)).toEqual([]);
    await store.close();
  });

  it('ends when the system takes no byte', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(4) });
    disk.intervene = ({ name }) => (name === 'writev' ? 0 : undefined);
    const error = await failure(store.write(0, [new Uint8Array(4)]));
    expect(error.code).toBe('LOCAL_IO');
    expect(error.message).toContain('expected 4 bytes at 0, none was taken');
    await store.close();
  });

  it('refuses a buffer that was transferred away before', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(4, 4) });
    for (const views of [[detached(4)], [new Uint8Array(2), detached(2)]]) {
      expect((await failure(store.write(0, views))).code).toBe('INTERNAL');
    }
    expect(disk.named('writev')).toEqual([]);
    await store.close();
  });

  it('refuses a buffer that is transferred away while its file is being opened', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(4) });
    const { opened, open } = gate();
    disk.intervene = ({ name }) => (name === 'open' ? opened : undefined);
    const view = new Uint8Array(4);
    const writing = failure(store.write(0, [view]));
    structuredClone(view.buffer, { transfer: [view.buffer] });
    open();
    const error = await writing;
    expect(error.code).toBe('INTERNAL');
    expect(error.message).toContain(join('d0', 'f0'));
    expect(disk.named('writev')).toEqual([]);
    await store.close();
  });

  it('refuses a buffer that is transferred away between two parts of a write', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(4, 4), limit: 1 });
    const view = new Uint8Array(8);
    disk.intervene = ({ name, path }) => {
      if (name === 'open' && path.endsWith('f1')) structuredClone(view.buffer, { transfer: [view.buffer] });
      return undefined;
    };
    expect((await failure(store.write(0, [view]))).code).toBe('INTERNAL');
    expect(disk.named('writev').map(({ path }) => path.at(-1))).toEqual(['0']);
    await store.close();
  });

  it.each([
    [-1, 1],
    [7, 2],
    [8, 1],
  ])('refuses a range outside of the torrent: %d with %d bytes', async (offset, length) => {
    const { store } = setUp({ root: await temporaryFolder(), files: table(4, 4) });
    expect((await failure(store.write(offset, [new Uint8Array(length)]))).code).toBe('INTERNAL');
    expect((await failure(store.readInto(offset, [new Uint8Array(length)]))).code).toBe('INTERNAL');
    await store.close();
  });
});

describe('reading', () => {
  it('fills any views from any offset, pads as zeros', async () => {
    await fc.assert(
      fc.asyncProperty(anyTable, anyCuts, fc.nat(), fc.nat(), async (files, cuts, a, b) => {
        await inTemporaryFolder(async (root) => {
          const content = contentOf(files, a);
          writeAll(root, files, content);
          const { disk, store } = setUp({ root, files, limit: 2, readonly: true });
          disk.intervene = ({ name }) => (name === 'readv' && b % 2 === 0 ? 1 + (disk.calls.length % 50) : undefined);
          const offset = a % content.length;
          const length = b % (content.length - offset + 1);
          const target = new Uint8Array(length).fill(0xaa);
          await store.readInto(
            offset,
            length === 0 ? [] : cut(length, cuts).map(([from, to]) => target.subarray(from, to)),
          );
          expect(Buffer.from(target).equals(content.subarray(offset, offset + length))).toBe(true);
          await store.close();
        });
      }),
      { numRuns: 60 },
    );
  });

  it('names the file that is short, and what was expected', async () => {
    const root = await temporaryFolder();
    const files = table(4, 10);
    writeAll(root, table(4, 6), new Uint8Array(10));
    const { store } = setUp({ root, files, readonly: true });
    const error = await failure(store.readInto(2, [new Uint8Array(12)]));
    expect(error.code).toBe('LOCAL_IO');
    expect(error.message).toBe(
      `cannot read ${join(root, 'd1', 'f1')}: expected 4 bytes at 6, found the end of the file`,
    );
    await store.close();
  });

  it.each([true, false])('makes no file, cuts none and lengthens none (readonly: %s)', async (readonly) => {
    const root = await temporaryFolder();
    const files = table(4, 4, 4);
    writeAll(root, table(6, 2), new Uint8Array(8).fill(5));
    const { disk, store } = setUp({ root, files, readonly });
    await store.readInto(0, [new Uint8Array(4)]);
    await failure(store.readInto(4, [new Uint8Array(4)]));
    const error = await failure(store.readInto(8, [new Uint8Array(4)]));
    expect(error.code).toBe('LOCAL_IO');
    expect(error.message).toContain(join(root, 'd2'));
    expect(statSync(pathOf(root, files[0]!)).size).toBe(6);
    expect(statSync(pathOf(root, files[1]!)).size).toBe(2);
    expect(bytesOnDisk(root, files[2]!)).toBeUndefined();
    expect(disk.named('ftruncate')).toEqual([]);
    await store.close();
  });

  it('finds a file that has come into being since it was last missed', async () => {
    const root = join(await temporaryFolder(), 'later');
    const files = table(3);
    const { store } = setUp({ root, files, readonly: true });
    const target = new Uint8Array(3);
    await failure(store.readInto(0, [target]));
    writeAll(root, files, Uint8Array.of(1, 2, 3));
    await store.readInto(0, [target]);
    expect([...target]).toEqual([1, 2, 3]);
    await store.close();
  });

  it('sees what was written through the same store', async () => {
    const { store } = setUp({ root: await temporaryFolder(), files: table(3, 3), limit: 1 });
    await store.write(1, [Uint8Array.of(1, 2, 3, 4)]);
    const target = new Uint8Array(6);
    await store.readInto(0, [target]);
    expect([...target]).toEqual([0, 1, 2, 3, 4, 0]);
    await store.close();
  });

  it('refuses a buffer that was transferred away', async () => {
    const { store } = setUp({ root: await temporaryFolder(), files: table(4), readonly: true });
    expect((await failure(store.readInto(0, [detached(4)]))).code).toBe('INTERNAL');
    await store.close();
  });

  it('is all that a read-only store does', async () => {
    const root = await temporaryFolder();
    const { disk, store } = setUp({ root, files: table(4, 0), readonly: true });
    expect((await failure(store.write(0, [new Uint8Array(1)]))).code).toBe('INTERNAL');
    expect((await failure(store.prepare())).code).toBe('INTERNAL');
    expect(disk.calls).toEqual([]);
    await store.close();
  });
});

describe('what is in the way', () => {
  const files = table({ length: 4, path: ['a', 'b', 'f'] });
  const both = ['write', 'readInto'] as const;

  it.each(both)('refuses a symlink as the file: %s', async (operation) => {
    const root = await temporaryFolder();
    const target = join(await temporaryFolder(), 'precious');
    writeFileSync(target, 'precious');
    mkdirSync(join(root, 'a', 'b'), { recursive: true });
    symlinkSync(target, join(root, 'a', 'b', 'f'));
    const { store } = setUp({ root, files });
    const error = await failure(store[operation](0, [new Uint8Array(4)]));
    expect(error.code).toBe('LOCAL_IO');
    expect(error.message).toBe(
      `cannot open ${join(root, 'a', 'b', 'f')}: it is a symbolic link, which is never followed`,
    );
    expect(readFileSync(target, 'utf8')).toBe('precious');
    await store.close();
  });

  it.each(both)('refuses a folder that leads out of the root: %s', async (operation) => {
    const root = await temporaryFolder();
    const elsewhere = await temporaryFolder();
    mkdirSync(join(elsewhere, 'b'));
    writeFileSync(join(elsewhere, 'b', 'f'), 'precious');
    symlinkSync(elsewhere, join(root, 'a'));
    const { disk, store } = setUp({ root, files });
    const error = await failure(store[operation](0, [new Uint8Array(4)]));
    expect(error.code).toBe('LOCAL_IO');
    expect(error.message).toContain(`cannot use folder ${join(root, 'a')}`);
    expect(error.message).toContain(elsewhere);
    expect(readFileSync(join(elsewhere, 'b', 'f'), 'utf8')).toBe('precious');
    expect(disk.named('open')).toEqual([]);
    await store.close();
  });

  it('refuses a root whose name merely begins alike', async () => {
    const parent = await temporaryFolder();
    for (const name of ['root', 'root2']) mkdirSync(join(parent, name));
    symlinkSync(join(parent, 'root2'), join(parent, 'root', 'a'));
    const { store } = setUp({ root: join(parent, 'root'), files });
    expect((await failure(store.write(0, [new Uint8Array(4)]))).code).toBe('LOCAL_IO');
    expect(readdirSync(join(parent, 'root2'))).toEqual([]);
    await store.close();
  });

  it('refuses a symlink to nothing as a folder', async () => {
    const root = await temporaryFolder();
    symlinkSync(join(root, '..', 'spate-no-such-folder'), join(root, 'a'));
    const { store } = setUp({ root, files });
    expect((await failure(store.write(0, [new Uint8Array(4)]))).message).toContain(join(root, 'a'));
    await store.close();
  });

  it('never leaves the root by way of `..`, should a path hold one', async () => {
    const parent = await temporaryFolder();
    const { store } = setUp({ root: join(parent, 'root'), files: table({ length: 4, path: ['..', 'f'] }) });
    expect((await failure(store.write(0, [new Uint8Array(4)]))).code).toBe('LOCAL_IO');
    expect(readdirSync(parent)).toEqual(['root']);
    await store.close();
  });

  it('follows a symlink that stays inside the root, and one that is the root', async () => {
    const parent = await temporaryFolder();
    mkdirSync(join(parent, 'real', 'store'), { recursive: true });
    symlinkSync(join(parent, 'real'), join(parent, 'root'));
    symlinkSync('store', join(parent, 'real', 'a'));
    const { store } = setUp({ root: join(parent, 'root'), files });
    await store.write(0, [Uint8Array.of(1, 2, 3, 4)]);
    expect([...readFileSync(join(parent, 'real', 'store', 'b', 'f'))]).toEqual([1, 2, 3, 4]);
    await store.close();
  });

  it.each(both)('names a folder where a file should be: %s', async (operation) => {
    const root = await temporaryFolder();
    mkdirSync(join(root, 'a', 'b', 'f'), { recursive: true });
    const { disk, store } = setUp({ root, files });
    const error = await failure(store[operation](0, [new Uint8Array(4)]));
    expect(error.code).toBe('LOCAL_IO');
    expect(error.message).toContain(`cannot open ${join(root, 'a', 'b', 'f')}`);
    expect(disk.openCount).toBe(0);
    await store.close();
  });

  it.each(both)('names a file where a folder should be: %s', async (operation) => {
    const root = await temporaryFolder();
    writeFileSync(join(root, 'a'), '');
    const { store } = setUp({ root, files });
    const error = await failure(store[operation](0, [new Uint8Array(4)]));
    expect(error.code).toBe('LOCAL_IO');
    expect(error.message).toContain(join(root, 'a'));
    await store.close();
  });

  it.each(both)('does not wait for the other end of a pipe: %s', async (operation) => {
    const root = await temporaryFolder();
    mkdirSync(join(root, 'a', 'b'), { recursive: true });
    execFileSync('mkfifo', [join(root, 'a', 'b', 'f')]);
    const { store } = setUp({ root, files });
    const error = await failure(store[operation](0, [new Uint8Array(4)]));
    expect(error.message).toContain(join(root, 'a', 'b', 'f'));
    await store.close();
  });

  it.each([
    ['mkdir', 'EACCES', 'LOCAL_IO', 'd0'],
    ['mkdir', 'ENOSPC', 'DISK_FULL', 'd0'],
    ['open', 'EACCES', 'LOCAL_IO', join('d0', 'f0')],
    ['open', 'EMFILE', 'LOCAL_IO', join('d0', 'f0')],
    ['fstat', 'EIO', 'LOCAL_IO', join('d0', 'f0')],
    ['ftruncate', 'EFBIG', 'LOCAL_IO', join('d0', 'f0')],
    ['writev', 'EIO', 'LOCAL_IO', join('d0', 'f0')],
    ['writev', 'ENOSPC', 'DISK_FULL', join('d0', 'f0')],
    ['writev', 'EDQUOT', 'DISK_FULL', join('d0', 'f0')],
  ] as const)('reports %s failing with %s as %s and names the path', async (name, errno, code, path) => {
    const root = await temporaryFolder();
    const { disk, store } = setUp({ root, files: table(4) });
    disk.intervene = (call) => (call.name === name && call.path === join(root, path) ? errno : undefined);
    if (name === 'mkdir') disk.intervene = (call) => (call.name === name && call.path !== root ? errno : undefined);
    const error = await failure(store.write(0, [new Uint8Array(4)]));
    expect(error.code).toBe(code);
    expect(error.message).toContain(join(root, path));
    expect(error.message).toContain(errno);
    expect((error.cause as NodeJS.ErrnoException).code).toBe(errno);
    await store.close();
    expect(disk.openCount).toBe(0);
  });

  it('reports a disk that fills in the middle of a write', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(100) });
    disk.intervene = ({ name }) => (name !== 'writev' ? undefined : disk.named('writev').length > 2 ? 'ENOSPC' : 30);
    expect((await failure(store.write(0, [new Uint8Array(100)]))).code).toBe('DISK_FULL');
    expect(disk.named('writev').map(({ position }) => position)).toEqual([0, 30, 60]);
    await store.close();
  });

  it('reports a read that fails', async () => {
    const root = await temporaryFolder();
    const files = table(4);
    writeAll(root, files, new Uint8Array(4));
    const { disk, store } = setUp({ root, files, readonly: true });
    disk.intervene = ({ name }) => (name === 'readv' ? 'EIO' : undefined);
    const error = await failure(store.readInto(0, [new Uint8Array(4)]));
    expect(error.message).toContain(`cannot read ${join(root, 'd0', 'f0')}: EIO`);
    await store.close();
  });

  it('tries again after an open that failed', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(4), limit: 1 });
    disk.intervene = ({ name }) => (name === 'open' ? 'EMFILE' : undefined);
    await Promise.all([1, 2, 3].map(() => failure(store.write(0, [new Uint8Array(4)]))));
    disk.intervene = () => undefined;
    await store.write(0, [new Uint8Array(4)]);
    await store.close();
  });
});

describe('open descriptors', () => {
  it('stay within the limit whatever is under way, and all bytes arrive', async () => {
    const root = await temporaryFolder();
    const files = table(...Array.from({ length: 50 }, () => 100));
    const content = contentOf(files);
    const { disk, store } = setUp({ root, files, limit: 2 });
    await Promise.all(
      cut(content.length, [0.1, 0.25, 0.33, 0.5, 0.71, 0.9]).map(([begin, end]) =>
        store.write(begin, [content.subarray(begin, end)]),
      ),
    );
    const back = new Uint8Array(content.length);
    await Promise.all(
      files.map(({ offset, length }) => store.readInto(offset, [back.subarray(offset, offset + length)])),
    );
    expect(Buffer.from(back).equals(content)).toBe(true);
    expect(disk.maxOpen).toBe(2);
    await store.close();
    expect(disk.openCount).toBe(0);
  });

  it('are reused while they are open', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(4, 4), limit: 2 });
    for (const offset of [0, 4, 1, 5, 2, 6]) await store.write(offset, [Uint8Array.of(1)]);
    expect(disk.named('open')).toHaveLength(2);
    expect(disk.named('ftruncate')).toHaveLength(2);
    await store.close();
  });

  it('go by least recent use', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(1, 1, 1), limit: 2 });
    for (const offset of [0, 1, 0, 2]) await store.write(offset, [Uint8Array.of(1)]);
    expect(disk.named('close').map(({ path }) => path.at(-1))).toEqual(['1']);
    await store.close();
  });

  it('are never of a file that has taken the place of one that was written', async () => {
    const root = await temporaryFolder();
    const files = table(4, 4);
    const path = pathOf(root, files[0]!);
    const { store } = setUp({ root, files, limit: 1 });
    for (const offset of [0, 4]) await store.write(offset, [Uint8Array.of(1)]);
    renameSync(path, `${path}.moved`);
    writeFileSync(path, 'else');
    expect((await failure(store.write(1, [Uint8Array.of(2)]))).message).toContain(`cannot open ${path}: it changed`);
    expect(readFileSync(path, 'utf8')).toBe('else');
    await store.close();
  });

  it('may be of a file that a FAT has numbered anew since it was closed', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(4, 4), limit: 1 });
    let number = 0n;
    const fstat = disk.fstat;
    const numbered: typeof fstat = (fd, done) =>
      fstat(fd, (error, facts) => done(error, Object.assign(facts, { ino: number })));
    Object.assign(disk, { fstat: numbered });
    for (const offset of [0, 4, 1, 5]) {
      number++;
      await store.write(offset, [Uint8Array.of(1)]);
    }
    await store.close();
  });

  it('are opened once by operations that begin together', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(4) });
    await Promise.all([0, 1, 2, 3].map((offset) => store.write(offset, [Uint8Array.of(1)])));
    expect(disk.named('open')).toHaveLength(1);
    await store.close();
  });

  it('are not closed while an operation is in flight: the next one waits', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(1, 1), limit: 1 });
    const { opened, open } = gate();
    disk.intervene = ({ name, path }) => (name === 'writev' && path.endsWith('f0') ? opened : undefined);
    const first = store.write(0, [Uint8Array.of(1)]);
    const second = store.write(1, [Uint8Array.of(2)]);
    while (disk.named('writev').length === 0) await new Promise(setImmediate);
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    expect(disk.named('open')).toHaveLength(1);
    expect(disk.named('close')).toEqual([]);
    open();
    await Promise.all([first, second]);
    expect(disk.maxOpen).toBe(1);
    await store.close();
  });

  it('are there for the operation that waits when the one before it cannot open its file', async () => {
    const root = await temporaryFolder();
    const { disk, store } = setUp({ root, files: table(1, 1), limit: 1 });
    disk.intervene = ({ name, path }) => (name === 'open' && path.endsWith('f0') ? 'EACCES' : undefined);
    const first = failure(store.write(0, [Uint8Array.of(1)]));
    await Promise.all([first, store.write(1, [Uint8Array.of(2)])]);
    await store.close();
  });

  it('are there for the operation that waits when a store lets go of its own', async () => {
    const disk = new RecordingDisk();
    const openFiles = new OpenFiles(1, disk);
    const files = table(1);
    const leaving = new FileStore({ root: await temporaryFolder(), files, openFiles });
    const staying = new FileStore({ root: await temporaryFolder(), files, openFiles });
    await leaving.write(0, [Uint8Array.of(1)]);
    const { opened, open } = gate();
    disk.intervene = ({ name }) => (name === 'close' ? opened : undefined);
    const closing = leaving.close();
    while (disk.named('close').length === 0) await new Promise(setImmediate);
    const writing = staying.write(0, [Uint8Array.of(1)]);
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    expect(disk.named('open')).toHaveLength(1);
    open();
    await Promise.all([closing, writing]);
    expect(disk.maxOpen).toBe(1);
    await staying.close();
  });

  it('are shared by the stores of a thread', async () => {
    const disk = new RecordingDisk();
    const openFiles = new OpenFiles(3, disk);
    const files = table(1, 1, 1, 1);
    const stores = await Promise.all(
      [1, 2, 3].map(async () => new FileStore({ root: await temporaryFolder(), files, openFiles })),
    );
    await Promise.all(stores.flatMap((store) => [0, 1, 2, 3].map((offset) => store.write(offset, [Uint8Array.of(1)]))));
    expect(disk.maxOpen).toBe(3);
    await Promise.all(stores.map((store) => store.close()));
    expect(disk.openCount).toBe(0);
  });

  it('that cannot be closed are the trouble of the store that wrote, not of the one that needs the room', async () => {
    const disk = new RecordingDisk();
    const openFiles = new OpenFiles(1, disk);
    const files = table(2);
    const [victim, other] = [
      new FileStore({ root: await temporaryFolder(), files, openFiles }),
      new FileStore({ root: await temporaryFolder(), files, openFiles }),
    ];
    await victim.write(0, [Uint8Array.of(1)]);
    disk.intervene = ({ name }) => (name === 'close' ? 'EDQUOT' : undefined);
    await other.write(0, [Uint8Array.of(1)]);
    disk.intervene = () => undefined;
    expect((await failure(victim.sync())).code).toBe('DISK_FULL');
    expect((await failure(victim.close())).message).toContain('cannot close');
    await other.close();
  });
});

describe('sync', () => {
  it('flushes each file written since the last time, once', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(2, 2, 2) });
    const synced = (): string[] => disk.named('fdatasync').map(({ path }) => path.slice(-2));
    await store.sync();
    expect(synced()).toEqual([]);
    await store.write(0, [Uint8Array.of(1, 2, 3)]);
    await store.write(0, [Uint8Array.of(1, 2, 3)]);
    await store.sync();
    expect(synced().sort()).toEqual(['f0', 'f1']);
    await store.write(4, [Uint8Array.of(1)]);
    await store.sync();
    expect(synced().sort()).toEqual(['f0', 'f1', 'f2']);
    await store.close();
  });

  it('flushes files that were closed to make room', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(1, 1, 1, 1, 1), limit: 1 });
    await store.write(0, [new Uint8Array(5)]);
    await store.sync();
    expect(new Set(disk.named('fdatasync').map(({ path }) => path)).size).toBe(5);
    expect(disk.maxOpen).toBe(1);
    await store.close();
  });

  it('names the file that fails and keeps it due', async () => {
    const root = await temporaryFolder();
    const { disk, store } = setUp({ root, files: table(1, 1) });
    await store.write(0, [new Uint8Array(2)]);
    disk.intervene = ({ name, path }) => (name === 'fdatasync' && path.endsWith('f1') ? 'EIO' : undefined);
    expect((await failure(store.sync())).message).toContain(`cannot sync ${join(root, 'd1', 'f1')}: EIO`);
    disk.intervene = () => undefined;
    await store.sync();
    expect(
      disk
        .named('fdatasync')
        .map(({ path }) => path.at(-1))
        .sort(),
    ).toEqual(['0', '1', '1']);
    await store.close();
  });

  it.each([
    ['replaced', (path: string) => writeFileSync(path, 'else')],
    ['removed', () => {}],
  ] as const)('names the file that was moved away and %s', async (how, put) => {
    const root = await temporaryFolder();
    const files = table(4);
    const path = pathOf(root, files[0]!);
    const { store } = setUp({ root, files });
    await store.write(0, [Uint8Array.of(1)]);
    renameSync(path, `${path}.moved`);
    put(path);
    await store.write(1, [Uint8Array.of(2)]);
    const expected = `cannot keep ${path}: it changed during the download: expected 4 bytes, it was ${how}`;
    expect((await failure(store.sync())).message).toContain(expected);
    expect((await failure(store.sync())).message).toContain(expected);
    await store.close();
  });

  it('finds files in their place that were closed to make room while others were flushed', async () => {
    const { store } = setUp({ root: await temporaryFolder(), files: table(1, 1, 1), limit: 1 });
    for (const round of [1, 2]) {
      await store.write(0, [Uint8Array.of(round, round, round)]);
      await store.sync();
    }
    await store.close();
  });

  it('of a second caller ends no sooner than the flush under way', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(1) });
    await store.write(0, [Uint8Array.of(1)]);
    const { opened, open } = gate();
    disk.intervene = ({ name }) => (name === 'fdatasync' ? opened : undefined);
    const ended: string[] = [];
    const first = store.sync().then(() => ended.push('first'));
    const second = store.sync().then(() => ended.push('second'));
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    expect(ended).toEqual([]);
    open();
    await Promise.all([first, second]);
    expect(ended).toEqual(['first', 'second']);
    await store.close();
  });
});

describe('close', () => {
  it('waits for what is in flight, then refuses the rest', async () => {
    const root = await temporaryFolder();
    const files = table(2);
    const { disk, store } = setUp({ root, files });
    const { opened, open } = gate();
    disk.intervene = ({ name }) => (name === 'writev' ? opened : undefined);
    const writing = store.write(0, [Uint8Array.of(1, 2)]);
    let closed = false;
    const closing = store.close().then(() => {
      closed = true;
    });
    expect((await failure(store.write(0, [Uint8Array.of(9)]))).code).toBe('CLOSED');
    expect((await failure(store.readInto(0, [new Uint8Array(1)]))).code).toBe('CLOSED');
    while (disk.named('writev').length === 0) await new Promise(setImmediate);
    expect(closed).toBe(false);
    expect(disk.openCount).toBe(1);
    open();
    await Promise.all([writing, closing, store.close()]);
    expect(disk.openCount).toBe(0);
    expect([...bytesOnDisk(root, files[0]!)!]).toEqual([1, 2]);
  });

  it('reports a descriptor whose closing says that the write failed', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(2) });
    await store.write(0, [Uint8Array.of(1, 2)]);
    disk.intervene = ({ name }) => (name === 'close' ? 'EIO' : undefined);
    expect((await failure(store.close())).message).toContain(join('d0', 'f0'));
  });

  it('has nothing to do in a store that was never used', async () => {
    const { disk, store } = setUp({ root: await temporaryFolder(), files: table(lengthOf([])) });
    await store.close();
    expect(disk.calls).toEqual([]);
  });
});

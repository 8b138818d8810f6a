import { mkdirSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FileEntry } from '../../../src/storage/layout.js';
import { type VerifyInput, verifyFiles } from '../../../src/storage/verify.js';
import { Geometry } from '../../../src/torrent/geometry.js';
import {
  anyDamage,
  anyTable,
  contentOf,
  hashesOf,
  lengthOf,
  naiveVerify,
  pathOf,
  table,
  writeAll,
} from '../../helpers/fs-table.js';
import { inTemporaryFolder, temporaryFolder } from '../../helpers/fs-temp.js';

/** A worker that does not exist: whoever starts a thread fails. */
const NONE = new URL('no-such-worker.js', import.meta.url);
const MIB = 1_048_576;

function input(root: string, files: readonly FileEntry[], pieceLength: number, hashes: Uint8Array): VerifyInput {
  const geometry = new Geometry({ length: lengthOf(files), pieceLength });
  return { root, files, geometry, hashes, threads: 2 };
}

/** 40 MiB and a bit in a few files, odd piece length: five ranges of 8 MiB. */
async function large(): Promise<{
  files: FileEntry[];
  content: Uint8Array;
  root: string;
  pieceLength: number;
  hashes: Uint8Array;
}> {
  const root = await temporaryFolder();
  const pieceLength = 262_144 + 1000;
  const files = table(100, 17 * MIB, 0, 5 * MIB + 3, { length: 99_997, pad: true }, 18 * MIB, 7);
  const content = contentOf(files);
  writeAll(root, files, content);
  return { root, files, content, pieceLength, hashes: hashesOf(content, pieceLength) };
}

/** All pieces but those that touch a byte range. */
function without(geometry: Geometry, ...ranges: readonly (readonly [number, number])[]): number[] {
  return [...geometry.pieces()].filter((piece) => {
    const offset = geometry.offsetOf(piece);
    return !ranges.some(([from, to]) => offset < to && offset + geometry.lengthOf(piece) > from);
  });
}

describe('verifyFiles without threads', () => {
  it('agrees with a naive loop on any small torrent, whatever is damaged', async () => {
    await fc.assert(
      fc.asyncProperty(anyTable, anyDamage, fc.integer({ min: 1, max: 2500 }), async (files, damage, pieceLength) => {
        await inTemporaryFolder(async (root) => {
          const content = contentOf(files);
          const hashes = hashesOf(content, pieceLength);
          writeAll(root, files, content);
          damage(root, files);
          const good = await verifyFiles({ ...input(root, files, pieceLength, hashes), workerUrl: NONE });
          expect([...good]).toEqual(naiveVerify(root, files, pieceLength, hashes));
        });
      }),
      { numRuns: 60 },
    );
  });

  it('finds nothing of a torrent that was never begun, however large', async () => {
    const root = join(await temporaryFolder(), 'nothing');
    const files = table(2 ** 41, 5, 2 ** 40);
    const geometry = new Geometry({ length: lengthOf(files), pieceLength: 2 ** 24 });
    const hashes = new Uint8Array(geometry.pieceCount * 20);
    const progress: number[] = [];
    const good = await verifyFiles({
      ...input(root, files, 2 ** 24, hashes),
      workerUrl: NONE,
      onProgress: (bytesDone) => progress.push(bytesDone),
    });
    expect(good.size).toBe(geometry.pieceCount);
    expect(good.count).toBe(0);
    expect(progress).toEqual([geometry.length]);
  });

  it('takes a file for missing whose path is longer than the system takes', async () => {
    const root = await temporaryFolder();
    const files = table({ length: 30, path: [...Array.from({ length: 30 }, () => 'd'.repeat(200)), 'f'] }, 10);
    const content = contentOf(files);
    writeAll(root, files.slice(1), content);
    const good = await verifyFiles({ ...input(root, files, 10, hashesOf(content, 10)), workerUrl: NONE });
    expect([...good]).toEqual([3]);
  });

  it('finds nothing where the folder is there and its files are not', async () => {
    const root = await temporaryFolder();
    const files = table(...Array.from({ length: 50 }, () => MIB));
    mkdirSync(join(root, 'd0'));
    const good = await verifyFiles({ ...input(root, files, MIB, new Uint8Array(1000)), workerUrl: NONE });
    expect(good.count).toBe(0);
  });

  it('hashes the few MiB that are there of a large torrent', async () => {
    const root = await temporaryFolder();
    const files = table(100 * MIB, 3 * MIB);
    const small = table(0, 3 * MIB);
    const content = contentOf(small);
    writeAll(root, small, content);
    rmSync(pathOf(root, files[0]!));
    const hashes = new Uint8Array(103 * 20);
    hashes.set(hashesOf(content, MIB), 100 * 20);
    const good = await verifyFiles({ ...input(root, files, MIB, hashes), workerUrl: NONE });
    expect([...good]).toEqual([100, 101, 102]);
  });

  it('gives an empty set for an empty torrent', async () => {
    const good = await verifyFiles({
      ...input(await temporaryFolder(), table(0), 10, new Uint8Array(0)),
      workerUrl: NONE,
    });
    expect(good.size).toBe(0);
  });

  it('leaves the error of a file that cannot be read to the caller', async () => {
    const root = await temporaryFolder();
    const files = table(10);
    mkdirSync(join(root, 'd0', 'f0'), { recursive: true });
    await expect(verifyFiles(input(root, files, 10, new Uint8Array(20)))).rejects.toMatchObject({
      code: 'LOCAL_IO',
      message: `cannot open ${join(root, 'd0', 'f0')}: it is not a regular file`,
    });
  });

  it('does not begin when it is aborted', async () => {
    const reason = new Error('enough');
    await expect(
      verifyFiles({ ...input('/', table(10), 10, new Uint8Array(20)), signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
  });
});

describe('verifyFiles on threads', () => {
  it('finds every piece of a whole torrent, and reports progress up to its length', async () => {
    const { root, files, pieceLength, hashes } = await large();
    const verify = input(root, files, pieceLength, hashes);
    const progress: number[] = [];
    const good = await verifyFiles({ ...verify, onProgress: (bytesDone) => progress.push(bytesDone) });
    expect(good.isFull).toBe(true);
    expect(progress.length).toBeGreaterThan(4);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.at(-1)).toBe(verify.geometry.length);
  });

  it('finds the pieces that are damaged, cut off or missing', async () => {
    const { root, files, content, pieceLength, hashes } = await large();
    const verify = input(root, files, pieceLength, hashes);
    const harmed = content.slice();
    const flipped = [1, 9 * MIB, 30 * MIB];
    for (const offset of flipped) harmed[offset]! ^= 0x10;
    writeAll(root, files, harmed);
    truncateSync(pathOf(root, files[1]!), 16 * MIB);
    rmSync(pathOf(root, files[3]!));
    const good = await verifyFiles(verify);
    expect([...good]).toEqual(
      without(
        verify.geometry,
        ...flipped.map((offset) => [offset, offset + 1] as const),
        [files[1]!.offset + 16 * MIB, files[1]!.offset + 17 * MIB],
        [files[3]!.offset, files[3]!.offset + files[3]!.length],
      ),
    );
  });

  it('hashes pieces longer than what a thread reads at a time, of a shared array of hashes', async () => {
    const root = await temporaryFolder();
    const files = table(11 * MIB, 4 * MIB);
    const content = contentOf(files);
    writeAll(root, files, content);
    const pieceLength = 5 * MIB + 1;
    const hashes = new Uint8Array(new SharedArrayBuffer(60));
    hashes.set(hashesOf(content, pieceLength));
    const good = await verifyFiles(input(root, files, pieceLength, hashes));
    expect([...good]).toEqual([0, 1, 2]);
  });

  it('keeps the code and the text of an error from a thread', async () => {
    const { root, files, pieceLength, hashes } = await large();
    const path = pathOf(root, files[5]!);
    rmSync(path);
    symlinkSync(pathOf(root, files[1]!), path);
    await expect(verifyFiles(input(root, files, pieceLength, hashes))).rejects.toMatchObject({
      name: 'SpateError',
      code: 'LOCAL_IO',
      message: `cannot open ${path}: it is a symbolic link, which is never followed`,
    });
  });

  it('ends with the reason of its signal, and no progress afterwards', async () => {
    const { root, files, pieceLength, hashes } = await large();
    const controller = new AbortController();
    const reason = new Error('enough');
    const progress: number[] = [];
    const verifying = verifyFiles({
      ...input(root, files, pieceLength, hashes),
      threads: 1,
      signal: controller.signal,
      onProgress: (bytesDone) => {
        progress.push(bytesDone);
        controller.abort(reason);
      },
    });
    await expect(verifying).rejects.toBe(reason);
    expect(progress).toHaveLength(1);
  });

  it('fails when its threads cannot start', async () => {
    const { root, files, pieceLength, hashes } = await large();
    await expect(verifyFiles({ ...input(root, files, pieceLength, hashes), workerUrl: NONE })).rejects.toThrow(
      'no-such-worker',
    );
  });
});

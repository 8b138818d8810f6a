import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstOnDisk, hashPieces } from '../../../src/storage/hash-pieces.js';
import type { FileEntry } from '../../../src/storage/layout.js';
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

/** The good pieces of a whole torrent. */
function hashAll(
  root: string,
  files: readonly FileEntry[],
  pieceLength: number,
  hashes: Uint8Array,
  chunkBytes = 1000,
): number[] {
  const geometry = new Geometry({ length: lengthOf(files), pieceLength });
  const task = { root, files, geometry, hashes, firstPiece: 0, pieceCount: geometry.pieceCount };
  return [...hashPieces(task, new Uint8Array(chunkBytes)).good];
}

describe('hashPieces', () => {
  it('finds the same pieces good as a naive loop, whatever is damaged and however much is read at a time', async () => {
    const numbers = fc.record({
      pieceLength: fc.integer({ min: 1, max: 2500 }),
      chunkBytes: fc.integer({ min: 1, max: 4000 }),
    });
    await fc.assert(
      fc.asyncProperty(anyTable, anyDamage, numbers, async (files, damage, { pieceLength, chunkBytes }) => {
        await inTemporaryFolder(async (root) => {
          const content = contentOf(files);
          const hashes = hashesOf(content, pieceLength);
          writeAll(root, files, content);
          damage(root, files);
          expect(hashAll(root, files, pieceLength, hashes, chunkBytes)).toEqual(
            naiveVerify(root, files, pieceLength, hashes),
          );
        });
      }),
      { numRuns: 150 },
    );
  });

  it('hashes any range of pieces by itself, given its slice of the file table', async () => {
    const root = await temporaryFolder();
    const files = table(30, 0, 25, { length: 15, pad: true }, 30);
    const content = contentOf(files);
    writeAll(root, files, content);
    const geometry = { length: 100, pieceLength: 10 };
    const hashes = hashesOf(content, 10).slice(4 * 20, 8 * 20);
    const task = { root, files: files.slice(2, 5), geometry, hashes, firstPiece: 4, pieceCount: 4 };
    expect([...hashPieces(task, new Uint8Array(25)).good]).toEqual([0, 1, 2, 3]);
    const shifted = { ...task, firstPiece: 5, pieceCount: 3 };
    expect([...hashPieces(shifted, new Uint8Array(25)).good]).toEqual([]);
  });

  it('hashes pieces of zeros, in part or as a whole, however much is read at a time', async () => {
    const root = await temporaryFolder();
    // Zeros, then a byte as the first, the last, and behind a chunk of zeros; the last piece is shorter.
    const content = new Uint8Array(6 * 100 - 37);
    for (const at of [100, 299, 370]) content[at] = 1;
    const files = table(content.length);
    writeAll(root, files, content);
    const hashes = hashesOf(content, 100);
    for (const chunkBytes of [1, 30, 99, 100, 250, 1000]) {
      expect(hashAll(root, files, 100, hashes, chunkBytes)).toEqual([0, 1, 2, 3, 4, 5]);
      expect(hashAll(root, files, 100, hashesOf(contentOf(files), 100), chunkBytes)).toEqual([]);
    }
  });

  it('counts a file that is longer than it should be as good', async () => {
    const root = await temporaryFolder();
    const files = table(20);
    const content = contentOf(files);
    writeAll(root, table(25), contentOf(table(25)));
    expect(hashAll(root, files, 10, hashesOf(content, 10))).toEqual([0, 1]);
  });

  it('finds nothing where there is no root, and a pad-only piece good all the same', async () => {
    const root = join(await temporaryFolder(), 'nothing');
    const files = table(20, { length: 20, pad: true });
    expect(hashAll(root, files, 10, hashesOf(contentOf(files), 10))).toEqual([2, 3]);
  });

  it('takes a file where a folder should be for a missing file', async () => {
    const root = await temporaryFolder();
    const files = table(20);
    writeFileSync(join(root, 'd0'), '');
    expect(hashAll(root, files, 10, hashesOf(contentOf(files), 10))).toEqual([]);
  });

  it.each([
    [
      'a symlink as the file',
      (root: string, path: string) => {
        renameSync(path, join(root, 'real'));
        symlinkSync(join(root, 'real'), path);
      },
      'it is a symbolic link, which is never followed',
    ],
    [
      'a folder where a file should be',
      (_: string, path: string) => {
        rmSync(path);
        mkdirSync(path);
      },
      'it is not a regular file',
    ],
    [
      'a pipe',
      (_: string, path: string) => {
        rmSync(path);
        execFileSync('mkfifo', [path]);
      },
      'it is not a regular file',
    ],
  ])('names %s', async (_, replace, problem) => {
    const root = await temporaryFolder();
    const files = table(20, 20);
    const content = contentOf(files);
    writeAll(root, files, content);
    const path = pathOf(root, files[1]!);
    replace(root, path);
    expect(() => hashAll(root, files, 10, hashesOf(content, 10))).toThrow(
      expect.objectContaining({ code: 'LOCAL_IO', message: `cannot open ${path}: ${problem}` }),
    );
  });

  it('leaves no file open, having read them all', async () => {
    const root = await temporaryFolder();
    const files = table(...Array.from({ length: 300 }, () => 10));
    const content = contentOf(files);
    writeAll(root, files, content);
    const before = readdirSync('/dev/fd').length;
    expect(hashAll(root, files, 25, hashesOf(content, 25))).toHaveLength(120);
    // Others in this process may open a few meanwhile.
    expect(readdirSync('/dev/fd').length - before).toBeLessThan(100);
  });

  it('names a folder that leads out of the root, and follows one that does not', async () => {
    const root = await temporaryFolder();
    const elsewhere = await temporaryFolder();
    const files = table(20);
    const content = contentOf(files);
    writeAll(elsewhere, files, content);
    symlinkSync(join(elsewhere, 'd0'), join(root, 'd0'));
    const hashes = hashesOf(content, 10);
    expect(() => hashAll(root, files, 10, hashes)).toThrow(
      expect.objectContaining({ code: 'LOCAL_IO', message: expect.stringContaining(join(root, 'd0')) }),
    );
    rmSync(join(root, 'd0'));
    renameSync(join(elsewhere, 'd0'), join(root, 'inside'));
    symlinkSync('inside', join(root, 'd0'));
    expect(hashAll(root, files, 10, hashes)).toEqual([0, 1]);
  });
});

describe('firstOnDisk', () => {
  const files = table(25, 0, 20, { length: 5, pad: true }, 50);
  const geometry = new Geometry({ length: 100, pieceLength: 10 });

  it.each([
    // Sizes on disk of the five files, the piece asked for, the answer.
    [[25, 0, 20, 0, 50], 0, 0],
    [[25, 0, 20, 0, 50], 7, 7],
    [[0, 0, 20, 0, 50], 0, 3],
    [[0, 0, 0, 0, 50], 0, 5],
    [[0, 0, 0, 0, 0], 0, 10],
    [[25, 0, 0, 0, 0], 2, 2],
    [[25, 0, 0, 0, 0], 3, 10],
    [[20, 0, 20, 0, 0], 2, 3],
    [[25, 0, 20, 0, 10], 6, 10],
    [[25, 0, 20, 0, 11], 6, 6],
  ])('with %j on disk, from piece %d: %d', (sizes, piece, first) => {
    expect(firstOnDisk(files, geometry, piece, (file) => sizes[file]!)).toBe(first);
  });

  it('stops at a piece that begins with padding', () => {
    const padded = table(10, { length: 10, pad: true }, 10);
    expect(firstOnDisk(padded, new Geometry({ length: 30, pieceLength: 10 }), 0, () => 0)).toBe(1);
  });

  it('looks at a missing file once, however many pieces it has', async () => {
    let looks = 0;
    const big = table(2 ** 40, 10);
    const sizeOf = (file: number): number => {
      looks++;
      return file === 0 ? 0 : 10;
    };
    const geometry = new Geometry({ length: 2 ** 40 + 10, pieceLength: 16_384 });
    expect(firstOnDisk(big, geometry, 0, sizeOf)).toBe(2 ** 26);
    expect(looks).toBe(2);
  });

  it('never passes a piece that is all there', () => {
    fc.assert(
      fc.property(anyTable, fc.integer({ min: 1, max: 300 }), fc.nat(), fc.nat(), (files, pieceLength, seed, from) => {
        const geometry = new Geometry({ length: lengthOf(files), pieceLength });
        const sizes = files.map(({ length }, index) =>
          (seed >> index) & 1 ? length : (seed * (index + 1)) % (length + 1),
        );
        const there = (offset: number): boolean =>
          files.some((file, index) => {
            const position = offset - file.offset;
            return position >= 0 && position < file.length && (file.pad || position < sizes[index]!);
          });
        const start = from % geometry.pieceCount;
        const first = firstOnDisk(files, geometry, start, (file) => sizes[file]!);
        for (let piece = start; piece < first; piece++) {
          const offset = piece * pieceLength;
          const bytes = Array.from({ length: Math.min(pieceLength, geometry.length - offset) }, (_, i) => offset + i);
          expect(bytes.every(there)).toBe(false);
        }
        if (first < geometry.pieceCount) expect(there(first * pieceLength)).toBe(true);
      }),
    );
  });
});

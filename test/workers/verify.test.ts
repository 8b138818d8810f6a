import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verify } from '../../workers/verify.js';
import { contentOf, hashesOf, table, writeAll } from '../helpers/fs-table.js';
import { temporaryFolder } from '../helpers/fs-temp.js';

describe('the verify task', () => {
  const files = table(25, 14);
  const geometry = { length: 39, pieceLength: 10 };
  const content = contentOf(files);
  const hashes = hashesOf(content, 10);

  it('answers with the good pieces of its range in wire form', async () => {
    const root = await temporaryFolder();
    writeAll(root, files, content);
    const task = { root, files, geometry, hashes, firstPiece: 0, pieceCount: 4 };
    expect(verify(task)).toEqual({ good: Uint8Array.of(0b1111_0000), unread: [] });
    expect(verify({ ...task, hashes: hashes.slice(20), firstPiece: 1, pieceCount: 3 })).toEqual({
      good: Uint8Array.of(0b1110_0000),
      unread: [],
    });
    const wrong = hashes.slice();
    wrong[25]! ^= 1;
    expect(verify({ ...task, hashes: wrong })).toEqual({ good: Uint8Array.of(0b1011_0000), unread: [] });
  });

  it('answers with code and text of a file that cannot be read, which survive structured clone', async () => {
    const root = await temporaryFolder();
    mkdirSync(join(root, 'd1', 'f1'), { recursive: true });
    const answer = verify({ root, files, geometry, hashes, firstPiece: 3, pieceCount: 1 });
    expect(structuredClone(answer)).toEqual({
      failed: { code: 'LOCAL_IO', message: `cannot open ${join(root, 'd1', 'f1')}: it is not a regular file` },
    });
  });

  it('goes on after a file that cannot be read when it is asked to, and tells of it', async () => {
    const root = await temporaryFolder();
    writeAll(root, files.slice(0, 1), content);
    mkdirSync(join(root, 'd1', 'f1'), { recursive: true });
    const answer = verify({ root, files, geometry, hashes, firstPiece: 0, pieceCount: 4, goesOn: true });
    const message = `cannot open ${join(root, 'd1', 'f1')}: it is not a regular file`;
    expect(answer).toEqual({ good: Uint8Array.of(0b1100_0000), unread: [{ file: 1, code: 'LOCAL_IO', message }] });
  });

  it('throws what is no file error', async () => {
    const root = await temporaryFolder();
    expect(() =>
      verify({ root, files, geometry: { length: -1, pieceLength: 10 }, hashes, firstPiece: 0, pieceCount: 1 }),
    ).toThrow(RangeError);
  });
});

import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { expect, it } from 'vitest';
import { findDamage, isUnjudged } from '../../../src/storage/damage.js';
import { Bitfield } from '../../../src/torrent/bitfield.js';
import { Geometry } from '../../../src/torrent/geometry.js';
import { contentOf, lengthOf, pathOf, table, writeAll } from '../../helpers/fs-table.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

it('a folder or a symlink in the place of a file, empty ones too, is named as one that cannot be read, and why', async () => {
  const root = await temporaryFolder();
  const files = table(10, 0, 10, 10);
  writeAll(root, files, contentOf(files));
  const [, empty, linked] = files.map((file) => pathOf(root, file));
  rmSync(empty!);
  mkdirSync(empty!);
  rmSync(linked!);
  symlinkSync('nowhere', linked!);
  const geometry = new Geometry({ length: lengthOf(files), pieceLength: 10 });
  const good = new Bitfield(3);
  good.set(0);
  const damage = findDamage(root, files, geometry, good, undefined, new Map([['d0/f3', 'it is broken']]));
  expect(damage.map(({ index, problem, reason }) => [index, problem, reason])).toEqual([
    [1, 'unreadable', `cannot open ${empty}: it is not a regular file`],
    [2, 'unreadable', `cannot open ${linked}: it is a symbolic link, which is never followed`],
    [3, 'unreadable', 'it is broken'],
  ]);
});

it('what is bad by its own pieces is judged, what shares them all with files that cannot be read is not', () => {
  const of = (problem: 'bad' | 'unreadable' | 'short', first: number, last: number) =>
    ({ index: 0, problem, size: 0, pieces: [[first, last]], bytes: [] }) as const;
  expect(isUnjudged([of('unreadable', 2, 4), of('bad', 4, 4)])).toBe(true);
  expect(isUnjudged([of('unreadable', 2, 4), of('bad', 4, 5)])).toBe(false);
  expect(isUnjudged([of('unreadable', 2, 4), of('short', 4, 4)])).toBe(false);
});

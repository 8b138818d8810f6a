import { expect, it } from 'vitest';
import { nodeDisk } from '../../../src/storage/disk.js';
import { limitFlushes } from '../../../src/storage/flush-limit.js';

type Done = (error: NodeJS.ErrnoException | null) => void;

/** A disk whose flushes end when told, in the order they began. */
function slowDisk(most: number) {
  const begun: { fd: number; done: Done }[] = [];
  const flush = (fd: number, done: Done): void => {
    begun.push({ fd, done });
  };
  const disk = limitFlushes({ ...nodeDisk, fdatasync: flush, fsync: flush }, most);
  return { disk, begun };
}

it('no more than so many flushes are under way, of both kinds together, and the others come in the order they asked', () => {
  const { disk, begun } = slowDisk(2);
  const ended: number[] = [];
  for (let fd = 0; fd < 6; fd++) disk[fd % 2 === 0 ? 'fdatasync' : 'fsync'](fd, () => ended.push(fd));
  expect(begun.map(({ fd }) => fd)).toEqual([0, 1]);
  begun[1]!.done(null);
  expect(begun.map(({ fd }) => fd)).toEqual([0, 1, 2]);
  for (let i = 0; i < 6; i++) if (i !== 1) begun[i]!.done(null);
  expect(begun.map(({ fd }) => fd)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(ended).toEqual([1, 0, 2, 3, 4, 5]);
});

it('one with much to flush, a file at a time, holds up nobody for longer than one flush', () => {
  const { disk, begun } = slowDisk(1);
  let left = 100;
  const many = (): void => {
    if (left-- > 0) disk.fdatasync(1, many);
  };
  many();
  let isDone = false;
  disk.fsync(2, () => {
    isDone = true;
  });
  begun[0]!.done(null);
  begun[1]!.done(null);
  expect(isDone).toBe(true);
});

it('a flush that fails makes room as any other, and its owner is told', () => {
  const { disk, begun } = slowDisk(1);
  const errors: unknown[] = [];
  disk.fdatasync(1, (error) => errors.push(error));
  disk.fdatasync(2, (error) => errors.push(error));
  const failure = Object.assign(new Error('EIO'), { code: 'EIO' });
  begun[0]!.done(failure);
  begun[1]!.done(null);
  expect(errors).toEqual([failure, null]);
});

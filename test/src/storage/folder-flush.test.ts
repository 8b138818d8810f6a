import { expect, it } from 'vitest';
import { FolderFlushes } from '../../../src/storage/folder-flush.js';
import { gate, RecordingDisk } from '../../helpers/fs-disk.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

it('those that ask while one is under way share the next: the one before may not have seen their names', async () => {
  const [disk, folder] = [new RecordingDisk(), await temporaryFolder()];
  const [flushes, opened, first] = [new FolderFlushes(disk), gate(), gate()];
  disk.intervene = ({ name }) => {
    if (name !== 'fsync' || disk.named('fsync').length > 1) return undefined;
    opened.open();
    return first.opened;
  };
  const ended: string[] = [];
  const ask = (name: string): Promise<number> => flushes.flush(folder).then(() => ended.push(name));
  const a = ask('a');
  await opened.opened;
  const others = ['b', 'c', 'd'].map(ask);
  expect(ended).toEqual([]);
  first.open();
  await Promise.all([a, ...others]);
  expect(ended).toEqual(['a', 'b', 'c', 'd']);
  expect(disk.named('fsync')).toHaveLength(2);
  expect(disk.openCount).toBe(0);
});

it('one that fails is told to who shared it, and to nobody after', async () => {
  const [disk, folder] = [new RecordingDisk(), await temporaryFolder()];
  const flushes = new FolderFlushes(disk);
  disk.intervene = ({ name }) => (name === 'fsync' && disk.named('fsync').length === 1 ? 'EIO' : undefined);
  const both = await Promise.allSettled([flushes.flush(folder), flushes.flush(folder)]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await flushes.flush(folder);
  expect(disk.named('fsync')).toHaveLength(2);
});

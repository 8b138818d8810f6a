import { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeFolders, nodeDisk } from '../../../src/storage/disk.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

describe('folders', () => {
  it('are made with all above them, by several at once, and are left as they are when they are there', async () => {
    const root = await temporaryFolder();
    const deep = join(root, 'a', 'b', 'c');
    await Promise.all([deep, deep, join(root, 'a', 'b', 'd')].map((path) => makeFolders(nodeDisk, path)));
    for (const name of ['c', 'd']) expect(statSync(join(root, 'a', 'b', name)).isDirectory()).toBe(true);
    await makeFolders(nodeDisk, deep);
    mkdirSync(join(root, 'real'));
    symlinkSync(join(root, 'real'), join(root, 'link'));
    await makeFolders(nodeDisk, join(root, 'link', 'x'));
    expect(existsSync(join(root, 'real', 'x'))).toBe(true);
  });

  it('are not made in the place of a file, or in one', async () => {
    const root = await temporaryFolder();
    const file = join(root, 'file');
    writeFileSync(file, '');
    await expect(makeFolders(nodeDisk, file)).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(makeFolders(nodeDisk, join(file, 'a', 'b'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it('are an error, and no wait without end, where none can be made', async () => {
    await expect(makeFolders(nodeDisk, '/proc/spate-nowhere/a/b')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

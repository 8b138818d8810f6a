import { readFileSync, symlinkSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { takeFolderLock } from '../../../src/storage/folder-lock.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

describe.skipIf(process.platform !== 'linux')('the lock of a name in a folder', () => {
  it('is held once, whatever path leads to the folder, and can be taken again at once when it was released', async () => {
    const folder = join(await temporaryFolder(), 'new');
    const lock = await takeFolderLock(folder, 'it');
    expect(lock).toBeDefined();
    symlinkSync(folder, `${folder} too`);
    expect(await takeFolderLock(`${folder} too`, 'it')).toBeUndefined();
    lock?.release();
    lock?.release();
    const again = await takeFolderLock(folder, 'it');
    expect(again).toBeDefined();
    again?.release();
  });

  it('is for one name and one folder', async () => {
    const [one, two] = [await temporaryFolder(), await temporaryFolder()];
    await mkdir(two, { recursive: true });
    const locks = [await takeFolderLock(one, 'a'), await takeFolderLock(one, 'b'), await takeFolderLock(two, 'a')];
    expect(locks).not.toContain(undefined);
    for (const lock of locks) lock?.release();
  });

  it('has a name of 108 bytes, which every Node gives the kernel as it is', async () => {
    const lock = await takeFolderLock(await temporaryFolder(), 'it');
    // The kernel shows the zero in front as a sign.
    const names = readFileSync('/proc/net/unix', 'latin1').match(/@spate \S+/g) ?? [];
    expect(names.map((name) => name.length)).toContain(108);
    lock?.release();
  });

  it('keeps nobody out where the folder cannot be made', async () => {
    const locks = [await takeFolderLock('/proc/none', 'it'), await takeFolderLock('/proc/none', 'it')];
    expect(locks).not.toContain(undefined);
    for (const lock of locks) lock?.release();
  });
});

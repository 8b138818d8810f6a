import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesMatching, isGlob, torrentsIn } from '../../../src/batch/glob-files.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

async function folderWith(...files: readonly string[]): Promise<string> {
  const folder = await temporaryFolder();
  for (const file of files) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(join(folder, file), '');
  }
  return folder;
}

const FILES = [
  'b.torrent',
  'a.torrent',
  'c.TORRENT',
  '.hidden.torrent',
  '.torrent',
  'd.txt',
  'sub/e.torrent',
  'sub/x/f.torrent',
];

/** The matches below a folder with `FILES`, a link to `sub` and one that leads back. */
async function matching(pattern: string, folder?: string): Promise<string[]> {
  const root = folder ?? (await folderWith(...FILES, 'sub/.cache/g.torrent', 'other/x/h.torrent'));
  if (folder === undefined) {
    await symlink('sub', join(root, 'link'));
    await symlink('..', join(root, 'sub', 'loop'));
  }
  const found = await filesMatching(join(root, pattern), new AbortController().signal);
  return found.map((path) => path.slice(root.length + 1));
}

describe('the torrents of a folder', () => {
  it('are its own that are not hidden, sorted', async () => {
    const folder = await folderWith(...FILES);
    await mkdir(join(folder, 'folder.torrent'));
    await symlink('b.torrent', join(folder, 'link.torrent'));
    await symlink('nowhere', join(folder, 'broken.torrent'));
    const expected = ['a.torrent', 'b.torrent', 'c.TORRENT', 'link.torrent'].map((name) => join(folder, name));
    expect(await torrentsIn(folder)).toEqual(expected);
  });
});

describe('a glob', () => {
  it.each([
    ['*.torrent', ['a.torrent', 'b.torrent']],
    ['[ab].torrent', ['a.torrent', 'b.torrent']],
    ['*/e.torrent', ['link/e.torrent', 'sub/e.torrent']],
    ['sub/*/*.torrent', ['sub/loop/a.torrent', 'sub/loop/b.torrent', 'sub/x/f.torrent']],
    ['**/*.torrent', ['a.torrent', 'b.torrent', 'other/x/h.torrent', 'sub/e.torrent', 'sub/x/f.torrent']],
    ['s*/**/f.torrent', ['sub/x/f.torrent']],
    ['{a,sub/e}.torrent', ['a.torrent', 'sub/e.torrent']],
    ['.h*', ['.hidden.torrent']],
    ['sub/.*/*', ['sub/.cache/g.torrent']],
    ['sub/[.]cache/*', []],
    ['*', ['a.torrent', 'b.torrent', 'c.TORRENT', 'd.txt']],
    ['none/*', []],
    ['d.txt/*', []],
  ])('%s finds %j', async (pattern, expected) => {
    expect(await matching(pattern)).toEqual(expected);
  });

  it('matches whole paths: the folder in front counts', async () => {
    expect(await matching('a*/**/f.torrent')).toEqual([]);
  });

  it('takes the folder before its first wildcard as it is', async () => {
    const folder = await folderWith('.config/a.torrent');
    expect(await matching('.config/*.torrent', folder)).toEqual(['.config/a.torrent']);
  });

  it('that is malformed is refused', async () => {
    await expect(matching('[a')).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('stops when it is told to', async () => {
    const folder = await folderWith('a');
    await expect(filesMatching(join(folder, '**'), AbortSignal.abort())).rejects.toThrow('aborted');
  });

  it('has a wildcard', () => {
    expect(['*.torrent', 'a?', '[ab]', '{a,b}', 'a\\*'].every(isGlob)).toBe(true);
    expect(['a.torrent', 'dir/b (1).torrent', '~/x'].some(isGlob)).toBe(false);
  });
});

import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Target, Targets, targetPath } from '../../../src/storage/targets.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

/** Its files as `name/folder/file`; a pad file as `-`. */
function target(out: string, ...files: string[]): Target {
  const paths = files.map((file) => file.split('/'));
  const name = paths[0]![0]!;
  return {
    path: targetPath(out, name),
    owner: `${name} in ${out}`,
    files: () => paths.map((path) => ({ path: path[0] === '-' ? [] : path, pad: path[0] === '-' })),
  };
}

const unread = (out: string, name: string): Target => ({
  ...target(out, name),
  files: () => {
    throw new Error("its files are nobody's concern");
  },
});

/** Whether either keeps the other out, which has to be the same. */
function meet(one: Target, other: Target): boolean {
  const [first, second] = [one, other].map((each) => {
    const targets = new Targets();
    targets.add(each);
    return targets.inTheWayOf(each === one ? other : one);
  });
  expect([first, second]).toEqual(first === undefined ? [undefined, undefined] : [one, other]);
  return first !== undefined;
}

describe('targets', () => {
  it('meet when they are the same, whatever the case and the composition of their letters', () => {
    expect(meet(unread('/none/a', 'Film'), unread('/none/b/../a', 'film'))).toBe(true);
    expect(meet(unread('/none/a', 'caf\u00e9'), unread('/none/A', 'cafe\u0301'))).toBe(true);
    expect(meet(unread('/none/a', 'x'), unread('/none/b', 'x'))).toBe(false);
    expect(meet(unread('/none/a', 'x'), unread('/none/a', 'xy'))).toBe(false);
  });

  it.each([
    ['the same file', ['dir/x', 'dir/y'], 'nest/dir', ['y'], true],
    ['the same file in another case', ['dir/x', 'dir/Y'], 'nest/Dir', ['y'], true],
    ['the same file, far down', ['dir/a/b/y'], 'nest/dir/a', ['b/x', 'b/y'], true],
    ['a file where the other has a folder', ['dir/a/b/y'], 'nest/dir', ['a'], true],
    ['a folder where the other has a file', ['dir/a'], 'nest/dir/a', ['b/y'], true],
    ['a folder in a file that is a torrent', ['dir'], 'nest/dir', ['y'], true],
    ['other files of one folder', ['dir/a/x', 'dir/b'], 'nest/dir', ['a/y', '-'], false],
    ['a folder that the other does not have', ['dir/a', '-'], 'nest/dir', ['b/a'], false],
  ])('of which one lies in the other: %s', (_what, outer, out, inner, expected) => {
    expect(meet(target('/none/nest', ...outer), target(join('/none', out), ...inner))).toBe(expected);
  });

  it('do not meet in the folder of one when both only read', () => {
    const [outer, inner] = [target('/none', 'dir/x'), target('/none/dir', 'x')];
    expect(meet({ ...outer, readonly: true }, inner)).toBe(true);
    expect(meet({ ...outer, readonly: true }, { ...inner, readonly: true })).toBe(false);
  });

  it('meet by way of a symlink, also one to what is still to be made', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'real'));
    await symlink('real', join(folder, 'link'));
    await symlink('link/later', join(folder, 'early'));
    await symlink('loop', join(folder, 'loop'));
    expect(meet(unread(join(folder, 'real'), 'x'), unread(join(folder, 'link'), 'x'))).toBe(true);
    expect(meet(unread(join(folder, 'real/later/deep'), 'x'), unread(join(folder, 'early/deep'), 'x'))).toBe(true);
    expect(meet(unread(join(folder, 'real'), 'later'), unread(folder, 'early'))).toBe(true);
    expect(meet(unread(join(folder, 'loop/deep'), 'x'), unread(join(folder, 'real'), 'x'))).toBe(false);
  });

  it('give their place back', () => {
    const targets = new Targets();
    const [outer, inner] = [target('/none', 'dir/a/x'), target('/none/dir/a', 'x')];
    for (const each of [outer, inner]) {
      targets.add(each);
      expect(targets.inTheWayOf(outer)).toBe(each);
      targets.delete(each);
      expect([targets.inTheWayOf(outer), targets.inTheWayOf(inner)]).toEqual([undefined, undefined]);
    }
  });

  it('are read only where they are nested', () => {
    const targets = new Targets();
    for (let i = 0; i < 100; i++) targets.add(unread(`/none/${i % 10}`, `x${i}`));
    expect(targets.inTheWayOf(unread('/none/3', 'y'))).toBeUndefined();
    expect(targets.inTheWayOf(unread('/none/30', 'y'))).toBeUndefined();
  });
});

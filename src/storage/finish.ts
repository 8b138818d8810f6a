/**
 * What is left to do when the payload is there (BEP 47): files marked `x` become executable, files marked `l` are made as
 * symlinks. Links are made last, so that nothing of the torrent is ever written through one; their targets lie inside the root,
 * which the metainfo has checked. Doing it again changes nothing.
 */
import { constants } from 'node:fs';
import { lstat, open, readlink, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileError } from '../errors.js';
import { call, nodeDisk } from './disk.js';
import { Folders } from './folders.js';
import { each } from './lanes.js';
import type { FileEntry } from './layout.js';
import { changed } from './torrent-file.js';

/**
 * @param onWarning told of a file that is complete but somebody else's, so that its mode stays as it is
 * @throws SpateError (LOCAL_IO, DISK_FULL) naming the file
 */
export async function finishFiles(
  root: string,
  files: readonly FileEntry[],
  onWarning: (message: string) => void,
): Promise<void> {
  await each(files, (entry) => assertThere(root, entry));
  const folders = new Folders(root, nodeDisk, true);
  for (const { path, executable } of files) if (executable) await makeExecutable(join(root, ...path), onWarning);
  const plain = new Set<string>();
  for (const { path, symlink: target } of files) {
    if (target === undefined) continue;
    await folders.check(path, path.length - 1);
    await assertNoLinks(root, path, plain);
    const at = join(root, ...path);
    // The folder that the link is in has no name of its own from there.
    await makeLink(at, relative(dirname(at), join(root, ...target)) || '.');
  }
}

/** A file may have been removed or cut after its last byte was written. */
async function assertThere(root: string, { path, length, pad, position, symlink }: FileEntry): Promise<void> {
  if (pad || position !== undefined || symlink !== undefined) return;
  const at = join(root, ...path);
  const facts = await call<{ readonly size: bigint }>((done) => nodeDisk.lstat(at, done)).catch((error: unknown) => {
    throw fileError(`find ${at}`, error);
  });
  if (facts.size < length) throw fileError(`keep ${at}`, changed(length, facts.size));
}

/** Who may read it may run it. */
async function makeExecutable(path: string, onWarning: (message: string) => void): Promise<void> {
  try {
    const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    try {
      const { mode } = await file.stat();
      const wanted = mode | ((mode & 0o444) >> 2);
      if (wanted !== mode) await file.chmod(wanted & 0o7777);
    } finally {
      await file.close();
    }
  } catch (error) {
    const failure = fileError(`make ${path} executable`, error);
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw failure;
    onWarning(failure.message);
  }
}

/** A folder may be a link within the root; a link made below it would point elsewhere than it says. */
async function assertNoLinks(root: string, path: readonly string[], plain: Set<string>): Promise<void> {
  for (let depth = 1; depth < path.length; depth++) {
    const folder = join(root, ...path.slice(0, depth));
    if (plain.has(folder)) continue;
    const stats = await lstat(folder);
    if (stats.isSymbolicLink()) throw fileError(`use folder ${folder}`, new Error('it is a symbolic link'));
    plain.add(folder);
  }
}

async function makeLink(at: string, target: string): Promise<void> {
  try {
    await symlink(target, at);
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST';
    if (isThere && (await readlink(at).catch(() => undefined)) === target) return;
    throw fileError(`make symbolic link ${at}`, isThere ? new Error('something else is there') : error);
  }
}

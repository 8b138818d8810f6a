/** Writes the files that a batch leaves for its user: whole or not at all. */
import { randomBytes } from 'node:crypto';
import { open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError } from '../errors.js';
import { isMissing } from '../storage/torrent-source.js';

/**
 * Replaces a file by a text: under a temporary name, flushed, renamed. What is no regular file, such as a pipe, is written to as
 * it is.
 * @throws SpateError LOCAL_IO or DISK_FULL, naming the path
 */
export async function writeReport(path: string, text: string): Promise<void> {
  try {
    const target = await targetOf(path);
    if (target === undefined) return await writeFile(path, text);
    const temporary = await writeBeside(target, text);
    await rename(temporary, target).catch(async (error: unknown) => {
      await remove(temporary);
      throw error;
    });
  } catch (error) {
    throw fileError(`write ${path}`, error);
  }
}

/**
 * Finds out before the work that a report could not be written after it. What is there stays.
 * @throws SpateError LOCAL_IO, naming the path
 */
export async function requireWritable(path: string): Promise<void> {
  try {
    const target = await targetOf(path);
    if (target === undefined) return;
    await rm(await writeBeside(target, ''));
  } catch (error) {
    throw fileError(`write ${path}`, error);
  }
}

/** The regular file that a path leads to, there or not; `undefined` for anything else. */
async function targetOf(path: string): Promise<string | undefined> {
  try {
    const facts = await stat(path);
    if (facts.isDirectory()) throw new Error('it is a folder');
    return facts.isFile() ? await realpath(path) : undefined;
  } catch (error) {
    if (isMissing(error)) return path;
    throw error;
  }
}

/** Writes a text to a file of its own beside the target, flushed. @returns its path */
async function writeBeside(target: string, text: string): Promise<string> {
  // With a dot, as a target that ends in a slash names a folder, which has to be there.
  const path = join(dirname(`${target}.`), `.spate-${randomBytes(8).toString('hex')}.new`);
  const file = await open(path, 'wx');
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await remove(path);
    throw error;
  } finally {
    await file.close();
  }
  return path;
}

/** What failed before is told of, this is not. */
async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
}

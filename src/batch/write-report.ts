/** Writes the files that a batch leaves for its user: whole or not at all. */
import { open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
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
    const temporary = `${target}.new`;
    try {
      await writeThrough(temporary, text);
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
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
    await writeThrough(`${target}.new`, '');
    await rm(`${target}.new`);
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

async function writeThrough(path: string, text: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

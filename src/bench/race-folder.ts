/** The folder of a race, which goes with the process however that ends, short of a kill; and what kind of storage it is on. */
import { rmSync } from 'node:fs';
import { mkdtemp, realpath, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../errors.js';

/**
 * Runs work in a new folder.
 * @throws SpateError LOCAL_IO when it cannot be made
 */
export async function inRaceFolder<T>(parent: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await realpath(parent)
    .then((real) => mkdtemp(join(real, 'spate-compare-')))
    .catch((error: unknown) => {
      throw fileError(`make a folder in ${parent}`, error);
    });
  const onExit = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', onExit);
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    process.off('exit', onExit);
  }
}

const FILE_SYSTEMS = new Map([
  [0x01021994, 'RAM disk (tmpfs)'],
  [0xef53, 'ext4'],
  [0x58465342, 'XFS'],
  [0x9123683e, 'Btrfs'],
  [0x794c7630, 'overlayfs'],
]);

export async function storageKind(folder: string): Promise<string> {
  const { type } = await statfs(folder);
  return FILE_SYSTEMS.get(type) ?? `file system 0x${type.toString(16)}`;
}

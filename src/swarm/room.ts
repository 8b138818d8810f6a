/** Whether what is about to be made fits. */
import { statfs } from 'node:fs/promises';
import { fileError, SpateError } from '../errors.js';

const MIB = 1_048_576;

/**
 * @param hint what else can be done
 * @throws SpateError DISK_FULL, LOCAL_IO when there is no such folder
 */
export async function requireRoom(folder: string, bytes: number, hint: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder).catch((error: unknown) => {
    throw fileError(`use ${folder}`, error);
  });
  const free = bavail * bsize;
  if (free >= bytes) return;
  const [needed, found] = [bytes, free].map((each) => `${Math.ceil(each / MIB)} MiB`);
  throw new SpateError('DISK_FULL', `expected ${needed} free in ${folder}, found ${found}; ${hint}`);
}

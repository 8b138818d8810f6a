// A folder of its own for each test, gone afterwards.
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** Has something done at an end. */
export type AtEnd = (close: () => Promise<void>) => void;

/** A new empty folder, its path free of symlinks; removed when the test ends, or at another end. */
export async function temporaryFolder(atEnd: AtEnd = onTestFinished): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'spate-test-')));
  atEnd(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** As `temporaryFolder`, for one run of a property: the caller's work is awaited and the folder removed. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'spate-test-')));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { expect, it, vi } from 'vitest';
import { finishFiles } from '../../../src/storage/finish.js';
import { contentOf, pathOf, table, writeAll } from '../../helpers/fs-table.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

/** Whoever runs the tests may own every file: the next `fchmod` is answered as one of somebody else's is. */
async function denyChmod(path: string, code: string): Promise<void> {
  const handle = await open(path);
  await handle.close();
  const error = Object.assign(new Error(`${code}: operation not permitted, fchmod`), { code });
  vi.spyOn(Object.getPrototypeOf(handle), 'chmod').mockRejectedValueOnce(error);
}

it('a file of somebody else that shall be executable is a warning, and the others are made so', async () => {
  const root = await temporaryFolder();
  const files = table(10, 10).map((file) => ({ ...file, executable: true }));
  writeAll(root, files, contentOf(files));
  const [first, second] = [pathOf(root, files[0]!), pathOf(root, files[1]!)];
  await denyChmod(first, 'EPERM');
  const warnings: string[] = [];
  await finishFiles(root, files, (message) => warnings.push(message));
  expect(warnings).toEqual([`cannot make ${first} executable: EPERM: operation not permitted, fchmod`]);
  expect([first, second].map((path) => statSync(path).mode & 0o100)).toEqual([0, 0o100]);
});

it('a disk that cannot make a file executable is an error', async () => {
  const root = await temporaryFolder();
  const files = table(10).map((file) => ({ ...file, executable: true }));
  writeAll(root, files, contentOf(files));
  await denyChmod(pathOf(root, files[0]!), 'EIO');
  await expect(finishFiles(root, files, () => {})).rejects.toMatchObject({ code: 'LOCAL_IO' });
});

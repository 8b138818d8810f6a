import { execFileSync } from 'node:child_process';
import { mkdir, open, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { requireWritable, writeReport } from '../../../src/batch/write-report.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

test('a report is written whole, over what was there, and leaves nothing beside it', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'report.json');
  await writeReport(path, 'one and more');
  await writeReport(path, 'two');
  expect(await readFile(path, 'utf8')).toBe('two');
  expect(await readdir(folder)).toEqual(['report.json']);
});

test('a file of the user beside the report, whatever its name, stays as it is', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'report.json');
  const mine = `${path}.new`;
  await writeFile(mine, 'mine');
  await requireWritable(path);
  await writeReport(path, 'new');
  expect(await readFile(mine, 'utf8')).toBe('mine');
  expect(await readdir(folder)).toEqual(['report.json', 'report.json.new']);
});

test('a report may have the longest name that a file can have', async () => {
  const folder = await temporaryFolder();
  const name = `${'r'.repeat(250)}.json`;
  await requireWritable(join(folder, name));
  await writeReport(join(folder, name), 'text');
  expect(await readdir(folder)).toEqual([name]);
});

test('a link to a report stays one', async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'real.json'), 'old');
  await symlink('real.json', join(folder, 'link.json'));
  await writeReport(join(folder, 'link.json'), 'new');
  expect(await readlink(join(folder, 'link.json'))).toBe('real.json');
  expect(await readFile(join(folder, 'real.json'), 'utf8')).toBe('new');
});

test('a pipe is written to as it is', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'pipe.json');
  execFileSync('mkfifo', [path]);
  // Open for both, so that neither end waits for the other.
  const pipe = await open(path, 'r+');
  try {
    await requireWritable(path);
    await writeReport(path, 'text');
    const { buffer, bytesRead } = await pipe.read(Buffer.alloc(10), 0, 10);
    expect(buffer.toString('utf8', 0, bytesRead)).toBe('text');
  } finally {
    await pipe.close();
  }
  expect(await readdir(folder)).toEqual(['pipe.json']);
});

test('that a report could not be written is known before', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'report.json');
  await writeFile(path, 'old');
  await requireWritable(path);
  expect(await readFile(path, 'utf8')).toBe('old');
  expect(await readdir(folder)).toEqual(['report.json']);

  const nowhere = join(folder, 'none', 'report.json');
  await expect(requireWritable(nowhere)).rejects.toMatchObject({
    code: 'LOCAL_IO',
    message: expect.stringContaining(`cannot write ${nowhere}: `),
  });
  await expect(writeReport(nowhere, '')).rejects.toMatchObject({ code: 'LOCAL_IO' });
  await expect(requireWritable(join(folder, 'none/'))).rejects.toMatchObject({ code: 'LOCAL_IO' });
  await mkdir(join(folder, 'dir.json'));
  await expect(requireWritable(join(folder, 'dir.json'))).rejects.toThrow('it is a folder');
});

test('a folder that takes no files is known before', async () => {
  await expect(requireWritable('/proc/spate-report.json')).rejects.toMatchObject({ code: 'LOCAL_IO' });
});

import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../helpers/fs-temp.js';

const SETUP = fileURLToPath(new URL('../../scripts/setup.js', import.meta.url));

it('installs nothing through a symbolic link: that would empty the folder of another checkout', async () => {
  const folder = await temporaryFolder();
  const [checkout, others] = [join(folder, 'checkout'), join(folder, 'others')];
  await mkdir(join(checkout, 'scripts'), { recursive: true });
  await mkdir(join(others, 'package'), { recursive: true });
  await symlink(others, join(checkout, 'node_modules'));
  await copyFile(SETUP, join(checkout, 'scripts/setup.js'));
  await writeFile(join(checkout, 'package.json'), '{"type":"module","name":"x","version":"1.0.0"}');
  await writeFile(join(checkout, 'package-lock.json'), '{"lockfileVersion":3,"name":"x","packages":{"":{"name":"x"}}}');

  const { status, stderr } = spawnSync(process.execPath, [join(checkout, 'scripts/setup.js')], { encoding: 'utf8' });

  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: 'setup: node_modules is a symbolic link and out of date: install where it points to, or remove it\n',
  });
  expect(await readdir(others)).toEqual(['package']);
});

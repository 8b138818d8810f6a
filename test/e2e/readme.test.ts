import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { firstDifference } from '../../src/swarm/payload.js';
import { SINGLE, testSwarm } from '../helpers/cli-swarm.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('the example of the README downloads a torrent with the package as it is installed', async () => {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const example = /```js\n(.*?)```/s.exec(readme)![1]!;
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();
  const { folder } = swarm;
  await mkdir(join(folder, 'node_modules'));
  await symlink(ROOT, join(folder, 'node_modules', 'spate-bt'), 'junction');
  // A project of its own, whatever lies above it.
  await writeFile(join(folder, 'package.json'), '{}');
  await writeFile(join(folder, 'example.mjs'), example);
  await copyFile(swarm.torrent, join(folder, 'debian.torrent'));

  const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], { cwd: folder });

  expect(stdout).toContain('single.bin is complete and verified\n');
  expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
});

test('every flag of the README is one the command takes', async () => {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const flags = [...readme.matchAll(/^\| (`-.*?) \|/gm)].flatMap(([, cell]) => cell!.match(/--?[a-z-]+/g)!);
  expect(flags.length).toBeGreaterThan(12);
  const cli = join(ROOT, 'dist/src/cli/main.js');
  const help = await Promise.all(
    ['get', 'batch'].map((command) => promisify(execFile)(process.execPath, [cli, command, '--help'])),
  );
  const text = help.map(({ stdout }) => stdout).join('');
  for (const flag of flags) expect(text).toMatch(new RegExp(`(?:^| )${flag}\\b`, 'm'));
});

import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { parseMetainfo } from '../../src/protocol/metainfo.js';
import { startSpate } from '../helpers/cli-run.js';
import { hasBytes, LOCAL, SINGLE, type TestSwarm, testSwarm } from '../helpers/cli-swarm.js';

/** Options of a Node whose flushes hang: each takes a thread of the pool and never ends, as on a disk that does not answer. */
async function hangingFlushes({ folder }: TestSwarm): Promise<NodeJS.ProcessEnv> {
  const [pipe, preload] = [join(folder, 'pipe'), join(folder, 'hang.mjs')];
  execFileSync('mkfifo', [pipe]);
  await writeFile(
    preload,
    `import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
fs.fdatasync = () => fs.open(${JSON.stringify(pipe)}, 'r', () => {});
syncBuiltinESMExports();
`,
  );
  return { NODE_OPTIONS: `--import ${pathToFileURL(preload)}` };
}

/** A download, told to stop by a signal, whose last flush hangs. */
async function stopping() {
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();
  const flags = ['-o', swarm.downloads, ...LOCAL, '--json', '-v', '--max-down', '200KiB'];
  const run = startSpate([swarm.torrent, ...flags], { env: await hangingFlushes(swarm) });
  await hasBytes(swarm);
  run.child.kill('SIGINT');
  await run.said('stopping');
  return { swarm, run };
}

test('a disk that hangs holds up no end: the trackers are told, the summary is printed, and the signal ends it', async () => {
  const { swarm, run } = await stopping();
  const { stdout, stderr } = await run.ended;
  expect(run.child.signalCode).toBe('SIGINT');
  expect(stderr).toContain('the disk does not answer');
  expect(JSON.parse(stdout)).toMatchObject({ type: 'summary', exitCode: 130 });
  const { infohash } = parseMetainfo(await readFile(swarm.torrent));
  expect(swarm.tracker.counts(infohash).leechers).toBe(0);
});

test('a second signal ends it at once, also while the disk hangs', async () => {
  const { run } = await stopping();
  run.child.kill('SIGINT');
  const { stdout } = await run.ended;
  expect(run.child.signalCode).toBe('SIGINT');
  expect(stdout).toBe('');
});

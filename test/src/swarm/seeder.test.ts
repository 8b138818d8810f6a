import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test, vi } from 'vitest';
import { parseMetainfo } from '../../../src/protocol/metainfo.js';
import { type Seeder, startSeeder } from '../../../src/swarm/seeder.js';
import { isListening } from '../../helpers/cli-run.js';
import { keepPieces, loseAll, SINGLE, type TestSwarm, testSwarm } from '../../helpers/cli-swarm.js';

/** A process that seeds what is there; gone when the test ends. */
async function started({ torrent, seeds }: TestSwarm): Promise<Seeder> {
  const seeder = await startSeeder({ torrent, dir: seeds });
  onTestFinished(async () => void (await seeder.stop()));
  return seeder;
}

test('a seeder has started when the tracker counts it', async () => {
  const swarm = await testSwarm(SINGLE);
  await keepPieces(swarm, 30);

  const seeder = await started(swarm);

  expect(seeder).toMatchObject({ pieces: 30, of: 40 });
  const { infohash } = parseMetainfo(await readFile(swarm.torrent));
  expect(swarm.tracker.counts(infohash).seeders + swarm.tracker.counts(infohash).leechers).toBe(1);
});

test('a stopped seeder is gone, and has told the tracker', async () => {
  const swarm = await testSwarm(SINGLE);
  const { infohash } = parseMetainfo(await readFile(swarm.torrent));
  const seeder = await started(swarm);
  expect(swarm.tracker.counts(infohash).seeders).toBe(1);

  expect(await seeder.stop()).toEqual({ code: 143, signal: null });

  expect(swarm.tracker.counts(infohash).seeders).toBe(0);
  expect(() => process.kill(seeder.pid, 0)).toThrow('ESRCH');
});

test('a seeder ends when the process that started it is killed', async () => {
  const swarm = await testSwarm(SINGLE);
  const script = join(swarm.folder, 'parent.mjs');
  await writeFile(
    script,
    `import { startSeeder } from ${JSON.stringify(new URL('../../../dist/src/swarm/seeder.js', import.meta.url).href)};
     const [torrent, dir] = process.argv.slice(2);
     console.log((await startSeeder({ torrent, dir })).port);`,
  );
  const parent = spawn(process.execPath, [script, swarm.torrent, swarm.seeds], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    if (parent.exitCode === null && parent.signalCode === null) parent.kill('SIGKILL');
  });
  const [line] = await once(createInterface({ input: parent.stdout }), 'line');
  const port = Number(line);
  expect(await isListening(port)).toBe(true);

  parent.kill('SIGKILL');

  await vi.waitFor(async () => expect(await isListening(port)).toBe(false), { timeout: 10_000, interval: 20 });
});

test('a seeder that cannot start says why', async () => {
  const swarm = await testSwarm(SINGLE);
  await loseAll(swarm);

  await expect(started(swarm)).rejects.toThrow(/ended with exit code 6 instead of seeding: .*nothing to seed/);
});

test('a seeder that is no longer wanted while it starts is ended', async () => {
  const swarm = await testSwarm(SINGLE);
  const controller = new AbortController();
  const reason = new Error('enough');
  const starting = startSeeder({ torrent: swarm.torrent, dir: swarm.seeds, signal: controller.signal });

  controller.abort(reason);

  await expect(starting).rejects.toBe(reason);
});

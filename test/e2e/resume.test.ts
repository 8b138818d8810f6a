import { copyFile, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { firstDifference, type PayloadShape } from '../../src/swarm/payload.js';
import { startSeeder } from '../../src/swarm/seeder.js';
import { spate, startSpate } from '../helpers/cli-run.js';
import { hasBytes, LOCAL, PIECE, SINGLE, type TestSwarm, testSwarm } from '../helpers/cli-swarm.js';

const KILLS = Number(process.env.SPATE_TEST_KILLS ?? 5);
/** 192 pieces. */
const LONG: PayloadShape = { seed: 'long', name: 'long.bin', length: 192 * PIECE - 77 };
/** Long enough that half of what a run has fetched is more than its buffers hold, in files that end within pieces. */
const LENGTHS = [1, 2, 3].map((part) => part * Math.max(128, KILLS * 12) * PIECE + part * 777);
const MANY: PayloadShape = {
  seed: 'many',
  name: 'many',
  length: LENGTHS.reduce((sum, length) => sum + length),
  files: LENGTHS.map((length, index) => ({ path: [`folder ${index % 2}`, `${index}.bin`], length })),
};
/** Buffered payload of a run that is killed. */
const MEMORY = 16 * PIECE;

const get = (swarm: TestSwarm, ...flags: string[]): string[] => [
  swarm.torrent,
  '-o',
  swarm.downloads,
  ...LOCAL,
  '--json',
  '-v',
  ...flags,
];
const known = (stderr: string): number => Number(/(\d+) of \d+ good pieces were known/.exec(stderr)?.[1]);
const found = (stderr: string): number =>
  Number(/known from the last time/.test(stderr) && (/: (\d+) of \d+ pieces are on disk/.exec(stderr)?.[1] ?? 0));

test(`a download killed ${KILLS} times at random moments ends with every byte right, and no verified piece is fetched again`, {
  timeout: 60_000 + KILLS * 5_000,
}, async () => {
  const swarm = await testSwarm(MANY);
  const seeder = await swarm.seeder();
  // Runs that are killed fetch some three quarters of it.
  const rate = `${Math.ceil((MANY.length / KILLS) * 2)}`;
  let kills = 0;
  for (let n = 0; n < KILLS; n++) {
    const run = startSpate(get(swarm, '--memory', `${MEMORY}`, '--max-down', rate));
    // One in four while it starts or looks at what is there, the others in the download itself, or at its end.
    if (n % 4 > 0) await run.said('known from the last time');
    const moment = setTimeout(() => run.child.kill('SIGKILL'), Math.random() * 700);
    await run.ended;
    clearTimeout(moment);
    if (run.child.signalCode === 'SIGKILL') kills++;
  }
  const { code, stdout } = await spate(get(swarm));
  expect(code).toBe(0);
  expect(JSON.parse(stdout).downloads[0].have).toBe(MANY.length);
  expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
  // A kill costs what was on its way and what was unfinished: every block that is asked for has its place in a buffer.
  expect(kills).toBeGreaterThan(0);
  expect(seeder.uploaded()).toBeLessThanOrEqual(MANY.length + kills * MEMORY);
});

test('a download that was stopped goes on with what it has, unfinished pieces included, and nothing is hashed', async () => {
  const swarm = await testSwarm(LONG);
  const seeder = await startSeeder({ torrent: swarm.torrent, dir: swarm.seeds, flags: ['--max-up', '3MiB'] });
  const run = startSpate(get(swarm));
  await hasBytes(swarm);
  run.child.kill('SIGINT');
  const first = await run.ended;
  await seeder.stop();
  expect(first.code).toBe(130);
  const { have } = JSON.parse(first.stdout).downloads[0];
  expect(have).toBeGreaterThan(0);
  await swarm.seeder();

  const second = await spate(get(swarm));

  expect(second.code).toBe(0);
  expect(known(second.stderr)).toBe(Math.ceil(have / PIECE));
  expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
});

describe('a finished download', () => {
  const closers: (() => Promise<void>)[] = [];
  afterAll(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  let made: Promise<{ readonly swarm: TestSwarm; readonly peer: readonly string[] }> | undefined;
  /** One for all of these: each of them leaves it complete. */
  const finished = () => {
    made ??= (async () => {
      const swarm = await testSwarm(
        SINGLE,
        () => [],
        (close) => closers.push(close),
      );
      const peer = ['--peer', `127.0.0.1:${(await swarm.seeder()).port}`];
      expect((await spate(get(swarm, ...peer))).code).toBe(0);
      return { swarm, peer };
    })();
    return made;
  };

  test('ends at once, its pieces known', async () => {
    const { swarm } = await finished();
    const { code, stderr } = await spate(get(swarm));
    expect({ code, known: known(stderr) }).toEqual({ code: 0, known: 40 });
  });

  test('is hashed with --check full', async () => {
    const { swarm } = await finished();
    const { code, stderr } = await spate(get(swarm, '--check', 'full'));
    expect({ code, known: known(stderr) }).toEqual({ code: 0, known: 0 });
  });

  test.each([
    ['changed', async (path: string) => writeFile(path, Buffer.alloc(PIECE * 2), { flag: 'r+' }), 38, 2 * PIECE],
    ['truncated', async (path: string) => truncate(path, 10 * PIECE), 10, SINGLE.length - 10 * PIECE],
    ['missing', async (path: string) => rm(path), 0, SINGLE.length],
  ] as const)('is gone on with where its file is %s', async (_, damage, left, missing) => {
    const { swarm, peer } = await finished();
    await damage(join(swarm.downloads, SINGLE.name));
    const { code, stderr, stdout } = await spate(get(swarm, ...peer));
    expect({ code, known: known(stderr), found: found(stderr) }).toEqual({ code: 0, known: 0, found: left });
    expect(JSON.parse(stdout).downloads[0].downloaded).toBe(missing);
    expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
  });

  test('whose file has grown is hashed, and said to be longer', async () => {
    const { swarm } = await finished();
    const path = join(swarm.downloads, SINGLE.name);
    await writeFile(path, 'more', { flag: 'a' });
    const { code, stderr } = await spate(get(swarm));
    expect({ code, known: known(stderr) }).toEqual({ code: 0, known: 0 });
    expect(stderr).toContain(`has ${SINGLE.length + 4} bytes, expected ${SINGLE.length}`);
    await truncate(path, SINGLE.length);
  });
});

test('--check none takes nothing as good that was never verified', async () => {
  const swarm = await testSwarm(SINGLE);
  await mkdir(swarm.downloads, { recursive: true });
  await copyFile(join(swarm.seeds, SINGLE.name), join(swarm.downloads, SINGLE.name));
  const { code, stderr } = await spate(['seed', swarm.torrent, swarm.downloads, ...LOCAL, '--check', 'none']);
  expect(code).toBe(6);
  expect(stderr).toContain('nothing to seed');
});

test('a second download of the same torrent into the same folder ends with exit code 11; a killed one is no obstacle', async () => {
  const swarm = await testSwarm(SINGLE, () => []);
  const waiting = startSpate(get(swarm, '--peer', '127.0.0.1:1', '--peer-timeout', '0'));
  await waiting.said('good pieces were known');
  const second = await spate(get(swarm));
  expect(second.code).toBe(11);
  expect(second.stderr).toContain('is being downloaded into');
  waiting.child.kill('SIGKILL');
  await waiting.ended;
  const { port } = await swarm.seeder();
  expect((await spate(get(swarm, '--peer', `127.0.0.1:${port}`))).code).toBe(0);
});

test('a download into the same folder with another state folder ends with exit code 11, whatever path leads there', {
  skip: process.platform !== 'linux',
}, async () => {
  const swarm = await testSwarm(SINGLE, () => []);
  const waiting = startSpate(get(swarm, '--peer', '127.0.0.1:1', '--peer-timeout', '0'));
  await waiting.said('good pieces were known');
  const link = join(swarm.folder, 'link');
  await symlink(swarm.downloads, link);
  const env = { XDG_STATE_HOME: join(swarm.folder, 'state') };
  const second = await spate([swarm.torrent, '-o', link, ...LOCAL], { env });
  expect(second.code).toBe(11);
  expect(second.stderr).toContain('is being downloaded into');
});

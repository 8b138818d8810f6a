import { copyFile, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { firstDifference, type PayloadShape } from '../../src/swarm/payload.js';
import { startSeeder } from '../../src/swarm/seeder.js';
import { spate, startSpate } from '../helpers/cli-run.js';
import { hasBytes, LOCAL, PIECE, SINGLE, type TestSwarm, testSwarm } from '../helpers/cli-swarm.js';

const KILLS = Number(process.env.SPATE_TEST_KILLS ?? 5);
/** 192 pieces. */
const LONG: PayloadShape = { seed: 'long', name: 'long.bin', length: 192 * PIECE - 77 };
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

test(`a download killed ${KILLS} times at random moments ends with every byte right, and no verified piece is lost`, {
  timeout: 60_000 + KILLS * 5_000,
}, async () => {
  const swarm = await testSwarm(LONG);
  await swarm.seeder();
  const rate = `${Math.ceil((LONG.length / KILLS) * 2)}`;
  let before = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const run = startSpate(get(swarm, '--memory', `${MEMORY}`, '--max-down', rate));
    // A random moment of the download itself, or of its end.
    await run.said('known from the last time');
    const moment = setTimeout(() => run.child.kill('SIGKILL'), Math.random() * 700);
    const { stderr, code } = await run.ended;
    clearTimeout(moment);
    const now = code === 0 ? 192 : found(stderr);
    expect(now).toBeGreaterThanOrEqual(before);
    before = now;
  }
  expect(before).toBeGreaterThan(0);
  const { code, stdout, stderr } = await spate(get(swarm));
  expect(code).toBe(0);
  const left = /are on disk/.test(stderr) ? LONG.length - found(stderr) * PIECE + PIECE : 0;
  if (left > 0) expect(found(stderr)).toBeGreaterThanOrEqual(before);
  const [{ have, downloaded }] = JSON.parse(stdout).downloads;
  expect(have).toBe(LONG.length);
  expect(downloaded).toBeLessThanOrEqual(left);
  expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
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

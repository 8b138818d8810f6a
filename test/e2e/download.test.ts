import { copyFile, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseMetainfo } from '../../src/protocol/metainfo.js';
import { firstDifference } from '../../src/swarm/payload.js';
import { spate, startSpate } from '../helpers/cli-run.js';
import { keepPieces, LOCAL, PIECE, SEVERAL, SINGLE, type TestSwarm, testSwarm } from '../helpers/cli-swarm.js';

const get = (swarm: TestSwarm, ...flags: string[]): string[] => [
  swarm.torrent,
  '-o',
  swarm.downloads,
  ...LOCAL,
  ...flags,
];

test.each([
  ['HTTP', (urls: { httpUrl: string }) => [[urls.httpUrl]]],
  ['UDP', (urls: { udpUrl: string }) => [[urls.udpUrl]]],
] as const)('a seeder is found through a tracker over %s, and every byte is downloaded', async (_, trackers) => {
  const swarm = await testSwarm(SINGLE, trackers);
  const seeder = await swarm.seeder();
  expect(seeder).toMatchObject({ pieces: 40, of: 40 });

  const { code, stdout, stderr } = await spate(get(swarm));

  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const path = join(swarm.downloads, 'single.bin');
  expect(stdout).toMatch(/^done \S+ 2\.5 MiB in \d+\.\d+ s \(\d+(\.\d)? [KM]iB\/s\), wasted \d+\.\d%\n$/);
  expect(stdout).toContain(`done ${path} `);
  expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
});

test('a torrent of several files is downloaded across file boundaries, empty files included', async () => {
  const swarm = await testSwarm(SEVERAL);
  await swarm.seeder();

  const { code } = await spate(['get', ...get(swarm)]);

  expect(code).toBe(0);
  expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
  expect((await stat(join(swarm.downloads, 'several', 'folder', 'empty'))).size).toBe(0);
});

test('a peer named on the command line is enough', async () => {
  const swarm = await testSwarm(SINGLE, () => []);
  const { port } = await swarm.seeder();

  const { code } = await spate(get(swarm, '--peer', `localhost:${port}`));

  expect(code).toBe(0);
  expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
});

test('what is on disk already is kept and only the rest is fetched', async () => {
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();
  const path = join(swarm.downloads, 'single.bin');
  await copyFile(join(swarm.seeds, 'single.bin'), path);
  await truncate(path, 25 * PIECE);

  const { code, stdout, stderr } = await spate(get(swarm, '--json'));

  expect(code).toBe(0);
  expect(stderr).toContain('single.bin: 25 of 40 pieces are on disk already\n');
  expect(JSON.parse(stdout).downloads[0].downloaded).toBe(SINGLE.length - 25 * PIECE);
  expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
});

test('a finished download ends at once: no tracker is asked, no byte touched', async () => {
  const swarm = await testSwarm(SINGLE, () => [['http://127.0.0.1:1/announce']]);
  const path = join(swarm.seeds, 'single.bin');
  const { mtimeMs } = await stat(path);

  const { code, stdout, stderr } = await spate([swarm.torrent, '-o', swarm.seeds, ...LOCAL]);

  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toBe(`done ${path} 2.5 MiB, already complete\n`);
  expect((await stat(path)).mtimeMs).toBe(mtimeMs);
});

test('with --events stdout is what happens, from start to summary, and the torrent behind the flag is left alone', async () => {
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();
  const before = await readFile(swarm.torrent);

  const { code, stdout, stderr } = await spate(['get', '--events', ...get(swarm)]);

  expect(code).toBe(0);
  expect(stderr).toMatch(/^done \S+ 2\.5 MiB in .*\n$/);
  expect(await readFile(swarm.torrent)).toEqual(before);
  const events = stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  const types = events.map(({ type }) => type);
  expect(types.slice(0, 3)).toEqual(['start', 'added', 'metadata']);
  expect(types).toEqual(expect.arrayContaining(['check', 'tracker', 'peer', 'done']));
  expect(types.indexOf('summary')).toBe(types.length - 1);
  const { infohash } = parseMetainfo(before);
  const done = events[types.indexOf('done')];
  expect(done).toMatchObject({ infohash: Buffer.from(infohash).toString('hex'), downloaded: SINGLE.length });
  expect(events.at(-1)).toMatchObject({ exitCode: 0, downloads: [{ name: 'single.bin', have: SINGLE.length }] });
});

test('with --events a torrent that is none is told as an error, and the file has a last word', async () => {
  const swarm = await testSwarm(SINGLE);
  const events = join(swarm.downloads, 'events');

  const { code } = await spate(['get', `--events=${events}`, '-o', swarm.downloads, '/nowhere.torrent']);

  expect(code).toBe(3);
  const told = (await readFile(events, 'utf8')).split('\n').slice(0, -1);
  expect(told.map((line) => JSON.parse(line))).toMatchObject([
    { type: 'start' },
    { type: 'added', source: '/nowhere.torrent' },
    { type: 'error', source: '/nowhere.torrent', error: { code: 'INVALID_TORRENT' } },
    { type: 'summary', exitCode: 3 },
  ]);
});

test('with --json stdout is one object with the facts in bytes and seconds', async () => {
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();

  const { stdout } = await spate(get(swarm, '--json', '-q'));

  expect(stdout.endsWith('}\n')).toBe(true);
  const summary = JSON.parse(stdout);
  expect(summary).toEqual({
    type: 'summary',
    exitCode: 0,
    seconds: expect.any(Number),
    downloads: [
      {
        source: swarm.torrent,
        infohash: expect.stringMatching(/^[0-9a-f]{40}$/),
        name: 'single.bin',
        path: join(swarm.downloads, 'single.bin'),
        state: 'complete',
        length: SINGLE.length,
        have: SINGLE.length,
        downloaded: SINGLE.length,
        uploaded: 0,
        wasted: expect.any(Number),
        seconds: expect.any(Number),
        downRate: expect.any(Number),
        peers: 1,
        knownPeers: expect.any(Number),
      },
    ],
  });
  expect(summary.downloads[0].downRate).toBeGreaterThan(0);
});

test('several torrents are downloaded in one session', async () => {
  const one = await testSwarm(SINGLE);
  const two = await testSwarm(SEVERAL);
  await Promise.all([one.seeder(), two.seeder()]);

  const { code, stdout } = await spate([one.torrent, two.torrent, '-o', one.downloads, ...LOCAL]);

  expect(code).toBe(0);
  expect(stdout.trim().split('\n')).toHaveLength(2);
  expect(await firstDifference(one.shape, one.downloads)).toBeUndefined();
  expect(await firstDifference(two.shape, one.downloads)).toBeUndefined();
});

test('a torrent that fails does not keep another from its end; the exit code says that they differ', async () => {
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();

  const { code, stdout, stderr } = await spate(get(swarm, '--json', join(swarm.folder, 'none.torrent')));

  expect(code).toBe(7);
  expect(stderr).toContain(`spate: cannot read ${join(swarm.folder, 'none.torrent')}: `);
  expect(JSON.parse(stdout).downloads).toMatchObject([
    { state: 'complete' },
    { state: 'failed', infohash: null, error: { code: 'INVALID_TORRENT' } },
  ]);
});

test('without any peer the download gives up after --peer-timeout, with exit code 4 and the reason', async () => {
  const swarm = await testSwarm(SINGLE);

  const { code, stdout, stderr } = await spate(get(swarm, '--peer-timeout', '300ms'));

  expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
  expect(stderr).toMatch(/^spate: single\.bin: no peer is known after \d+ s\n$/);
});

test('a tracker that fails is named once', async () => {
  const swarm = await testSwarm(SINGLE, () => [['http://127.0.0.1:1/announce']]);

  const { code, stderr } = await spate(get(swarm, '--peer-timeout', '500ms'));

  expect(code).toBe(4);
  expect(stderr.match(/spate: warning: tracker http:\/\/127\.0\.0\.1:1\/announce: /g)).toHaveLength(1);
});

test('a swarm that lacks pieces ends in a stall, exit code 5; what came is kept for the next run', async () => {
  const swarm = await testSwarm(SINGLE);
  await keepPieces(swarm, 15);
  const partial = await swarm.seeder();
  expect(partial).toMatchObject({ pieces: 15, of: 40 });

  const first = await spate(get(swarm, '--stall-timeout', '500ms'));

  expect(first).toMatchObject({ code: 5, stdout: '' });
  expect(first.stderr).toContain('spate: single.bin: ');
  const second = await spate(get(swarm, '--stall-timeout', '500ms', '--json'));
  expect(second.stderr).toContain('single.bin: 15 of 40 pieces are on disk already\n');
  expect(JSON.parse(second.stdout).downloads[0]).toMatchObject({
    state: 'failed',
    have: 15 * PIECE,
    downloaded: 0,
    error: { code: 'STALLED' },
  });
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s stops a download in good order within 3 s, with exit code %i', async (signal, expected) => {
  const swarm = await testSwarm(SINGLE);
  const run = startSpate(get(swarm, '-v', '--json', '--peer-timeout', '0'));
  await run.said('tracker http');
  const infohash = parseMetainfo(await readFile(swarm.torrent)).infohash;
  expect(swarm.tracker.counts(infohash).leechers).toBe(1);

  const signalledAt = performance.now();
  run.child.kill(signal);
  const { code, stdout, stderr } = await run.ended;

  expect(code).toBe(expected);
  expect(performance.now() - signalledAt).toBeLessThan(3000);
  expect(stderr).toContain('single.bin: stopped at 0%, 0/2.5 MiB; run the same command again to go on\n');
  expect(JSON.parse(stdout).downloads[0].state).toBe('stopped');
  expect(swarm.tracker.counts(infohash).leechers).toBe(0);
});

test('with --seed a download goes on as a seeder of what it has fetched', async () => {
  const swarm = await testSwarm(SINGLE);
  const first = await swarm.seeder();
  const run = startSpate(get(swarm, '--seed', '--json', '-v'));
  await run.said('seeding single.bin on port');
  await first.stop();

  const { code } = await spate([swarm.torrent, '-o', join(swarm.folder, 'second'), ...LOCAL]);

  expect(code).toBe(0);
  expect(await firstDifference(swarm.shape, join(swarm.folder, 'second'))).toBeUndefined();
  run.child.kill('SIGINT');
  const ended = await run.ended;
  expect(ended.code).toBe(130);
  expect(JSON.parse(ended.stdout).downloads[0]).toMatchObject({ have: SINGLE.length, downloaded: SINGLE.length });
});

test('a torrent is read from stdin', async () => {
  const swarm = await testSwarm(SINGLE);

  const { code } = await spate(['-', '-o', swarm.seeds, ...LOCAL], { stdin: await readFile(swarm.torrent) });

  expect(code).toBe(0);
});

test('what is complete is seeded for --seed-time, and the command ends by itself', async () => {
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();

  const { code, stderr } = await spate(get(swarm, '--seed-time', '300ms'));

  expect(code).toBe(0);
  expect(stderr).toMatch(/seeding single\.bin on port \d+ until its goal is reached or a signal\n/);
});

test('what is complete is seeded until --seed-ratio is reached', async () => {
  const swarm = await testSwarm(SINGLE, () => []);
  const giver = startSpate([swarm.torrent, '-o', swarm.seeds, ...LOCAL, '--seed-ratio', '1', '--json']);
  await giver.said('until its goal is reached');
  const [, port] = /on port (\d+)/.exec(giver.text())!;

  const taker = await spate(get(swarm, '--peer', `127.0.0.1:${port}`));
  const { code, stdout } = await giver.ended;

  expect([taker.code, code]).toEqual([0, 0]);
  expect(JSON.parse(stdout).downloads).toMatchObject([{ uploaded: SINGLE.length, downloaded: 0 }]);
});

test('what is not done at the --deadline is given up with exit code 5', async () => {
  const swarm = await testSwarm(SINGLE, () => []);

  const { code, stderr } = await spate(get(swarm, '--peer', '127.0.0.1:1', '--deadline', '300ms'));

  expect(code).toBe(5);
  expect(stderr).toBe('spate: single.bin: the deadline of 0.30 s was reached\n');
});

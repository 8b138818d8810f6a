import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { spate } from '../helpers/cli-run.js';
import { SINGLE, testSwarm } from '../helpers/cli-swarm.js';
import { smallTorrent } from '../helpers/small-torrent.js';

test('info --scrape tells what the trackers count, for people and as JSON', async () => {
  const { torrent, tracker, seeder } = await testSwarm(SINGLE);
  await seeder();
  const text = await spate(['info', torrent, '--scrape']);
  expect(text).toMatchObject({ code: 0, stderr: '' });
  expect(text.stdout).toMatch(/\n\nseeders {2}leechers {2}completed {2}tracker\n +1 +0 +\d+ {2}\S+\n/);
  const json = JSON.parse((await spate(['info', torrent, '--scrape', '--json'])).stdout);
  expect(json.scrape).toContainEqual({ url: tracker.httpUrl, seeders: 1, leechers: 0, completed: expect.any(Number) });
});

test('info --scrape of trackers that tell nothing says why and ends with 4, after the rest', async () => {
  const { folder } = await testSwarm(SINGLE);
  const path = join(folder, 'lost.torrent');
  await writeFile(path, smallTorrent(1000, 16_384, { announce: 'http://127.0.0.1:1/announce' }).bytes);
  const { code, stdout, stderr } = await spate(['info', path, '--scrape']);
  expect(code).toBe(4);
  expect(stdout).toContain('payload.bin');
  expect(stderr).toContain('spate: warning: tracker http://127.0.0.1:1/announce: connect ECONNREFUSED');
  expect(stderr).toContain('spate: no tracker tells how large the swarm is\n');
});

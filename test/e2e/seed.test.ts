import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { spate, startSpate } from '../helpers/cli-run.js';
import { keepPieces, LOCAL, loseAll, SINGLE, testSwarm } from '../helpers/cli-swarm.js';

test('seeding prints a line for machines when it is ready, and a summary when it is interrupted', async () => {
  const swarm = await testSwarm(SINGLE);
  const run = startSpate(['seed', swarm.torrent, swarm.seeds, '--json', ...LOCAL]);
  const [line] = await once(createInterface({ input: run.child.stdout! }), 'line');

  const ready = JSON.parse(line);
  expect(ready).toEqual({ type: 'ready', port: expect.any(Number), pieces: 40, of: 40 });
  run.child.kill('SIGINT');
  const { code, stdout, stderr } = await run.ended;

  expect(code).toBe(130);
  expect(stderr).toContain(`seeding single.bin on port ${ready.port} until a signal (2.5 MiB, 40 of 40 pieces)\n`);
  const lines = stdout.trim().split('\n');
  expect(lines).toHaveLength(2);
  expect(JSON.parse(lines[1]!)).toMatchObject({
    type: 'summary',
    exitCode: 130,
    downloads: [{ state: 'stopped', have: SINGLE.length, downloaded: 0 }],
  });
});

test('incomplete data are seeded as far as they go, with a warning', async () => {
  const swarm = await testSwarm(SINGLE);
  await keepPieces(swarm, 30);
  const run = startSpate(['seed', swarm.torrent, swarm.seeds, ...LOCAL]);
  await run.said('until a signal');
  run.child.kill('SIGTERM');
  const { code, stderr } = await run.ended;

  expect(code).toBe(143);
  expect(stderr).toContain(
    `spate: warning: single.bin: 10 of 40 pieces are missing or bad in ${swarm.seeds}; seeding the others\n`,
  );
});

test('without a good piece there is nothing to seed: exit code 6', async () => {
  const swarm = await testSwarm(SINGLE);
  await loseAll(swarm);

  const { code, stderr } = await spate(['seed', swarm.torrent, swarm.seeds, ...LOCAL]);

  expect(code).toBe(6);
  expect(stderr).toMatch(/^spate: single\.bin: nothing to seed: /);
});

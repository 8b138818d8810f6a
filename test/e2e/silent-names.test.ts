// A name server that does not answer: a look-up of it takes five seconds at least.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startSpate } from '../helpers/cli-run.js';
import { LOCAL, SINGLE, testSwarm } from '../helpers/cli-swarm.js';

/** Within a second, and more on a busy machine; a look-up takes five. */
const SOON_MS = 3_000;

/** A download, or whatever stands in front, that looks up the name of its tracker; it takes root to give it such a name server. */
async function lookingUp(command: readonly string[], isSeeded: boolean) {
  const server = createSocket('udp4').bind(53, '127.0.0.59');
  await once(server, 'listening');
  const asked = once(server, 'message');
  onTestFinished(() => void server.close());
  const swarm = await testSwarm(SINGLE, () => []);
  const peer = isSeeded ? ['--peer', `127.0.0.1:${(await swarm.seeder()).port}`] : [];
  const names = join(swarm.folder, 'resolv.conf');
  writeFileSync(names, 'nameserver 127.0.0.59\n');
  const flags = ['--tracker', 'http://tracker.example.org/announce', '--json'];
  const run = startSpate([...command, swarm.torrent, '-o', swarm.downloads, ...LOCAL, ...flags, ...peer], {
    within: ['unshare', '-m', 'sh', '-c', `mount --bind ${names} /etc/resolv.conf && exec "$@"`, 'sh'],
  });
  await asked;
  return run;
}

describe('while the name of a tracker is looked up', () => {
  test.each([[[]], [['batch']]])('a signal ends a download soon, the summary told: %s', async (command) => {
    const run = await lookingUp(command, false);
    const begun = performance.now();
    run.child.kill('SIGTERM');
    const { code, stdout } = await run.ended;
    expect(performance.now() - begun).toBeLessThan(SOON_MS);
    expect(code).toBe(143);
    expect(JSON.parse(stdout)).toMatchObject({ type: 'summary', exitCode: 143 });
  });

  test('a download that is done ends soon, with its own exit code', async () => {
    const run = await lookingUp([], true);
    const begun = performance.now();
    const { code, stdout } = await run.ended;
    expect(performance.now() - begun).toBeLessThan(SOON_MS);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ type: 'summary', exitCode: 0 });
  });
});

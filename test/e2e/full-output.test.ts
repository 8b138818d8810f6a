// Output that cannot be written: stderr is worth nothing, stdout and events are data.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { firstDifference } from '../../src/swarm/payload.js';
import { spate } from '../helpers/cli-run.js';
import { LOCAL, SINGLE, type TestSwarm, testSwarm } from '../helpers/cli-swarm.js';
import { smallDisk } from '../helpers/fs-small.js';

const get = ({ torrent, downloads }: TestSwarm, ...flags: string[]) => [torrent, '-o', downloads, ...LOCAL, ...flags];

async function seeded(): Promise<TestSwarm> {
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();
  return swarm;
}

describe.skipIf(process.platform !== 'linux')('on a full disk', () => {
  test.each([[[]], [['batch']]])('a log does not hold up a download: %s', async (command) => {
    const swarm = await seeded();
    const { code } = await spate([...command, ...get(swarm, '-v')], { redirect: '2>/dev/full' });
    expect(code).toBe(0);
    expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
  });

  test('a log of a reader that has left does not, either', async () => {
    const swarm = await seeded();
    const { code } = await spate(get(swarm, '-v'), { redirect: '2>&-' });
    expect(code).toBe(0);
    expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
  });

  test('a summary that is lost is exit code 9, with one line that says so', async () => {
    const swarm = await seeded();
    const { code, stderr } = await spate(get(swarm, '--json', '-q'), { redirect: '>/dev/full' });
    expect(code).toBe(9);
    expect(stderr).toMatch(/^spate: cannot write to stdout: ENOSPC: .*\n$/);
    expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
  });

  test.each(['info', 'verify'])('so is what `%s` found', async (command) => {
    const { torrent, seeds } = await seeded();
    const { code, stderr } = await spate([command, torrent, ...(command === 'info' ? [] : [seeds])], {
      redirect: '>/dev/full',
    });
    expect({ code, stderr }).toEqual({ code: 9, stderr: expect.stringContaining('cannot write to stdout') });
  });

  test.each([[[]], [['batch']]])('a file of events ends it in good order with exit code 9: %s', async (command) => {
    const swarm = await seeded();
    const { code, stderr, stdout } = await spate([...command, ...get(swarm, '--events=/dev/full', '--json')]);
    expect(code).toBe(9);
    expect(stderr).toContain('cannot write events to /dev/full: ENOSPC');
    expect(JSON.parse(stdout)).toMatchObject({ type: 'summary', exitCode: 9, error: { code: 'DISK_FULL' } });
  });

  test('events on stdout end a download with what it has saved; another run goes on from there', async () => {
    const swarm = await seeded();
    // Room for the first events and some seconds.
    const small = join(swarm.folder, 'small');
    mkdirSync(small);
    smallDisk(small, 4);
    const events = join(small, 'events');
    writeFileSync(events, `${'x'.repeat(2_800)}\n`);
    const { code, stderr } = await spate(get(swarm, '--events', '-v', '--max-down', '200KiB'), {
      redirect: `>>${events}`,
    });
    expect(code).toBe(9);
    expect(stderr).toContain('cannot write to stdout: ENOSPC');
    expect(readFileSync(events, 'utf8')).toContain('"type":"progress"');
    const again = await spate(get(swarm, '-v'));
    expect(again.code).toBe(0);
    expect(Number(/(\d+) of \d+ good pieces were known/.exec(again.stderr)?.[1])).toBeGreaterThan(0);
    expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
  });
});

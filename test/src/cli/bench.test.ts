import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { spate, startSpate } from '../../helpers/cli-run.js';
import { descendantsOf, isAlive, listeners, listenersOf } from '../../helpers/proc.js';

const SMALL = ['--size', '1MiB', '--piece', '32KiB', '--conns', '1', '--workers', '1', '--runs', '1', '--warmup', '0'];
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spate-test-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('spate bench', { timeout: 120_000 }, () => {
  it.each<[string, string[], string[]]>([
    ['swarm', ['hash', 'disk', 'net'], []],
    ['swarm', ['hash', 'net'], ['--storage', 'null']],
    ['upload', [], []],
    ['dual', ['hash', 'disk', 'net'], []],
    ['many', ['hash', 'disk'], ['--files', '8']],
    ['recheck', ['hash'], []],
    ...['hash', 'disk', 'net', 'codec'].map((stage): [string, string[], string[]] => [stage, [stage], []]),
  ])('measures %s with the ceilings %j and leaves no file behind (%j)', async (scenario, ceilings, flags) => {
    const args = ['bench', scenario, ...SMALL, '--seeders', '1', ...flags, '--json', '-q'];
    const { code, stdout, stderr } = await spate(args, { env: { TMPDIR: folder } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { results, settings } = JSON.parse(stdout);
    expect(settings.scenario).toBe(scenario);
    expect(results[0].spreads.goodput.median).toBeGreaterThan(0);
    expect(Object.keys(results[0].ceilings)).toEqual(ceilings);
    if (scenario === 'swarm') expect(results[0].runs[0].latencyP50).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([]);
  });

  it('saves, compares, and ends with 12 when an assertion does not hold', async () => {
    const file = join(folder, 'saved.json');
    const common = ['bench', 'codec', ...SMALL];
    expect((await spate([...common, '--save', file, '--assert', 'goodput>=1B/s'])).code).toBe(0);
    const second = await spate([...common, '--baseline', file, '--assert', 'goodput>=1000GiB/s']);
    expect(second.code).toBe(12);
    expect(second.stderr).toContain('asserted goodput>=1000GiB/s');
    expect(second.stdout).toContain('ratio');
  });

  it('gets through liars, churn and delays', async () => {
    const hard = ['--corrupt', '0.1', '--churn', '200ms', '--rtt', '5ms', '--seed-rate', '20MiB'];
    const { code, stderr } = await spate(['bench', ...SMALL, ...hard, '-q'], { env: { TMPDIR: folder } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it.runIf(process.platform === 'linux')('leaves no process, port or file behind when it is interrupted', async () => {
    const slow = ['bench', ...SMALL, '--seed-rate', '10KiB'];
    const running = startSpate(slow, { env: { TMPDIR: folder } });
    await running.said('run 1 of 1');
    const family = () => {
      const pids = descendantsOf(running.child.pid!);
      return { pids, ports: listenersOf(pids) };
    };
    // Two seeders and the client, each with a port.
    await expect.poll(() => family().ports.length, { timeout: 20_000 }).toBe(3);
    const { pids, ports } = family();
    expect(pids).toHaveLength(3);

    running.child.kill('SIGINT');

    expect((await running.ended).code).toBe(130);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(ports.filter((inode) => listeners().has(inode))).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('refuses absurd options in one line', async () => {
    const { code, stderr } = await spate(['bench', '--seeders', '0']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: 'spate: --seeders must be 1 to 64, got 0\n' });
  });
});

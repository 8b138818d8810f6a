import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { spate, startSpate } from '../../helpers/cli-run.js';

const SMALL = ['--size', '1MiB', '--piece', '32KiB', '--conns', '1', '--workers', '1', '--runs', '1', '--warmup', '0'];
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spate-test-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('spate bench', { timeout: 120_000 }, () => {
  it.each(['swarm', 'upload', 'dual', 'many', 'recheck', 'hash', 'disk', 'net', 'codec'])(
    'measures %s and leaves no file behind',
    async (scenario) => {
      const files = scenario === 'many' ? ['--files', '8'] : [];
      const { code, stdout, stderr } = await spate(['bench', scenario, ...SMALL, ...files, '--json', '-q'], {
        env: { TMPDIR: folder },
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const { results, settings } = JSON.parse(stdout);
      expect(settings.scenario).toBe(scenario);
      expect(results[0].spreads.goodput.median).toBeGreaterThan(0);
      expect(await readdir(folder)).toEqual([]);
    },
  );

  it('tells latency, saves, compares, and ends with 12 when an assertion does not hold', async () => {
    const file = join(folder, 'saved.json');
    const common = ['bench', ...SMALL, '--storage', 'null'];
    expect((await spate([...common, '--save', file, '--assert', 'goodput>=1B/s'])).code).toBe(0);
    expect(JSON.parse(await readFile(file, 'utf8')).results[0].runs[0].latencyP50).toBeGreaterThan(0);
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

  it('leaves nothing behind when it is interrupted', async () => {
    const slow = ['bench', ...SMALL, '--seed-rate', '10KiB'];
    const running = startSpate(slow, { env: { TMPDIR: folder } });
    await running.said('run 1 of 1');
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
    expect(await readdir(folder)).toEqual([]);
  });

  it('refuses absurd options in one line', async () => {
    const { code, stderr } = await spate(['bench', '--seeders', '0']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: 'spate: --seeders must be 1 to 64, got 0\n' });
  });
});

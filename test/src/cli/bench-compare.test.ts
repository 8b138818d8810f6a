import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { joinWords } from '../../../src/bench/command-words.js';
import { verdict } from '../../../src/cli/bench-compare.js';
import { Output } from '../../../src/cli/output.js';
import { contender } from '../../helpers/bench-comparison.js';
import { isListening, spate, startSpate } from '../../helpers/cli-run.js';
import { fakeStreams } from '../../helpers/cli-streams.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

// Nothing is raced here but ours and small scripts; the real clients are the interop suite's.

/** Flags of a race that takes a moment and needs neither another client nor a compiler. */
async function smallRace(): Promise<{ folder: string; dir: string; flags: string[] }> {
  const folder = await temporaryFolder();
  const dir = join(folder, 'dir');
  mkdirSync(dir);
  const size = ['--size', '300K', '--piece', '32K', '--runs', '1', '--warmup', '0'];
  return { folder, dir, flags: ['bench', 'compare', '--with', 'none', '--seeder', 'spate', '--dir', dir, ...size] };
}

/** A client made of a few lines: `payload`, `out` and `name` are there. */
const client = (name: string, script: string): string[] => {
  const code = `const fs = require('fs'); const [payload, out, name] = process.argv.slice(1); ${script}`;
  const command = [process.execPath, '-e', code, '{payload}', '{out}', '{name}'];
  return ['--command', `${name}=${joinWords(command)}`];
};
const COPY = client('copy', 'fs.copyFileSync(payload, out + "/" + name);');

describe('spate bench compare', () => {
  it('races ours against a command, prints a table, writes the reports and leaves nothing behind', async () => {
    const { folder, dir, flags } = await smallRace();
    const [report, markdown] = [join(folder, 'report.html'), join(folder, 'report.md')];
    const counted = ['--runs', '2', '--warmup', '1'];
    const { code, stdout, stderr } = await spate([
      ...[...flags, ...COPY, ...counted, '--report', report, '--markdown', markdown],
    ]);

    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('round 2 of 2: copy ') });
    // Everybody's turn to be first comes round.
    const order = [...stderr.matchAll(/^(warm-up|round \d) ?(?:of 2)?: (\S+)/gm)].map(
      ([, at, name]) => `${at} ${name}`,
    );
    expect(order).toEqual([
      ...['warm-up spate', 'warm-up copy', 'round 1 copy', 'round 1 spate', 'round 2 spate', 'round 2 copy'],
    ]);
    expect(stdout).toMatch(/^\| client \| MiB\/s \|.*\n\| --- \|.*\n\| spate \|.* \| 2 \|\n\| copy \|.* \| 2 \|\n/);
    expect(readFileSync(markdown, 'utf8').trimEnd()).toBe(stdout.trimEnd());
    expect(readFileSync(report, 'utf8')).toMatch(/<svg.*copy.*<\/html>\n$/s);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('tells it all as JSON, with what ours has cost', async () => {
    const { flags } = await smallRace();
    const { code, stdout } = await spate([...flags, ...COPY, '--json', '-q']);
    expect(code).toBe(0);
    const { type, size, seeder, contenders, summary, missing } = JSON.parse(stdout);
    expect({ type, size, seeder, missing }).toEqual({
      type: 'comparison',
      size: 307_200,
      seeder: 'spate seed',
      missing: [],
    });
    expect(contenders.map(({ name }: { name: string }) => name)).toEqual(['spate', 'copy']);
    const [run] = contenders[0].runs;
    expect(run.cpuSeconds).toBeGreaterThan(0.05);
    expect(run.peakRssBytes).toBeGreaterThan(20 * 2 ** 20);
    expect(summary[0]).toMatchObject({ name: 'spate', runs: 1, secondsRatio: 1 });
  });

  it('voids a run that leaves a wrong byte, a byte too many or no file, and one that fails', async () => {
    const { dir, flags } = await smallRace();
    const wrong = 'const b = fs.readFileSync(payload); b[1234] ^= 1; fs.writeFileSync(out + "/" + name, b);';
    const commands = [
      client('wrong', wrong),
      client('long', 'fs.writeFileSync(out + "/" + name, fs.readFileSync(payload) + "x");'),
      client('nothing', ''),
      client('failing', 'console.error("out of", "luck"); process.exitCode = 9;'),
    ].flat();
    const { code, stdout } = await spate([...flags, ...commands]);
    expect(code).toBe(0);
    expect(stdout).toContain('- wrong, round 1, is void: byte 1234 is wrong\n');
    expect(stdout).toMatch(/- long, round 1, is void: made \d+ bytes of 307200\n/);
    expect(stdout).toMatch(/- nothing, round 1, is void: made no payload\.bin: /);
    expect(stdout).toContain('- failing, round 1, is void: ended with exit code 9: out of luck\n');
    expect(stdout).toMatch(/\| wrong \| – \|.* 0, 1 void \|/);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('ends a client that takes too long, with what it has started', async () => {
    const { folder, flags } = await smallRace();
    const { stdout } = await spate([...flags, ...hanging(join(folder, 'port')), '--timeout', '2s']);
    expect(stdout).toContain('- hanging, round 1, is void: not complete after 2 s\n');
    await expectGone(await portIn(folder));
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends it with all processes, files and ports, exit code %i', async (signal, expected) => {
    const { folder, dir, flags } = await smallRace();
    const race = startSpate([...flags, ...hanging(join(folder, 'port'))]);
    const port = await portIn(folder);

    race.child.kill(signal);

    const { code, stdout, stderr } = await race.ended;
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    const seed = Number(/spate seed on port (\d+)/.exec(stderr)![1]);
    expect(await Promise.all([seed, port].map(isListening))).toEqual([false, false]);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('a second signal ends it at once, and still leaves nothing behind', async () => {
    const { folder, dir, flags } = await smallRace();
    const race = startSpate([...flags, ...hanging(join(folder, 'port'), 'process.on("SIGTERM", () => {});')]);
    const port = await portIn(folder);

    race.child.kill('SIGINT');
    await race.said('a second signal ends it at once');
    race.child.kill('SIGINT');

    expect((await race.ended).code).toBe(130);
    await expectGone(port);
    expect(readdirSync(dir)).toEqual([]);
  });

  it.each([
    [['--size', '1K'], "argument '1K' is invalid: expected 16384 to 1099511627776 bytes, got 1024"],
    [['--size', '2TiB'], 'is invalid: expected 16384 to 1099511627776 bytes'],
    [['--piece', '48K'], "argument '48K' is invalid: expected a power of two, got 49152"],
    [['--piece', '128MiB'], 'is invalid: expected 16384 to 67108864 bytes'],
    [['--runs', '0'], 'is invalid: expected a number from 1 to 100'],
    [['--warmup', '11'], 'is invalid: expected a number from 0 to 10'],
    [['--seeds', '65'], 'is invalid: expected a number from 1 to 64'],
    [['--seeder', 'java'], 'is invalid: Allowed choices are auto, native, spate'],
    [['--timeout', '10ms'], 'is invalid: expected 1s to 1d, got 10ms'],
    [['--with', 'utorrent'], 'expected none or some of aria2c, libtorrent, transmission, qbittorrent-nox, floor'],
    [['--command', 'copy'], 'expected NAME=COMMAND'],
    [['--command', 'spate=x', '--with', 'none'], 'expected names that differ, got spate twice'],
  ])('%j is a usage error: one line on stderr, exit code 2', async (args, expected) => {
    const { code, stdout, stderr } = await spate(['bench', 'compare', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(expected);
    expect(stderr).toMatch(/^spate: [^\n]+\n$/);
  });

  it('a folder that is not there is exit code 8, one without room exit code 9', async () => {
    const { folder, dir, flags } = await smallRace();
    expect(await spate([...flags, '--dir', join(folder, 'none')])).toMatchObject({
      code: 8,
      stderr: expect.stringMatching(/^spate: cannot use \S+none: [^\n]+\n$/),
    });
    expect(await spate([...flags, '--size', '1TiB'])).toMatchObject({
      code: 9,
      stderr: expect.stringMatching(/^spate: expected \d+ MiB free in [^\n]+; choose a smaller --size[^\n]+\n$/),
    });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('a report that cannot be written is exit code 8, after the table', async () => {
    const { folder, flags } = await smallRace();
    writeFileSync(join(folder, 'file'), '');
    const { code, stdout, stderr } = await spate([...flags, '--report', join(folder, 'file', 'report.html')]);
    expect(code).toBe(8);
    expect(stdout).toContain('| spate |');
    expect(stderr).toMatch(/spate: cannot write \S+report\.html: [^\n]+\n$/);
  });
});

/** Takes for ever; writes where it listens to a file, at once as a whole. */
function hanging(port: string, more = ''): string[] {
  const path = JSON.stringify(port);
  const script = `${more} const server = require('net').createServer().listen(0, '127.0.0.1', () => {
    fs.writeFileSync(${path} + '~', String(server.address().port));
    fs.renameSync(${path} + '~', ${path});
  });`;
  return client('hanging', script);
}

/** The port of a hanging client, as soon as it listens. */
async function portIn(folder: string): Promise<number> {
  const watcher = watch(folder);
  try {
    while (!existsSync(join(folder, 'port'))) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
  return Number(readFileSync(join(folder, 'port'), 'utf8'));
}

async function expectGone(port: number): Promise<void> {
  while (await isListening(port)) await new Promise((resolve) => setImmediate(resolve));
}

describe('verdict', () => {
  it('is good as long as every run of ours counts, whatever becomes of the others', () => {
    const { streams, stderr } = fakeStreams();
    const void_ = { round: 1, reason: 'byte 7 is wrong' };
    const output = new Output({}, streams);
    const ours = contender('spate', [1, 2]);
    expect(verdict({ contenders: [ours, { ...contender('other', []), voids: [void_] }] }, output)).toBe(0);
    expect(stderr()).toBe('');
    expect(verdict({ contenders: [{ ...ours, voids: [void_] }] }, output)).toBe(12);
    expect(stderr()).toBe('spate: 1 of 3 runs of spate are void: byte 7 is wrong\n');
  });
});

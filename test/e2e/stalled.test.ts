import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseMetainfo } from '../../src/protocol/metainfo.js';
import { firstDifference, writePayload } from '../../src/swarm/payload.js';
import { type Running, spate, startSpate } from '../helpers/cli-run.js';
import { hasBytes, LOCAL, PIECE, SINGLE, type TestSwarm, testSwarm } from '../helpers/cli-swarm.js';

/** Options of a Node whose flushes hang: each takes a thread of the pool and never ends, as on a disk that does not answer. */
async function hangingFlushes({ folder }: TestSwarm): Promise<NodeJS.ProcessEnv> {
  const [pipe, preload] = [join(folder, 'pipe'), join(folder, 'hang.mjs')];
  execFileSync('mkfifo', [pipe]);
  await writeFile(
    preload,
    `import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
fs.fdatasync = () => fs.open(${JSON.stringify(pipe)}, 'r', () => {});
syncBuiltinESMExports();
`,
  );
  return { NODE_OPTIONS: `--import ${pathToFileURL(preload)}` };
}

/** A download, told to stop by a signal, whose last flush hangs. */
async function stopping() {
  const swarm = await testSwarm(SINGLE);
  await swarm.seeder();
  const flags = ['-o', swarm.downloads, ...LOCAL, '--json', '-v', '--max-down', '200KiB'];
  const run = startSpate([swarm.torrent, ...flags], { env: await hangingFlushes(swarm) });
  await hasBytes(swarm);
  run.child.kill('SIGINT');
  await run.said('stopping');
  return { swarm, run };
}

test('a disk that hangs holds up no end: the trackers are told, the summary is printed, and the signal ends it', async () => {
  const { swarm, run } = await stopping();
  const { stdout, stderr } = await run.ended;
  expect(run.child.signalCode).toBe('SIGINT');
  expect(stderr).toContain('the disk does not answer');
  expect(JSON.parse(stdout)).toMatchObject({ type: 'summary', exitCode: 130 });
  const { infohash } = parseMetainfo(await readFile(swarm.torrent));
  expect(swarm.tracker.counts(infohash).leechers).toBe(0);
});

test('a second signal ends it at once, also while the disk hangs', async () => {
  const { run } = await stopping();
  run.child.kill('SIGINT');
  const { stdout } = await run.ended;
  expect(run.child.signalCode).toBe('SIGINT');
  expect(stdout).toBe('');
});

/** Options of a Node whose reads of the payload hang: one that waits waits for ever, any other takes a thread of the pool. */
async function hangingReads({ folder, downloads }: TestSwarm): Promise<NodeJS.ProcessEnv> {
  const [pipe, preload] = [join(folder, 'pipe'), join(folder, 'hang.mjs')];
  execFileSync('mkfifo', [pipe]);
  await writeFile(
    preload,
    `import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const { read, readSync } = fs;
const hangs = (fd) => fs.readlinkSync('/proc/self/fd/' + fd).startsWith(${JSON.stringify(downloads)});
fs.readSync = (fd, ...rest) => hangs(fd) ? fs.openSync(${JSON.stringify(pipe)}, 'r') : readSync(fd, ...rest);
fs.read = (fd, ...rest) => hangs(fd) ? fs.open(${JSON.stringify(pipe)}, 'r', () => {}) : read(fd, ...rest);
syncBuiltinESMExports();
`,
  );
  return { NODE_OPTIONS: `--import ${pathToFileURL(preload)}` };
}

describe.skipIf(process.platform !== 'linux')('where reads hang', () => {
  test.each([
    ['verify', (torrent: string, dir: string) => ['verify', torrent, dir]],
    ['get', (torrent: string, dir: string) => [torrent, '-o', dir, ...LOCAL]],
    ['batch', (torrent: string, dir: string) => ['batch', torrent, '-o', dir, ...LOCAL]],
    ['seed', (torrent: string, dir: string) => ['seed', torrent, dir, ...LOCAL]],
  ] as const)('a signal ends `%s` that looks at a few MiB', async (_, args) => {
    const swarm = await testSwarm(SINGLE, () => []);
    await writePayload(SINGLE, swarm.downloads, PIECE);
    const run = startSpate(args(swarm.torrent, swarm.downloads), { env: await hangingReads(swarm) });
    await opens(run, join(swarm.downloads, SINGLE.name));
    run.child.kill('SIGINT');
    const { stderr } = await run.ended;
    expect(run.child.signalCode).toBe('SIGINT');
    expect(stderr).toContain('the disk does not answer');
  });

  test('a second signal ends it at once', async () => {
    const swarm = await testSwarm(SINGLE, () => []);
    await writePayload(SINGLE, swarm.downloads, PIECE);
    const run = startSpate(['verify', swarm.torrent, swarm.downloads], { env: await hangingReads(swarm) });
    await opens(run, join(swarm.downloads, SINGLE.name));
    run.child.kill('SIGINT');
    await run.said('stopping');
    run.child.kill('SIGINT');
    expect((await run.ended).stderr).not.toContain('the disk does not answer');
    expect(run.child.signalCode).toBe('SIGINT');
  });
});

test.each(['verify', 'seed'])('a signal ends `%s` whose torrent is a pipe that nobody writes to', async (command) => {
  const swarm = await testSwarm(SINGLE, () => []);
  const pipe = join(swarm.folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const run = startSpate([command, pipe, swarm.seeds]);
  // The command has begun: a signal before would find its default meaning.
  await waitsAt(run, 'wait_for_partner');
  run.child.kill('SIGINT');
  await run.ended;
  expect(run.child.signalCode).toBe('SIGINT');
});

/** Resolves when a thread of a process waits in a function of the kernel. */
async function waitsAt({ child }: Running, where: string): Promise<void> {
  const folder = `/proc/${child.pid}/task`;
  const places = (): string[] => readdirSync(folder).map((id) => readFileSync(join(folder, id, 'wchan'), 'latin1'));
  await expect.poll(places, { interval: 10, timeout: 20_000 }).toContain(where);
}

/** Resolves when a process has a file open. */
async function opens({ child }: Running, path: string): Promise<void> {
  const folder = `/proc/${child.pid}/fd`;
  const paths = (): string[] => readdirSync(folder).flatMap((fd) => linkAt(join(folder, fd)));
  await expect.poll(paths, { interval: 10, timeout: 20_000 }).toContain(path);
}

function linkAt(path: string): string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    return [];
  }
}

describe('on a disk that is frozen', () => {
  /** A file system of its own on a loop device, which takes root to make; who is not gets the reason. */
  function ownDisk(folder: string, at: string): void {
    const image = join(folder, 'disk.img');
    execFileSync('truncate', ['-s', '32M', image]);
    execFileSync('mkfs.ext4', ['-q', image]);
    execFileSync('mount', ['-o', 'loop', image, at]);
    onTestFinished(() => {
      execFileSync('umount', [at]);
    });
  }

  /** State of a process or thread by its folder in `/proc`; none when it is gone. */
  function state(of: string): string | undefined {
    try {
      return /\) (.)/.exec(readFileSync(`${of}/stat`, 'latin1'))![1]!;
    } catch {
      return undefined;
    }
  }

  /** State of each thread of a process, the first one's first; none when it is gone. */
  function states(pid: number): string[] {
    const first = state(`/proc/${pid}`);
    if (first === undefined) return [];
    const others = readdirSync(`/proc/${pid}/task`).filter((id) => id !== `${pid}`);
    // A thread that has ended meanwhile says nothing of the process.
    return [first, ...others.flatMap((id) => state(`/proc/${pid}/task/${id}`) ?? [])];
  }

  /** Resolves when a process is so far that its threads look like that. */
  async function until({ child }: Running, look: (states: string[]) => boolean): Promise<void> {
    while (!look(states(child.pid!))) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Dead, but for threads that the kernel does not give back before the disk does. */
  const isOver = ([first]: string[]): boolean => first === undefined || first === 'Z' || first === 'X';

  /** A download on a disk with its states, too; its writes hang, unless it is an idle one. */
  async function frozen({ isIdle = false } = {}) {
    const swarm = await testSwarm(SINGLE);
    if (!isIdle) await swarm.seeder();
    ownDisk(swarm.folder, swarm.downloads);
    const args = [swarm.torrent, '-o', swarm.downloads, ...LOCAL, '--json'];
    const env = { XDG_STATE_HOME: join(swarm.downloads, 'state') };
    const run = startSpate([...args, '-v', '--max-down', '200KiB', '--peer-timeout', '0'], { env });
    let isFrozen = false;
    const thaw = (): void => {
      if (isFrozen) execFileSync('fsfreeze', ['-u', swarm.downloads]);
      isFrozen = false;
    };
    onTestFinished(thaw);
    await run.said(isIdle ? 'good pieces were known' : ' down ');
    execFileSync('fsfreeze', ['-f', swarm.downloads]);
    isFrozen = true;
    if (!isIdle) await until(run, (each) => each.includes('D'));
    return { swarm, run, args, env, thaw };
  }

  /** The disk is back: the process is gone by the signal, and another one goes on and completes. */
  async function goesOn({ swarm, run, args, env, thaw }: Awaited<ReturnType<typeof frozen>>): Promise<void> {
    thaw();
    await run.ended;
    expect(run.child.signalCode).toBe('SIGINT');
    expect((await spate(args, { env })).code).toBe(0);
    expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
  }

  test.each([1, 2])('an idle download ends by signal %s, also when states lie there', async (signals) => {
    const { run, thaw } = await frozen({ isIdle: true });
    const begun = performance.now();
    run.child.kill('SIGINT');
    await run.said('stopping');
    if (signals === 2) run.child.kill('SIGINT');
    await until(run, isOver);
    // A busy machine gets a second more.
    expect(performance.now() - begun).toBeLessThan(4_000);
    thaw();
    await run.ended;
    expect(run.child.signalCode).toBe('SIGINT');
  });

  test('the first signal ends a download within 3 s, the summary told; another run completes it', async () => {
    const it = await frozen();
    const begun = performance.now();
    it.run.child.kill('SIGINT');
    await until(it.run, isOver);
    // A busy machine gets a second more.
    expect(performance.now() - begun).toBeLessThan(4_000);
    await goesOn(it);
    const { stdout, stderr } = await it.run.ended;
    expect(stderr).toContain('the disk does not answer');
    expect(JSON.parse(stdout)).toMatchObject({ type: 'summary', exitCode: 130 });
  });

  test('the second signal ends it at once; another run completes it', async () => {
    const it = await frozen();
    it.run.child.kill('SIGINT');
    await it.run.said('stopping');
    it.run.child.kill('SIGINT');
    await until(it.run, isOver);
    await goesOn(it);
    expect((await it.run.ended).stdout).toBe('');
  });
});

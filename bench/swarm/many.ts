/**
 * Many small torrents, seeded by one libtorrent behind opentracker: how long does our one session take, and how long one of
 * libtorrent? Runs are interleaved, every byte is compared. `SPATE_BENCH_MANY=200x4096,1000x1024` says how many of how many KiB.
 */
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { quantile } from '../../src/statistics.js';
import { torrentOf } from '../../test/helpers/small-torrent.js';
import { KIB, type Lab } from './lab.js';
import type { ManyFigures, ManyJob } from './many-process.js';
import { mebibytes, printTable, seconds } from './table.js';

/** The system's Python: any other lacks Debian's modules. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = fileURLToPath(new URL('../../../bench/swarm/libtorrent-many.py', import.meta.url));
const PIECE = 256 * KIB;
const SWARMS = process.env.SPATE_BENCH_MANY ?? '200x4096,1000x1024';
const ROUNDS = Number(process.env.SPATE_BENCH_ROUNDS ?? 3);
/** Torrents at a time. */
const JOBS = Number(process.env.SPATE_BENCH_JOBS ?? 100);
const TRACKER = process.env.SPATE_BENCH_TRACKER ?? 'http';
const RIVALS = (process.env.SPATE_BENCH_RIVALS ?? 'spate,libtorrent').split(',');

interface Swarm {
  readonly count: number;
  readonly bytes: number;
  readonly names: readonly string[];
  readonly infohashes: readonly Buffer[];
  /** Paths of the `.torrent` files. */
  readonly torrents: readonly string[];
  /** What is seeded. */
  readonly data: string;
}

interface Figures {
  /** From the start of the process to its end. */
  readonly wall: number;
  readonly cpuSeconds: number;
  readonly peakRss: number;
}

export async function many(lab: Lab): Promise<void> {
  for (const [program, args] of [
    [PYTHON, ['-c', 'import libtorrent']],
    ['sh', ['-c', 'command -v opentracker']],
  ] as const) {
    if (spawnSync(program, args, { stdio: 'ignore' }).status === 0) continue;
    throw new Error('missing Debian packages: `apt-get install opentracker python3-libtorrent`');
  }
  for (const swarm of SWARMS.split(',')) {
    const [count, kib] = swarm.split('x').map(Number) as [number, number];
    await race(lab, count, kib * KIB);
    await lab.end();
  }
}

async function race(lab: Lab, count: number, bytes: number): Promise<void> {
  const port = await freePort();
  const swarm = await makeSwarm(lab, count, bytes, `${TRACKER}://127.0.0.1:${port}/announce`);
  const seed = await Program.start(lab, PYTHON, [SCRIPT, 'seed', swarm.data, ...swarm.torrents]);
  await seed.line(/^seeding$/);
  await allAnnounced(port, swarm.infohashes);
  const rows: string[][] = [];
  const took = new Map<string, Figures[]>(RIVALS.map((rival) => [rival, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const rival of RIVALS) {
      const out = lab.newPath();
      await mkdir(out);
      took.get(rival)!.push(await (rival === 'spate' ? ours(lab, swarm, out) : theirs(lab, swarm, out)));
      await compare(swarm, out);
      await rm(out, { recursive: true });
    }
  }
  for (const [rival, runs] of took) {
    const median = (what: keyof Figures): number =>
      quantile(
        runs.map((run) => run[what]),
        0.5,
      );
    const wall = median('wall');
    const perSecond = [(count / wall).toFixed(0), mebibytes((count * bytes) / wall)];
    rows.push([rival, seconds(wall), ...perSecond, seconds(median('cpuSeconds')), mebibytes(median('peakRss'))]);
  }
  printTable(
    `many: ${count} torrents of ${bytes / KIB} KiB, ${JOBS} at a time, medians of ${ROUNDS} interleaved runs, process start to end`,
    ['client', 'wall', 'torrents/s', 'per second', 'CPU', 'peak memory'],
    rows,
  );
}

async function makeSwarm(lab: Lab, count: number, bytes: number, announce: string): Promise<Swarm> {
  const [data, folder, root] = [lab.newPath(), lab.newPath(), lab.newPath()];
  for (const path of [data, folder, root]) await mkdir(path);
  const names = Array.from({ length: count }, (_, n) => `t${`${n}`.padStart(5, '0')}.bin`);
  const torrents: string[] = [];
  const infohashes: Buffer[] = [];
  const payload = Buffer.allocUnsafe(bytes);
  for (const name of names) {
    const torrent = torrentOf(randomFillSync(payload), PIECE, { name, announce });
    await writeFile(join(data, name), payload);
    torrents.push(join(folder, `${name}.torrent`));
    await writeFile(torrents.at(-1)!, torrent.bytes);
    infohashes.push(torrent.infohash);
  }
  // Debian's build serves the torrents of a list, which it looks up in the folder it changes its root to, after it gave up root.
  await writeFile(join(root, 'list'), infohashes.map((infohash) => `${infohash.toString('hex')}\n`).join(''));
  await Promise.all([chmod(lab.folder, 0o755), chmod(root, 0o755), chmod(join(root, 'list'), 0o644)]);
  const { port } = new URL(announce);
  await Program.start(lab, 'opentracker', ['-i', '127.0.0.1', '-p', port, '-P', port, '-d', root, '-w', 'list']);
  return { count, bytes, names, infohashes, torrents, data };
}

/** The seed announces its torrents over a while. */
async function allAnnounced(port: number, infohashes: readonly Buffer[]): Promise<void> {
  for (const infohash of infohashes) {
    const escaped = infohash.toString('hex').replaceAll(/../g, '%$&');
    for (;;) {
      const scraped = await fetch(`http://127.0.0.1:${port}/scrape?info_hash=${escaped}`).then(
        async (response) => Buffer.from(await response.arrayBuffer()).toString('latin1'),
        () => '',
      );
      if (Number(/8:completei(\d+)e/.exec(scraped)?.[1] ?? 0) > 0) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function ours(lab: Lab, { torrents }: Swarm, out: string): Promise<Figures> {
  const stateFolder = lab.newPath();
  const startedAt = performance.now();
  const child = fork(new URL('many-process.js', import.meta.url), {
    execArgv: process.env.SPATE_BENCH_NODE?.split(' ') ?? [],
  });
  const program = await lab.ending(Promise.resolve(new Program(child)));
  const job: ManyJob = { torrents, out, stateFolder, jobs: JOBS };
  child.send(job);
  const answered = once(child, 'message') as Promise<[ManyFigures]>;
  const figures = await Promise.race([answered.then(([first]) => first), program.exited]);
  if (figures === undefined || figures.failed.length > 0) {
    throw new Error(`downloads failed: ${figures?.failed.slice(0, 3).join('; ') ?? 'the process ended'}`);
  }
  await program.exited;
  return { wall: (performance.now() - startedAt) / 1000, ...figures };
}

async function theirs(lab: Lab, { torrents }: Swarm, out: string): Promise<Figures> {
  const startedAt = performance.now();
  const program = await Program.start(lab, PYTHON, [SCRIPT, 'get', out, ...torrents]);
  const [, cpuSeconds, peakKib] = await program.line(/^complete (\S+) (\S+)$/);
  await program.exited;
  return {
    wall: (performance.now() - startedAt) / 1000,
    cpuSeconds: Number(cpuSeconds),
    peakRss: Number(peakKib) * KIB,
  };
}

async function compare({ names, data }: Swarm, out: string): Promise<void> {
  for (const name of names) {
    const [expected, found] = await Promise.all([data, out].map((folder) => readFile(join(folder, name))));
    if (!expected!.equals(found!)) throw new Error(`${name} was not downloaded right`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** A process that ends with the bench. */
class Program {
  readonly exited: Promise<undefined>;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string> | undefined;

  constructor(process: ChildProcess) {
    this.#process = process;
    this.exited = once(process, 'exit').then(() => undefined);
    if (process.stdout !== null) this.#lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  }

  static start(lab: Lab, command: string, args: readonly string[]): Promise<Program> {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => {});
    return lab.ending(Promise.resolve(new Program(child)));
  }

  /** @throws Error when the process ends before it prints such a line */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const next = await this.#lines?.next();
      if (next === undefined || next.done === true) throw new Error(`expected a line ${pattern}, found the end`);
      const match = pattern.exec(next.value);
      if (match !== null) return match;
    }
  }

  async close(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.exited;
  }
}

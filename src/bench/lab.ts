/** What the runs of a bench share: a folder, the pattern, its torrents and the processes that serve them; all undone by `close`. */
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SpateError } from '../errors.js';
import { BUILT } from '../package.js';
import type { PeerAddress } from '../protocol/address.js';
import { Pattern } from '../swarm/pattern.js';
import type { PeerJob, PeerReport } from '../swarm/pattern-peer.js';
import { type Child, startChild } from './child.js';
import { type BenchTorrent, benchTorrent } from './payload-files.js';
import type { BenchSettings } from './settings.js';

export const LOOPBACK = '127.0.0.1';
export const SEED = 'spate bench';
const SPARE_BYTES = 64 * 1_048_576;
const TMPFS = 0x01021994;

export class Lab {
  readonly folder: string;
  readonly isTmpfs: boolean;
  readonly pattern: Pattern;
  readonly torrents: readonly BenchTorrent[];
  readonly #children = new Set<Child<never>>();
  #closing = false;

  private constructor(folder: string, isTmpfs: boolean, settings: BenchSettings) {
    const { scenario, size, piece, files } = settings;
    this.folder = folder;
    this.isTmpfs = isTmpfs;
    this.pattern = new Pattern(SEED, piece);
    if (scenario !== 'many') {
      this.torrents = [benchTorrent(this.pattern, 'bench', size, files)];
      return;
    }
    const each = Math.floor(size / files);
    const pieces = Math.ceil(each / piece);
    this.torrents = Array.from({ length: files }, (_, n) => benchTorrent(this.pattern, `t${n}`, each, 1, n * pieces));
  }

  /** @throws SpateError DISK_FULL when what would be written does not fit */
  static async open(settings: BenchSettings): Promise<Lab> {
    const { bavail, bsize, type } = await statfs(tmpdir());
    const copies = settings.scenario === 'dual' || settings.storage === 'disk' ? 2 : 0;
    const needed = copies * settings.size + SPARE_BYTES;
    if (bavail * bsize < needed) {
      throw new SpateError(
        'DISK_FULL',
        `expected ${needed} bytes free in ${tmpdir()}, found ${bavail * bsize}; choose a smaller --size, or another folder with TMPDIR`,
      );
    }
    return new Lab(await mkdtemp(join(tmpdir(), 'spate-bench-')), type === TMPFS, settings);
  }

  /** Starts a process that `close` ends, if it has not ended before. */
  start<Report extends { readonly type: string }>(program: URL, job: unknown): Child<Report> {
    if (this.#closing) throw new SpateError('CLOSED', 'the bench was stopped');
    const child = startChild<Report>(program, job);
    this.#children.add(child as Child<never>);
    return child;
  }

  async stop<Report extends { readonly type: string }>(child: Child<Report>): Promise<void> {
    await child.stop();
    this.#children.delete(child as Child<never>);
  }

  startPeer(job: PeerJob): Child<PeerReport> {
    return this.start<PeerReport>(BUILT.patternPeer, job);
  }

  /** Ends every process, and lets none start: who waits for one is told. */
  async halt(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#children].map((child) => child.stop()));
  }

  async close(): Promise<void> {
    await this.halt();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The processes that serve the torrents. */
export class Seeders {
  readonly peers: readonly PeerAddress[];
  readonly #children: readonly Child<PeerReport>[];

  private constructor(children: readonly Child<PeerReport>[], peers: readonly PeerAddress[]) {
    this.#children = children;
    this.peers = peers;
  }

  static async start(lab: Lab, settings: BenchSettings): Promise<Seeders> {
    const { seeders, conns, piece, rttMs, seedBytesPerSecond, corrupt, churnMs } = settings;
    const torrents = lab.torrents.map(({ infohash, first, length }) => ({ infohash, first, length }));
    const children = Array.from({ length: seeders }, (_, n) =>
      lab.startPeer({
        kind: 'serve',
        seed: SEED,
        pieceLength: piece,
        host: seederHost(n),
        ports: conns,
        torrents,
        rttMs,
        bytesPerSecond: seedBytesPerSecond,
        // Somebody has to give what the liar gave wrong.
        corrupt: n === seeders - 1 ? corrupt : 0,
        churnMs,
      }),
    );
    const ready = await Promise.all(children.map((child) => child.next('ready')));
    return new Seeders(
      children,
      ready.flatMap(({ ports }, n) => ports.map((port) => ({ host: seederHost(n), port }))),
    );
  }

  /** CPU milliseconds each has used since it started. */
  async usage(): Promise<number[]> {
    return await Promise.all(this.#children.map(usageOf));
  }
}

/** Bad data bans an address, so that a liar needs one of its own; only Linux has all of 127.0.0.0/8 without being told. */
const seederHost = (nth: number): string => (process.platform === 'linux' ? `127.0.0.${nth + 1}` : LOOPBACK);

export async function usageOf(child: Child<PeerReport>): Promise<number> {
  child.send('usage');
  return (await child.next('usage')).cpuMs;
}

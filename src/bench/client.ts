/**
 * The program of the client under test: the real engine in a process of its own, so that what it costs is told apart from
 * its peers. Takes a job, reports what it measured, and goes.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '../errors.js';
import type { GroupFigures } from '../messages.js';
import type { Options } from '../options.js';
import type { PeerAddress } from '../protocol/address.js';
import { type Download, Session } from '../session.js';
import { NullStorage } from '../storage/storage.js';
import { type ThreadFigures, ThreadMeter } from '../thread-meter.js';
import { measureStage, type Stage, type StageJob } from './stages.js';

export type ClientJob =
  | {
      readonly kind: 'transfer';
      /** Bytes of `.torrent` files, and where each is found. */
      readonly torrents: readonly Uint8Array[];
      readonly peers: readonly PeerAddress[];
      readonly host: string;
      readonly out: string;
      readonly workers: number;
      readonly storage: 'disk' | 'null';
      /** Stay when complete, until told; `upload` counts from then on. */
      readonly seeds: boolean;
      readonly options: Partial<Options>;
    }
  | StageJob;

/** Of the time from the start of the downloads to their end. */
export interface ClientFigures {
  readonly seconds: number;
  readonly firstPieceSeconds: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly peakRss: number;
  readonly downloaded: number;
  readonly uploaded: number;
  readonly wasted: number;
  readonly main: ThreadFigures;
  readonly groups: readonly GroupFigures[];
}

export type ClientReport =
  | { readonly type: 'seeding'; readonly port: number }
  | { readonly type: 'figures'; readonly figures: ClientFigures }
  | { readonly type: 'stage'; readonly bytesPerSecond: number; readonly stage: Stage }
  | { readonly type: 'failed'; readonly message: string };

/** Torrents of one session that are under way at a time. */
const AT_ONCE = 256;
const LOOK_EVERY_MS = 2;

const say = (report: ClientReport): void => void process.send?.(report);

process.once('message', (job: ClientJob) => {
  work(job).then(
    (report) => {
      process.send?.(report, () => process.disconnect?.());
    },
    (error: unknown) => {
      say({ type: 'failed', message: messageOf(error) });
      process.disconnect?.();
      process.exitCode = 1;
    },
  );
});

async function work(job: ClientJob): Promise<ClientReport> {
  if (job.kind === 'stage') {
    return { type: 'stage', stage: job.stage, bytesPerSecond: await measureStage(job) };
  }
  return { type: 'figures', figures: await transfer(job) };
}

async function transfer(job: Extract<ClientJob, { kind: 'transfer' }>): Promise<ClientFigures> {
  const { host, workers, options } = job;
  const session = await Session.open({ bind: host, workers, options, measure: true, encryption: 'off' });
  try {
    const meter = new ThreadMeter();
    const cpu = process.cpuUsage();
    const startedAt = performance.now();
    const active = new Set<Download>();
    const ended: Download[] = [];
    let firstAt: number | undefined;
    const look = setInterval(() => {
      for (const download of active) if (download.stats().have > 0) firstAt ??= performance.now();
      if (firstAt !== undefined) clearInterval(look);
    }, LOOK_EVERY_MS);
    const waiting = [...job.torrents];
    const next = async (): Promise<void> => {
      for (let torrent = waiting.shift(); torrent !== undefined; torrent = waiting.shift()) {
        const storage = job.storage === 'null' ? { storage: new NullStorage() } : {};
        const download = session.add(torrent, { out: job.out, peers: job.peers, seed: job.seeds, ...storage });
        active.add(download);
        await download.done;
        firstAt ??= performance.now();
        ended.push(download);
        active.delete(download);
      }
    };
    try {
      if (job.seeds) {
        say({ type: 'seeding', port: session.port });
        const told = new Promise<void>((resolve) => process.once('message', () => resolve()));
        await Promise.all([next(), told]);
      } else {
        await Promise.all(Array.from({ length: AT_ONCE }, next));
      }
    } finally {
      clearInterval(look);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    const groups = await session.measure();
    const main = meter.figures();
    meter.stop();
    await session.close();
    const sum = (name: 'downloaded' | 'uploaded' | 'wasted'): number =>
      ended.reduce((total, download) => total + download.stats()[name], 0);
    return {
      seconds,
      firstPieceSeconds: ((firstAt ?? startedAt) - startedAt) / 1000,
      userSeconds: user / 1e6,
      systemSeconds: system / 1e6,
      peakRss: peakRss(),
      downloaded: sum('downloaded'),
      uploaded: sum('uploaded'),
      wasted: sum('wasted'),
      main,
      groups,
    };
  } finally {
    await session.close();
  }
}

/** Bytes. Linux hands a parent's `maxRSS` on to its children: the kernel's own mark is of this program alone. */
function peakRss(): number {
  try {
    const line = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (line !== null) return Number(line[1]) * 1024;
  } catch {
    // No such file on other systems.
  }
  return process.resourceUsage().maxRSS * 1024;
}

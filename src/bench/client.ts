/**
 * The program of the client under test: the real engine in a process of its own, so that what it costs is told apart from
 * its peers. Takes a job, reports what it measured, and goes.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '../errors.js';
import { raiseHeapLimit } from '../heap-limit.js';
import type { GroupFigures } from '../messages.js';
import type { Options } from '../options.js';
import type { PeerAddress } from '../protocol/address.js';
import { type Download, Session } from '../session.js';
import { NullStorage } from '../storage/storage.js';
import { type ThreadFigures, ThreadMeter } from '../thread-meter.js';
import type { Stage } from './settings.js';
import { measureStage, type StageJob } from './stages.js';

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
      /** `get` until complete; `both` and `seed` stay until told, `seed` is measured from when its data are hashed. */
      readonly mode: 'get' | 'both' | 'seed';
      readonly options: Partial<Options>;
    }
  | StageJob;

type TransferJob = Extract<ClientJob, { kind: 'transfer' }>;

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

raiseHeapLimit();
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

async function transfer(job: TransferJob): Promise<ClientFigures> {
  const { host, workers, options, mode } = job;
  const session = await Session.open({ bind: host, workers, options, measure: true, encryption: 'off' });
  try {
    const told = new Promise<void>((resolve) => process.once('message', () => resolve()));
    const batch = new Batch(session, job);
    if (mode === 'seed') await batch.run();
    const meter = new ThreadMeter();
    const cpu = process.cpuUsage();
    const startedAt = performance.now();
    if (mode !== 'get') say({ type: 'seeding', port: session.port });
    await Promise.all([mode === 'seed' ? undefined : batch.run(), mode === 'get' ? undefined : told]);
    const seconds = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    const groups = await session.measure();
    const main = meter.figures();
    meter.stop();
    await session.close();
    return {
      seconds,
      firstPieceSeconds: Math.max(0, (batch.firstAt ?? startedAt) - startedAt) / 1000,
      userSeconds: user / 1e6,
      systemSeconds: system / 1e6,
      peakRss: peakRss(),
      ...batch.totals(),
      main,
      groups,
    };
  } finally {
    await session.close();
  }
}

/** The downloads of a job, some at a time. */
class Batch {
  /** When the first piece was on disk, ms. */
  firstAt: number | undefined;
  readonly #session: Session;
  readonly #job: TransferJob;
  readonly #active = new Set<Download>();
  readonly #ended: Download[] = [];

  constructor(session: Session, job: TransferJob) {
    this.#session = session;
    this.#job = job;
  }

  /** Resolves when all are complete. */
  async run(): Promise<void> {
    const look = setInterval(() => {
      for (const download of this.#active) if (download.stats().have > 0) this.firstAt ??= performance.now();
      if (this.firstAt !== undefined) clearInterval(look);
    }, LOOK_EVERY_MS);
    const waiting = [...this.#job.torrents];
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#lane(waiting)));
    } finally {
      clearInterval(look);
    }
  }

  /** Once the session is closed: what the groups said last is in. */
  totals(): Pick<ClientFigures, 'downloaded' | 'uploaded' | 'wasted'> {
    const sum = (name: 'downloaded' | 'uploaded' | 'wasted'): number =>
      this.#ended.reduce((total, download) => total + download.stats()[name], 0);
    return { downloaded: sum('downloaded'), uploaded: sum('uploaded'), wasted: sum('wasted') };
  }

  async #lane(waiting: Uint8Array[]): Promise<void> {
    const { out, peers, mode, storage } = this.#job;
    for (let torrent = waiting.shift(); torrent !== undefined; torrent = waiting.shift()) {
      const discard = storage === 'null' ? { storage: new NullStorage() } : {};
      const download = this.#session.add(torrent, { out, peers, seed: mode !== 'get', ...discard });
      this.#active.add(download);
      await download.done;
      this.firstAt ??= performance.now();
      this.#ended.push(download);
      this.#active.delete(download);
    }
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

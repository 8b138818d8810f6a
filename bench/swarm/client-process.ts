/** The process of the client under test: one session for each job, and what came of it. Nothing else runs in it. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { type Download, Session, type SessionSettings } from '../../src/session.js';

export interface Job {
  readonly torrent: Uint8Array;
  readonly out: string;
  readonly peers: readonly { readonly host: string; readonly port: number }[];
  readonly settings?: SessionSettings;
  /** Goes on seeding until told to end. */
  readonly seed?: boolean;
}

export type ToClient = { readonly type: 'run'; readonly job: Job } | { readonly type: 'end' };

/** How far a download was. */
export interface Look {
  /** From the first piece. */
  readonly ms: number;
  /** Verified and on disk since then. */
  readonly bytes: number;
}

/** When it was complete. */
export interface Outcome {
  /** From the first peer to the last piece on disk. */
  readonly seconds: number;
  /** Of these, from 99% to 100%. */
  readonly tailSeconds: number;
  /** Of all threads of the process, in that time. */
  readonly cpuSeconds: number;
  readonly downloaded: number;
  readonly wasted: number;
  readonly progress: readonly Look[];
  /** SHA-1 of the file. */
  readonly sha1: string;
}

export type FromClient =
  | { readonly type: 'open'; readonly port: number }
  | ({ readonly type: 'done' } & Outcome)
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'closed'; readonly uploaded: number };

/** How exact the time of the 99% is. */
const LOOK_EVERY_MS = 5;

const tell = (message: FromClient): void => void process.send?.(message);

let end = (): void => {};

async function run({ torrent, out, peers, settings, seed = false }: Job): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const session = await Session.open({ bind: '127.0.0.1', ...settings });
  tell({ type: 'open', port: session.port });
  const download = session.add(torrent, { out, peers, seed });
  try {
    tell({ type: 'done', ...(await measure(download, out)) });
  } catch (error) {
    tell({ type: 'failed', message: (error as Error).message });
  }
  await ended;
  await download.stop();
  const { uploaded } = download.stats();
  await session.close();
  tell({ type: 'closed', uploaded });
}

async function measure(download: Download, out: string): Promise<Outcome> {
  const [startedAt, cpu] = [performance.now(), process.cpuUsage()];
  let at99 = startedAt;
  const progress: Look[] = [];
  let first: Look | undefined;
  const timer = setInterval(() => {
    const { have, length } = download.stats();
    const now = performance.now();
    if (have < length * 0.99) at99 = now;
    if (have === 0) return;
    first ??= { ms: now, bytes: have };
    progress.push({ ms: now - first.ms, bytes: have - first.bytes });
  }, LOOK_EVERY_MS);
  try {
    await download.done;
  } finally {
    clearInterval(timer);
  }
  const doneAt = performance.now();
  const { user, system } = process.cpuUsage(cpu);
  const { downloaded, wasted } = download.stats();
  const sha1 = createHash('sha1');
  for await (const chunk of createReadStream(join(out, download.metainfo.name))) sha1.update(chunk);
  return {
    seconds: (doneAt - startedAt) / 1000,
    tailSeconds: (doneAt - at99) / 1000,
    cpuSeconds: (user + system) / 1e6,
    downloaded,
    wasted,
    progress,
    sha1: sha1.digest('hex'),
  };
}

process.on('message', (message: ToClient) => {
  if (message.type === 'end') return end();
  run(message.job).catch((error: Error) => tell({ type: 'failed', message: error.message }));
});
process.on('disconnect', () => process.exit());

/** The program of a bench's peers, a process of its own on a leash: serves or fetches a pattern and tells what it cost. */
import { messageOf } from '../errors.js';
import type { PeerAddress } from '../protocol/address.js';
import { Pattern } from './pattern.js';
import { leech } from './pattern-leecher.js';
import { type PatternServerSettings, type PatternTorrent, servePattern } from './pattern-server.js';

/** What a peer process is told to do. */
export type PeerJob = { readonly seed: string; readonly pieceLength: number } & (
  | ({ readonly kind: 'serve' } & Omit<PatternServerSettings, 'pattern'>)
  | {
      readonly kind: 'leech';
      readonly peers: readonly PeerAddress[];
      readonly torrent: PatternTorrent;
    }
);

/** What it says. `usage` is the answer to whatever is sent after the job. */
export type PeerReport =
  | { readonly type: 'ready'; readonly ports: readonly number[] }
  | { readonly type: 'leeched'; readonly bytes: number }
  | { readonly type: 'usage'; readonly cpuMs: number }
  | { readonly type: 'failed'; readonly message: string };

const say = (report: PeerReport): void => void process.send?.(report);

process.once('message', (job: PeerJob) => {
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    say({ type: 'usage', cpuMs: (user + system) / 1000 });
  });
  work(job).then(say, (error: unknown) => say({ type: 'failed', message: messageOf(error) }));
});
process.once('disconnect', () => process.exit());

async function work(job: PeerJob): Promise<PeerReport> {
  const pattern = new Pattern(job.seed, job.pieceLength);
  if (job.kind === 'leech') return { type: 'leeched', bytes: await leech({ ...job, pattern, compare: true }) };
  return { type: 'ready', ports: (await servePattern({ ...job, pattern })).ports };
}

/** The process of the client under test in the bench `beside`: a fast torrent, alone or beside slow ones that are under way. */
import { raiseHeapLimit } from '../../src/heap-limit.js';
import type { PeerAddress } from '../../src/protocol/address.js';
import { type Download, Session } from '../../src/session.js';
import { NullStorage } from '../../src/storage/storage.js';

export interface BesideTorrent {
  readonly bytes: Uint8Array;
  readonly peers: readonly PeerAddress[];
}

export interface BesideJob {
  readonly fast: BesideTorrent;
  readonly slow: readonly BesideTorrent[];
  /** The slow ones are under way for so long before the fast one begins. */
  readonly settleMs: number;
  readonly out: string;
}

export interface BesideFigures {
  /** Of the fast one, from its start to its last piece. */
  readonly seconds: number;
  /** CPU seconds of the process in that time. */
  readonly cpuSeconds: number;
  /** CPU seconds per second of the slow ones, before the fast one began. */
  readonly idleCpu: number;
  /** Bytes per second of each slow one, before the fast one began and meanwhile. */
  readonly before: readonly number[];
  readonly meanwhile: readonly number[];
  readonly peakRss: number;
}

/** What happens to each download in some time, in bytes per second of that time. */
async function ratesOf(downloads: readonly Download[], during: () => Promise<unknown>): Promise<number[]> {
  const startedAt = performance.now();
  const before = downloads.map((download) => download.stats().downloaded);
  await during();
  const seconds = (performance.now() - startedAt) / 1000;
  return downloads.map((download, n) => (download.stats().downloaded - before[n]!) / seconds);
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function run({ fast, slow, settleMs, out }: BesideJob): Promise<BesideFigures> {
  const session = await Session.open({ bind: '127.0.0.1', encryption: 'off' });
  const add = ({ bytes, peers }: BesideTorrent): Download =>
    session.add(bytes, { out, peers, storage: new NullStorage() });
  const others = slow.map(add);
  for (const { ended } of others) ended.catch(() => {});
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, settleMs));
  if (others.length > 0) await settle();
  const cpuBefore = cpuSeconds();
  const before = await ratesOf(others, others.length > 0 ? settle : async () => {});
  const idleCpu = (cpuSeconds() - cpuBefore) / (settleMs / 1000);
  const [startedAt, cpuAtStart] = [performance.now(), cpuSeconds()];
  const meanwhile = await ratesOf(others, () => add(fast).done);
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = cpuSeconds() - cpuAtStart;
  await session.close();
  return { seconds, cpuSeconds: cpu, idleCpu, before, meanwhile, peakRss: process.resourceUsage().maxRSS * 1024 };
}

// As the command does.
raiseHeapLimit();
process.on('message', (job: BesideJob) => {
  run(job).then(
    (figures) => process.send?.(figures),
    (error: Error) => {
      process.stderr.write(`${error.stack}\n`);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit());

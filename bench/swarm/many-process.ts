/** The process of the client under test in the bench `many`: one session, some torrents at a time, and what it cost. */
import { readFileSync } from 'node:fs';
import { Session } from '../../src/session.js';

export interface ManyJob {
  /** Paths of `.torrent` files. */
  readonly torrents: readonly string[];
  readonly out: string;
  readonly stateFolder: string;
  /** Torrents at a time. */
  readonly jobs: number;
}

export interface ManyFigures {
  /** From the first torrent to the last piece on disk. */
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRss: number;
  readonly failed: readonly string[];
}

async function run({ torrents, out, stateFolder, jobs }: ManyJob): Promise<ManyFigures> {
  const session = await Session.open({ bind: '127.0.0.1', stateFolder });
  const startedAt = performance.now();
  const failed: string[] = [];
  const waiting = torrents.values();
  const lane = async (): Promise<void> => {
    for (const torrent of waiting) {
      const download = session.add(readFileSync(torrent), { out });
      await download.done.catch((error: Error) => failed.push(error.message));
    }
  };
  await Promise.all(Array.from({ length: jobs }, lane));
  const seconds = (performance.now() - startedAt) / 1000;
  await session.close();
  const { user, system } = process.cpuUsage();
  const status = readFileSync('/proc/self/status', 'utf8');
  const peakRss = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  return { seconds, cpuSeconds: (user + system) / 1e6, peakRss, failed };
}

process.once('message', (job: ManyJob) => {
  run(job).then(
    (figures) => process.send?.(figures, () => process.disconnect()),
    (error: Error) => {
      process.stderr.write(`${error.stack}\n`);
      process.exit(1);
    },
  );
});

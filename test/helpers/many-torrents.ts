// Many small torrents on loopback, seeded from this process by one session, with a tracker; all gone when the test ends.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { deferred } from '../../src/deferred.js';
import { type Download, Session } from '../../src/session.js';
import { type RunningTracker, startTracker } from '../../src/swarm/tracker.js';
import { temporaryFolder } from './fs-temp.js';
import { type SmallTorrent, smallTorrent } from './small-torrent.js';

export interface ManyTorrents {
  /** The test's own folder, which holds all others. */
  readonly folder: string;
  /** `.torrent` files. */
  readonly torrents: string;
  /** Not there yet. */
  readonly out: string;
  readonly tracker: RunningTracker;
  readonly items: readonly SmallTorrent[];
  /** Paths of the `.torrent` files, in the order of `items`. */
  readonly paths: readonly string[];
  /** Seeds one that is not; absent for all. */
  seed(...which: number[]): Promise<void>;
  /** Bytes given by the seeds. */
  uploaded(): number;
  /** Names of the payloads that are complete and right in `out`. */
  complete(): Promise<string[]>;
}

export interface ManyShape {
  readonly count: number;
  readonly length: number;
  readonly pieceLength: number;
  /** What the announce URL of each is; the tracker's over HTTP when absent. */
  readonly announce?: (tracker: RunningTracker, n: number) => string;
  /** Most bytes per second that the seeds give. */
  readonly maxUp?: number;
  /** Bytes that the seeds have in place of the payload's. */
  readonly spoil?: (n: number, payload: Buffer) => Buffer;
}

export async function manyTorrents(shape: ManyShape): Promise<ManyTorrents> {
  const { count, length, pieceLength, announce = ({ httpUrl }) => httpUrl, maxUp, spoil } = shape;
  const folder = await temporaryFolder();
  const [torrents, out, seeds] = ['torrents', 'out', 'seeds'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(torrents);
  await mkdir(seeds);
  const tracker = await startTracker({ host: '127.0.0.1' });
  onTestFinished(() => tracker.close());
  const names = Array.from({ length: count }, (_, n) => `t${String(n).padStart(4, '0')}`);
  const items = names.map((name, n) =>
    smallTorrent(length, pieceLength, { name, announce: announce(tracker, n), seed: n + 1 }),
  );
  const paths = names.map((name) => join(torrents, `${name}.torrent`));
  for (const [n, { bytes }] of items.entries()) await writeFile(paths[n]!, bytes);
  const session = await Session.open({
    bind: '127.0.0.1',
    workers: 1,
    ...(maxUp !== undefined && { maxUp }),
  });
  onTestFinished(() => session.close());
  const seeding: Download[] = [];
  return {
    folder,
    torrents,
    out,
    tracker,
    items,
    paths,
    async seed(...which) {
      const chosen = which.length > 0 ? which : items.keys();
      await Promise.all(
        [...chosen].map(async (n) => {
          const { name, payload, bytes } = items[n]!;
          await writeFile(join(seeds, name), payload);
          const announced = deferred();
          seeding.push(
            session.add(bytes, {
              out: seeds,
              seed: true,
              fetch: false,
              onEvent: ({ type }) => {
                // Spoiled once it was found to be good.
                if (type === 'checked' && spoil !== undefined) void writeFile(join(seeds, name), spoil(n, payload));
                if (type === 'tracker') announced.resolve();
              },
            }),
          );
          await announced.promise;
        }),
      );
    },
    uploaded: () => seeding.reduce((sum, download) => sum + download.stats().uploaded, 0),
    async complete() {
      const good = await Promise.all(
        items.map(async ({ name, payload }) => {
          const found = await readFile(join(out, name)).catch(() => undefined);
          return found?.equals(payload) === true ? [name] : [];
        }),
      );
      return good.flat();
    },
  };
}

// A swarm on loopback for one test, or for some: payload, torrent, tracker and seeding processes, all gone at the end.
import { mkdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { deferred } from '../../src/deferred.js';
import { type DownloadEvent, Session } from '../../src/session.js';
import { type PayloadShape, payloadTorrent, writePayload } from '../../src/swarm/payload.js';
import { type RunningTracker, startTracker } from '../../src/swarm/tracker.js';
import { type AtEnd, temporaryFolder } from './fs-temp.js';

export const PIECE = 65_536;
/** 40 pieces, the last one short. */
export const SINGLE: PayloadShape = { seed: 'single', name: 'single.bin', length: 40 * PIECE - 1234 };
/** Files that begin and end within pieces, one without bytes, one smaller than a piece. */
export const SEVERAL: PayloadShape = {
  seed: 'several',
  name: 'several',
  length: 1_000_000 + 7 + 70_000 + 300_000,
  files: [
    { path: ['first.bin'], length: 1_000_000 },
    { path: ['folder', 'empty'], length: 0 },
    { path: ['folder', 'small'], length: 7 },
    { path: ['folder', 'deep', 'middle.bin'], length: 70_000 },
    { path: ['last.bin'], length: 300_000 },
  ],
};

export interface TestSwarm {
  readonly shape: PayloadShape;
  /** The test's own folder, which holds all others. */
  readonly folder: string;
  /** Path of the `.torrent`. */
  readonly torrent: string;
  /** Folder of the payload. */
  readonly seeds: string;
  /** An empty folder. */
  readonly downloads: string;
  readonly tracker: RunningTracker;
  /** Seeds what is there, without a process: resolves when peers can find it. */
  seeder(): Promise<SwarmSeeder>;
}

export interface SwarmSeeder {
  readonly port: number;
  /** Good pieces on disk, and pieces in all. */
  readonly pieces: number;
  readonly of: number;
  /** Payload it has given. */
  uploaded(): number;
  stop(): Promise<void>;
}

/**
 * A payload with its torrent and a tracker; nobody seeds it yet.
 * @param atEnd when all of it goes, with the test if absent
 */
export async function testSwarm(
  shape: PayloadShape,
  trackers: (tracker: RunningTracker) => readonly (readonly string[])[] = ({ httpUrl }) => [[httpUrl]],
  atEnd: AtEnd = onTestFinished,
): Promise<TestSwarm> {
  const folder = await temporaryFolder(atEnd);
  const [seeds, downloads, torrent] = ['seeds', 'downloads', 'it.torrent'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(downloads);
  const tracker = await startTracker({ host: '127.0.0.1' });
  atEnd(() => tracker.close());
  const hashes = await writePayload(shape, seeds, PIECE);
  const tiers = trackers(tracker);
  const bytes = payloadTorrent(shape, PIECE, hashes, tiers);
  await writeFile(torrent, bytes);
  const seeder = async (): Promise<SwarmSeeder> => {
    const session = await Session.open({ bind: '127.0.0.1', workers: 1 });
    atEnd(() => session.close());
    return {
      port: session.port,
      ...(await seed(session, bytes, seeds, tiers.length > 0)),
      stop: () => session.close(),
    };
  };
  return { shape, folder, torrent, seeds, downloads, tracker, seeder };
}

/** Has a session seed a torrent. @returns what is there, once a tracker, if there is one, has answered */
async function seed(session: Session, torrent: Uint8Array, out: string, announces: boolean) {
  const { promise: announced, resolve: onAnnounced } = deferred();
  let found = { pieces: 0, of: 0 };
  const onEvent = (event: DownloadEvent): void => {
    if (event.type === 'checked') found = { pieces: event.pieces, of: event.of };
    if (event.type === 'tracker') onAnnounced();
  };
  const download = session.add(torrent, { out, fetch: false, seed: true, onEvent });
  await download.done;
  if (announces) await announced;
  return { ...found, uploaded: () => download.stats().uploaded };
}

/** Cuts the single file of a payload to its first pieces. */
export async function keepPieces({ shape, seeds }: TestSwarm, pieces: number): Promise<void> {
  await truncate(join(seeds, shape.name), pieces * PIECE);
}

/** Resolves when a download into the swarm's folder has written something. */
export async function hasBytes({ shape, downloads }: TestSwarm): Promise<void> {
  const path = join(downloads, shape.name);
  await expect.poll(async () => (await stat(path).catch(() => undefined))?.blocks ?? 0, POLL).toBeGreaterThan(0);
}

const POLL = { interval: 10, timeout: 20_000 };

/** Removes the payload. */
export async function loseAll({ seeds }: TestSwarm): Promise<void> {
  await rm(seeds, { recursive: true });
}

/** Flags of every command in a test: loopback, one worker. */
export const LOCAL = ['--bind', '127.0.0.1', '--workers', '1'] as const;

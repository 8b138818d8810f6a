/** One run of each scenario: starts the client, waits for its figures, checks what came out. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SpateError } from '../errors.js';
import type { Options } from '../options.js';
import { BUILT } from '../package.js';
import type { Child } from './child.js';
import type { ClientFigures, ClientJob, ClientReport } from './client.js';
import { type Lab, LOOPBACK, SEED, type Seeders, usageOf } from './lab.js';
import { type Metrics, metricsOf } from './metrics.js';
import { firstWrong, writeFiles } from './payload-files.js';
import type { BenchSettings, Stage } from './settings.js';
import type { StageJob } from './stages.js';

/** What a run needs. */
export interface RunContext {
  readonly lab: Lab;
  readonly settings: BenchSettings;
  readonly workers: number;
  /** Absent where nothing is downloaded. */
  readonly seeders: Seeders | undefined;
  /** Folder of data that are there before; absent where there are none. */
  readonly data: string | undefined;
  readonly signal: AbortSignal;
}

export interface RunResult {
  readonly metrics: Metrics;
  readonly groupUtilisation: readonly number[];
  /** Part of the time the busiest peer process used a core. */
  readonly peerUtilisation: number;
}

const RECONNECT_MS = 50;

/** @throws SpateError BAD_DATA when a byte is not the pattern's: the run is void */
export async function runOnce(context: RunContext): Promise<RunResult> {
  const { lab, settings, seeders, data, signal } = context;
  const out = data ?? (await mkdtemp(join(lab.folder, 'out-')));
  try {
    const before = (await seeders?.usage()) ?? [];
    const { figures, leecherMs } = await transfer(context, out);
    const after = (await seeders?.usage()) ?? [];
    const used = [...after.map((ms, i) => ms - before[i]!), ...leecherMs];
    if (data === undefined && settings.storage === 'disk') await check(context, out);
    signal.throwIfAborted();
    const bytes = lab.torrents.reduce((sum, { length }) => sum + length, 0);
    const pieces = lab.torrents.reduce((sum, torrent) => sum + torrent.pieces, 0);
    const peerSeconds = used.reduce((sum, ms) => sum + ms, 0) / 1000;
    return {
      metrics: metricsOf(figures, bytes, pieces, peerSeconds),
      groupUtilisation: figures.groups.map(({ utilisation }) => utilisation),
      peerUtilisation: Math.min(1, Math.max(0, ...used) / 1000 / figures.seconds),
    };
  } finally {
    if (data === undefined) await rm(out, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function transfer(
  context: RunContext,
  out: string,
): Promise<{ figures: ClientFigures; leecherMs: readonly number[] }> {
  const { lab, settings, seeders, workers } = context;
  const { scenario, storage } = settings;
  const mode = scenario === 'upload' ? 'seed' : scenario === 'dual' ? 'both' : 'get';
  const job: ClientJob = {
    kind: 'transfer',
    torrents: lab.torrents.map(({ bytes }) => bytes),
    peers: seeders?.peers ?? [],
    host: LOOPBACK,
    out,
    workers,
    storage,
    mode,
    options: engineOptions(settings),
  };
  const client = lab.start<ClientReport>(BUILT.benchClient, job);
  try {
    const leecherMs = mode === 'get' ? [] : [await leechFrom(context, client)];
    const { figures } = await client.next('figures');
    return { figures, leecherMs };
  } finally {
    await lab.stop(client);
  }
}

/** Fetches the torrent from the client, every byte compared. @returns CPU milliseconds of the leechers */
async function leechFrom({ lab, settings }: RunContext, client: Child<ClientReport>): Promise<number> {
  const { port } = await client.next('seeding');
  const { infohash, first, length } = lab.torrents[0]!;
  const leecher = lab.startPeer({
    kind: 'leech',
    seed: SEED,
    pieceLength: settings.piece,
    peers: Array.from({ length: settings.seeders * settings.conns }, () => ({ host: LOOPBACK, port })),
    torrent: { infohash, first, length },
  });
  try {
    const { bytes } = await leecher.next('leeched');
    if (bytes !== length) throw new SpateError('BAD_DATA', `the leechers got ${bytes} of ${length} bytes`);
    client.send('done');
    return await usageOf(leecher);
  } finally {
    await lab.stop(leecher);
  }
}

function engineOptions({ seeders, conns, churnMs }: BenchSettings): Partial<Options> {
  const connections = seeders * conns;
  return {
    peersPerTorrent: Math.max(80, connections),
    uploadSlots: Math.max(8, connections),
    stallTimeoutMs: 60_000,
    ...(churnMs > 0 && { reconnectMs: RECONNECT_MS }),
  };
}

async function check({ lab, signal }: RunContext, out: string): Promise<void> {
  for (const torrent of lab.torrents) {
    const wrong = await firstWrong(lab.pattern, torrent, out, signal);
    if (wrong !== undefined) throw new SpateError('BAD_DATA', `the run is void: byte ${wrong} on disk is wrong`);
  }
}

/** Writes the data that a scenario starts from. */
export async function prepareData(lab: Lab, signal: AbortSignal): Promise<string> {
  const data = await mkdtemp(join(lab.folder, 'data-'));
  for (const torrent of lab.torrents) await writeFiles(lab.pattern, torrent, data, signal);
  return data;
}

/** A ceiling, in bytes per second, measured in a process of its own. */
export async function runStage(context: RunContext, stage: Stage, size: number): Promise<number> {
  const { lab, settings, seeders, workers } = context;
  const out = await mkdtemp(join(lab.folder, 'stage-'));
  const { infohash, first, length } = lab.torrents[0]!;
  const job: StageJob = {
    kind: 'stage',
    stage,
    seed: SEED,
    size,
    pieceLength: settings.piece,
    workers,
    out,
    peers: seeders?.peers ?? [],
    torrent: { infohash, first, length },
  };
  const client = lab.start<ClientReport>(BUILT.benchClient, job);
  try {
    return (await client.next('stage')).bytesPerSecond;
  } finally {
    await lab.stop(client);
    await rm(out, { recursive: true, force: true, maxRetries: 3 });
  }
}

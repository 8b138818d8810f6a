/** One run of one client in a race: on a tracker and in folders of its own, from its start to the comparison of what it has made. */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../errors.js';
import { announceUrl } from '../protocol/tracker-http.js';
import { firstDifference, type PayloadShape, payloadTorrent } from '../swarm/payload.js';
import { type RunningTracker, startTracker } from '../swarm/tracker.js';
import { type ClientProcess, startClient } from './client-process.js';
import { fillIn } from './command-words.js';
import type { RunFigures, VoidRun } from './comparison.js';
import type { RaceSeeds } from './race-seeds.js';
import { type Course, placeholders, type Rival } from './rivals.js';

/** What all runs of a race have in common. */
export interface Arena {
  readonly folder: string;
  readonly shape: PayloadShape;
  /** Folder of the payload. */
  readonly payloadRoot: string;
  readonly pieceLength: number;
  /** 20 bytes per piece. */
  readonly pieceHashes: Uint8Array;
  readonly infohash: Uint8Array;
  readonly seeds: RaceSeeds;
  /** A run that takes longer is void. */
  readonly timeoutMs: number;
}

const LOOPBACK = '127.0.0.1';

/** @throws the signal's reason; what is wrong with this machine rather than with the client */
export async function runOnce(
  rival: Rival,
  arena: Arena,
  round: number,
  signal: AbortSignal,
): Promise<RunFigures | VoidRun> {
  signal.throwIfAborted();
  const [out, home, torrent] = ['out', 'home', 'it.torrent'].map((name) => join(arena.folder, name));
  const tracker = await startTracker({ host: LOOPBACK });
  try {
    await Promise.all([mkdir(out!), mkdir(home!), writeFile(torrent!, torrentOf(arena, tracker))]);
    await announceSeeds(arena, tracker);
    return await timed(rival, courseOf(arena, out!, home!, torrent!), arena, round, signal);
  } finally {
    await tracker.close();
    await Promise.all([out!, home!].map((path) => rm(path, { recursive: true, force: true, maxRetries: 3 })));
  }
}

async function timed(
  rival: Rival,
  course: Course,
  arena: Arena,
  round: number,
  signal: AbortSignal,
): Promise<RunFigures | VoidRun> {
  const values = { ...placeholders(course), ...(await rival.daemon?.prepare(course)) };
  const log = join(course.home, 'race.log');
  const startedAt = performance.now();
  const client = await startClient({
    command: fillIn(rival.command, values),
    cwd: process.cwd(),
    env: environment(course.home),
    log,
  });
  let problem: string | undefined;
  let words = '';
  let seconds = 0;
  let usage: ReturnType<ClientProcess['usage']>;
  try {
    problem = await finish(rival, course, values, client, arena.timeoutMs, signal);
    seconds = (performance.now() - startedAt) / 1000;
    usage = client.usage();
    words = await lastWords(log);
  } finally {
    await client.stop();
  }
  problem ??= await difference(arena, course.out, signal);
  if (problem !== undefined) return { round, reason: `${problem}${words}` };
  // One that was gone before it could be looked at has no peak.
  return { round, seconds, cpuSeconds: usage?.cpuSeconds ?? null, peakRssBytes: usage?.peakRssBytes || null };
}

/** Resolves when the client says that it is done, or with why it never will. @throws the signal's reason */
async function finish(
  { daemon }: Rival,
  course: Course,
  values: Readonly<Record<string, string | number>>,
  client: ClientProcess,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const over = new AbortController();
  const late = AbortSignal.timeout(timeoutMs);
  const bounds = AbortSignal.any([signal, late, over.signal]);
  const aborted = new Promise<string>((resolve) => {
    bounds.addEventListener('abort', () => resolve(`not complete after ${timeoutMs / 1000} s`), { once: true });
  });
  const ended = client.ended.then((code) => {
    if (code === 0 && daemon === undefined) return undefined;
    return Number.isNaN(code) ? 'was ended from outside' : `ended with exit code ${code}`;
  });
  const completed = daemon?.complete(course, values, bounds).then(
    () => undefined,
    (error: unknown) => messageOf(error),
  );
  try {
    const problem = await Promise.race([ended, aborted, ...(completed ? [completed] : [])]);
    signal.throwIfAborted();
    return late.aborted && problem !== undefined ? await aborted : problem;
  } finally {
    // Ends the questions to a daemon that has gone.
    over.abort();
    await completed;
  }
}

/** What is wrong with what is there, if anything. */
async function difference({ shape }: Arena, out: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { size } = await stat(join(out, shape.name));
    if (size !== shape.length) return `made ${size} bytes of ${shape.length}`;
    const at = await firstDifference(shape, out, signal);
    return at === undefined ? undefined : `byte ${at} is wrong`;
  } catch (error) {
    signal.throwIfAborted();
    return `made no ${shape.name}: ${messageOf(error)}`;
  }
}

const MAX_WORDS = 200;

/** The last line it has printed. */
async function lastWords(log: string): Promise<string> {
  const lines = (await readFile(log, 'utf8').catch(() => '')).trimEnd().split('\n');
  const line = lines.at(-1)!.trim().slice(0, MAX_WORDS);
  return line === '' ? '' : `: ${line}`;
}

function torrentOf({ shape, pieceLength, pieceHashes }: Arena, tracker: RunningTracker): Uint8Array {
  return payloadTorrent(shape, pieceLength, pieceHashes, [[tracker.httpUrl]]);
}

function courseOf(arena: Arena, out: string, home: string, torrent: string): Course {
  const { shape, payloadRoot, pieceLength, infohash, seeds } = arena;
  return {
    torrent,
    out,
    home,
    payload: join(payloadRoot, shape.name),
    name: shape.name,
    size: shape.length,
    pieceLength,
    infohash: Buffer.from(infohash).toString('hex'),
    seeds: seeds.addresses,
    dial: seeds.dial,
  };
}

/** The seeds announce themselves to nobody, or did so to a tracker that is gone. */
async function announceSeeds({ infohash, seeds }: Arena, { httpUrl }: RunningTracker): Promise<void> {
  for (const { port } of seeds.addresses) {
    const peerId = Buffer.from(`-SD0001-${String(port).padStart(12, '0')}`, 'latin1');
    const nothing = { uploaded: 0, downloaded: 0, left: 0, numwant: 0, key: port };
    const response = await fetch(announceUrl(httpUrl, { infohash, peerId, port, event: 'started', ...nothing }));
    await response.arrayBuffer();
  }
}

/** A home of its own, so that neither the user's settings nor an earlier run matter. */
function environment(home: string): NodeJS.ProcessEnv {
  const { PATH, LD_LIBRARY_PATH } = process.env;
  return { PATH, LD_LIBRARY_PATH, LANG: 'C.UTF-8', HOME: home, TMPDIR: home };
}

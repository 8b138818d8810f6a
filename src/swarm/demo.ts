/**
 * `npm run demo`: a whole swarm on loopback, to see the engine work and to know that it does. Makes a payload, starts a tracker
 * and two seeding processes, downloads with the real `spate get`, and compares every byte itself. Leaves nothing behind.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EXIT, exitCodeOf } from '../cli/exit-codes.js';
import { watchInterruption } from '../cli/interruption.js';
import { messageOf, SpateError } from '../errors.js';
import { formatBytes, formatRate, formatSeconds, parseSize } from '../units.js';
import { firstDifference, type PayloadShape, payloadTorrent, writePayload } from './payload.js';
import { requireRoom } from './room.js';
import { type Seeder, startSeeder } from './seeder.js';
import { spawnSpate } from './spate-process.js';
import { startTracker } from './tracker.js';

const USAGE = 'usage: npm run demo -- [--size 1GiB] [--keep]';
const LOOPBACK = '127.0.0.1';
const SEEDERS = 2;
const MIB = 1_048_576;
/** The `.torrent`, folders, and what else is written meanwhile. */
const SPARE_BYTES = 64 * MIB;
const ANNOUNCE_INTERVAL_S = 60;

interface Settings {
  /** Bytes of payload. */
  readonly size: number;
  /** Leave the files. */
  readonly keep: boolean;
}

/** What is to be undone, the last first. */
type Cleanup = (() => Promise<void>)[];

const interruption = watchInterruption(
  () => say('stopping; a second signal ends it at once'),
  (code) => process.exit(code),
);
const cleanup: Cleanup = [];
try {
  await demo(readSettings(process.argv.slice(2)), cleanup, interruption.signal);
} catch (error) {
  if (!interruption.signal.aborted) say(messageOf(error));
  process.exitCode = exitCodeOf(error);
} finally {
  for (const undo of cleanup.reverse()) await undo().catch((error: unknown) => say(messageOf(error)));
  interruption.release();
}
process.exitCode = interruption.exitCode ?? process.exitCode ?? EXIT.ok;

async function demo({ size, keep }: Settings, cleanup: Cleanup, signal: AbortSignal): Promise<void> {
  const hint = 'choose a smaller --size, or another folder with TMPDIR';
  await requireRoom(tmpdir(), 2 * size + SPARE_BYTES, hint);
  const folder = await mkdtemp(join(tmpdir(), 'spate-demo-'));
  cleanup.push(async () => {
    if (keep) say(`kept ${folder}`);
    else await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  });
  const seeds = join(folder, 'seeds');
  const downloads = join(folder, 'downloads');
  await mkdir(downloads);

  const tracker = await startTracker({ host: LOOPBACK, port: 0, interval: ANNOUNCE_INTERVAL_S });
  cleanup.push(() => tracker.close());

  const shape: PayloadShape = { seed: 'spate demo', name: 'demo.bin', length: size };
  const pieceLength = size >= 256 * MIB ? MIB : MIB / 4;
  say(`making ${formatBytes(size)} of payload in ${folder}`);
  const hashes = await writePayload(shape, seeds, pieceLength, signal);
  const torrent = join(folder, 'demo.torrent');
  await writeFile(torrent, payloadTorrent(shape, pieceLength, hashes, [[tracker.httpUrl], [tracker.udpUrl]]));

  const seeders = await startSeeders(torrent, seeds, cleanup, signal);
  const ports = seeders.map(({ port }) => port).join(' and ');
  say(`a tracker at ${tracker.httpUrl} and ${tracker.udpUrl}, seeders on ports ${ports}; now downloading`);

  const startedAt = performance.now();
  await download(torrent, downloads, signal);
  const seconds = (performance.now() - startedAt) / 1000;

  const different = await firstDifference(shape, downloads, signal);
  if (different !== undefined) throw new SpateError('BAD_DATA', `byte ${different} of the download is wrong`);
  say(`compared ${formatBytes(size)} with the payload: every byte is right`);
  say(`\`spate get\` took ${formatSeconds(seconds)} from start to exit, ${formatRate(size / seconds)}`);
}

async function startSeeders(torrent: string, dir: string, cleanup: Cleanup, signal: AbortSignal): Promise<Seeder[]> {
  const starting = Array.from({ length: SEEDERS }, () => startSeeder({ torrent, dir, env: ownState(torrent), signal }));
  cleanup.push(() => stopAll(starting));
  return await Promise.all(starting);
}

/** What the commands remember goes with the demo's folder. */
function ownState(torrent: string): NodeJS.ProcessEnv {
  return { ...process.env, XDG_STATE_HOME: join(torrent, '..', 'state') };
}

/** Those that have not started have ended themselves. */
async function stopAll(starting: readonly Promise<Seeder>[]): Promise<void> {
  const started = await Promise.allSettled(starting);
  await Promise.all(started.map((seeder) => (seeder.status === 'fulfilled' ? seeder.value.stop() : undefined)));
}

/** @throws SpateError when `spate get` fails */
async function download(torrent: string, out: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const get = spawnSpate(['get', torrent, '-o', out, '--bind', LOOPBACK], {
    env: ownState(torrent),
    stdout: 'inherit',
    stderr: 'inherit',
  });
  const onAbort = (): void => void get.stop('SIGINT');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const { code, signal: by } = await get.exited;
    if (code !== EXIT.ok) throw new SpateError('INTERNAL', `\`spate get\` ended with ${by ?? `exit code ${code}`}`);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function readSettings(args: readonly string[]): Settings {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { size: { type: 'string', default: '1GiB' }, keep: { type: 'boolean', default: false } },
    });
    const size = parseSize(values.size);
    if (size === 0) throw new SpateError('USAGE', 'expected a size of at least one byte, got 0');
    return { size, keep: values.keep };
  } catch (error) {
    throw new SpateError('USAGE', `${messageOf(error)}; ${USAGE}`, { cause: error });
  }
}

function say(text: string): void {
  process.stderr.write(`demo: ${text}\n`);
}

/**
 * The ceilings: what one stage of a download does alone on this machine, in bytes per second. `hash` and `net` run on as many
 * threads as the client has.
 */
import { Piscina } from 'piscina';
import { resolveOptions } from '../options.js';
import { BUILT } from '../package.js';
import type { PeerAddress } from '../protocol/address.js';
import { BLOCK_HEADER_LENGTH, BLOCK_LENGTH, WireDecoder, writeBlockHeader } from '../protocol/wire.js';
import { FileStore } from '../storage/files.js';
import { OpenFiles } from '../storage/open-files.js';
import { WriteQueue } from '../storage/write-queue.js';
import type { PatternTorrent } from '../swarm/pattern-server.js';
import { Bitfield } from '../torrent/bitfield.js';
import { Geometry, type PieceIndex } from '../torrent/geometry.js';
import { Picker } from '../torrent/picker.js';
import { SharedMemory } from '../torrent/shared-memory.js';
import type { Stage } from './settings.js';
import { type HashTask, type NetTask, silentSink } from './stage-tasks.js';

export interface StageJob {
  readonly kind: 'stage';
  readonly stage: Stage;
  readonly seed: string;
  /** Bytes to push through. */
  readonly size: number;
  readonly pieceLength: number;
  readonly workers: number;
  readonly out: string;
  /** Of peers that serve `torrent`; for `net`. */
  readonly peers: readonly PeerAddress[];
  readonly torrent: PatternTorrent;
}

const CODEC_BYTES = 4_194_304;
const PICKER_PIECES = 1_000_000;
const IN_FLIGHT_BYTES = 64 * 1_048_576;

/** @returns bytes per second; of `picker`, pieces picked times their length */
export async function measureStage(job: StageJob): Promise<number> {
  switch (job.stage) {
    case 'hash':
    case 'net':
      return await onThreads(job);
    case 'disk':
      return await disk(job);
    case 'codec':
      return codec(job);
    case 'picker':
      return picker(job);
  }
}

async function onThreads(job: StageJob): Promise<number> {
  const { seed, pieceLength, size, peers, torrent, workers } = job;
  const pool = new Piscina({
    filename: BUILT.stageTasks.href,
    minThreads: workers,
    maxThreads: workers,
    atomics: 'disabled',
  });
  const tasks = Array.from({ length: workers }, (_, nth): HashTask | NetTask => {
    if (job.stage === 'hash') return { seed, pieceLength, bytes: Math.ceil(size / workers) };
    return { seed, pieceLength, torrent, peers: peers.filter((_, i) => i % workers === nth) };
  });
  try {
    const name = job.stage === 'hash' ? 'hashPieces' : 'fetch';
    // Threads start and compile before the clock does.
    await Promise.all(tasks.map(() => pool.run(undefined, { name: 'warm' })));
    const startedAt = performance.now();
    const bytes: number[] = await Promise.all(tasks.map((task) => pool.run(task, { name })));
    return rate(
      bytes.reduce((sum, each) => sum + each, 0),
      startedAt,
    );
  } finally {
    await pool.destroy();
  }
}

/** As a download writes: whole pieces through the write queue, a bounded number of them in memory. */
async function disk({ size, pieceLength, out }: StageJob): Promise<number> {
  const options = resolveOptions();
  const geometry = new Geometry({ length: size, pieceLength });
  const openFiles = new OpenFiles(options.openFiles);
  const files = [{ path: ['ceiling'], length: size, offset: 0, pad: false }];
  const storage = new FileStore({ root: out, files, openFiles });
  await storage.prepare();
  const queue = new WriteQueue({ storage, geometry, options });
  const buffers = Math.max(1, Math.min(geometry.pieceCount, Math.floor(IN_FLIGHT_BYTES / pieceLength)));
  let next = 0;
  const startedAt = performance.now();
  const lane = async (): Promise<void> => {
    const bytes = new Uint8Array(pieceLength).fill(1);
    while (next < geometry.pieceCount) {
      const piece = next++ as PieceIndex;
      await queue.enqueue(piece, bytes);
    }
  };
  await Promise.all(Array.from({ length: buffers }, lane));
  const measured = rate(size, startedAt);
  await storage.close();
  return measured;
}

function codec({ size }: StageJob): number {
  const message = BLOCK_HEADER_LENGTH + BLOCK_LENGTH;
  const count = Math.floor(CODEC_BYTES / message);
  const bytes = new Uint8Array(count * message);
  for (let i = 0; i < count; i++) writeBlockHeader(bytes, i * message, i, 0, BLOCK_LENGTH);
  const decoder = new WireDecoder(silentSink);
  const rounds = Math.max(1, Math.ceil(size / bytes.length));
  const startedAt = performance.now();
  for (let i = 0; i < rounds; i++) {
    for (let at = 0; at < bytes.length; at += 65_536) decoder.push(bytes, at, Math.min(at + 65_536, bytes.length));
  }
  return rate(rounds * count * BLOCK_LENGTH, startedAt);
}

function picker({ pieceLength }: StageJob): number {
  const geometry = new Geometry({ length: PICKER_PIECES * pieceLength, pieceLength });
  const memory = SharedMemory.create(new Uint8Array(PICKER_PIECES * 20), 1);
  const section = memory.section(0);
  section.seeds = 1;
  const startedAt = performance.now();
  const wanted = Bitfield.full(PICKER_PIECES);
  const pick = new Picker(geometry, wanted, new Bitfield(PICKER_PIECES), [section], Math.random);
  const source = { canGive: () => true };
  let picked = 0;
  while (!pick.isExhausted) picked += pick.pick(0, source, pick.runLength, performance.now()).length;
  return rate(picked * pieceLength, startedAt);
}

const rate = (bytes: number, startedAt: number): number => bytes / ((performance.now() - startedAt) / 1000);

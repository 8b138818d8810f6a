/**
 * One fast torrent alone, and beside a hundred that trickle: it should keep 85% of its rate, and they theirs. The slow ones have
 * several peers each and could fill all buffers with pieces that are long in coming. Runs are interleaved.
 */
import { quantile } from '../../src/statistics.js';
import { torrentOf } from '../../test/helpers/small-torrent.js';
import type { BesideFigures, BesideJob, BesideTorrent } from './beside-process.js';
import { Child, KIB, type Lab, MIB, madeUpTorrent } from './lab.js';
import { nativeProgram, nativeSeeds, payloadOf } from './native-seeds.js';
import { mebibytes, percent, printTable } from './table.js';

const SLOW = Number(process.env.SPATE_BENCH_SLOW ?? 100);
const FAST_SEEDS = 2;
const PEERS = 6;
/** Of each peer of a slow torrent, KiB per second. */
const TRICKLE_KIB = 8;
const SLOW_BYTES = 8 * MIB;
const FAST_BYTES = Number(process.env.SPATE_BENCH_FAST_MIB ?? 1024) * MIB;
const SETTLE_MS = 6_000;
/** Trickling peers send a block every 2 s, all at about the same time: each round begins at another point of that. */
const SETTLE_MORE_MS = 350;
const ROUNDS = Number(process.env.SPATE_BENCH_ROUNDS ?? 3);

export async function beside(lab: Lab): Promise<void> {
  const cseed = await nativeProgram(lab, 'cseed');
  const { fast, slow } = { fast: await startFast(lab, cseed), slow: await startSlow(lab, cseed) };
  const alone: BesideFigures[] = [];
  const crowded: BesideFigures[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await run(lab, round, { fast, slow: [] }));
    crowded.push(await run(lab, round, { fast, slow }));
  }
  const median = (runs: readonly BesideFigures[], what: 'seconds' | 'cpuSeconds' | 'idleCpu'): number =>
    quantile(
      runs.map((figures) => figures[what]),
      0.5,
    );
  const rate = (runs: readonly BesideFigures[]): number => FAST_BYTES / median(runs, 'seconds');
  const cpu = (runs: readonly BesideFigures[]): string =>
    `${((median(runs, 'cpuSeconds') / FAST_BYTES) * 1024 * MIB).toFixed(2)} s/GiB`;
  const slowest = (what: 'before' | 'meanwhile', part: number): string => {
    const rates = crowded.flatMap((figures) => figures[what]);
    return `${(quantile(rates, part) / KIB).toFixed(1)} KiB/s`;
  };
  printTable(
    `beside: one torrent of ${FAST_BYTES / MIB} MiB, and ${SLOW} of ${PEERS} peers with ${TRICKLE_KIB} KiB/s each; medians of ${ROUNDS}`,
    [
      'the fast one',
      'rate',
      'of alone',
      'CPU',
      'CPU before',
      'peak memory',
      'slow ones: before',
      'meanwhile',
      'the slowest tenth',
    ],
    [
      ['alone', `${mebibytes(rate(alone))}/s`, '', cpu(alone), '', peak(alone), '', '', ''],
      [
        `beside ${SLOW}`,
        `${mebibytes(rate(crowded))}/s`,
        percent(rate(crowded) / rate(alone)),
        cpu(crowded),
        percent(median(crowded, 'idleCpu')),
        peak(crowded),
        slowest('before', 0.5),
        slowest('meanwhile', 0.5),
        slowest('meanwhile', 0.1),
      ],
    ],
  );
}

const peak = (runs: readonly BesideFigures[]): string => mebibytes(Math.max(...runs.map(({ peakRss }) => peakRss)), 0);

async function run(lab: Lab, round: number, job: Pick<BesideJob, 'fast' | 'slow'>): Promise<BesideFigures> {
  const child = await Promise.resolve(new Child<BesideJob, BesideFigures>('beside-process.js'));
  try {
    child.tell({ ...job, settleMs: SETTLE_MS + round * SETTLE_MORE_MS, out: lab.newPath() });
    return await child.next();
  } finally {
    await child.close();
  }
}

async function startFast(lab: Lab, cseed: string): Promise<BesideTorrent> {
  const torrent = madeUpTorrent(FAST_BYTES, MIB);
  const { addresses } = await nativeSeeds(lab, cseed, await payloadOf(lab, torrent), FAST_SEEDS);
  return { bytes: torrent.bytes, peers: addresses };
}

async function startSlow(lab: Lab, cseed: string): Promise<BesideTorrent[]> {
  const { payload } = madeUpTorrent(SLOW_BYTES, MIB);
  const { file } = await payloadOf(lab, torrentOf(payload, MIB));
  const torrents: BesideTorrent[] = [];
  for (let n = 0; n < SLOW; n++) {
    const { bytes, infohash, pieceLength } = torrentOf(payload, MIB, { name: `slow-${n}` });
    const shared = { file, infohash: infohash.toString('hex'), pieceLength };
    const { addresses } = await nativeSeeds(lab, cseed, shared, PEERS, TRICKLE_KIB);
    torrents.push({ bytes, peers: addresses });
  }
  return torrents;
}

/**
 * One fast torrent alone, and beside a hundred that trickle: it should keep 85% of its rate, and they theirs. The slow ones have
 * several peers each and could fill all buffers with pieces that are long in coming. Runs are interleaved.
 */
import { startChild } from '../../src/bench/child.js';
import { benchTorrent } from '../../src/bench/payload-files.js';
import { BUILT } from '../../src/package.js';
import { quantile } from '../../src/statistics.js';
import { Pattern } from '../../src/swarm/pattern.js';
import type { PeerJob, PeerReport } from '../../src/swarm/pattern-peer.js';
import { torrentOf } from '../../test/helpers/small-torrent.js';
import type { BesideFigures, BesideJob, BesideTorrent } from './beside-process.js';
import { Child, KIB, type Lab, MIB, madeUpTorrent } from './lab.js';
import { SwarmPeer } from './swarm-peer.js';
import { mebibytes, percent, printTable } from './table.js';

const SLOW = Number(process.env.SPATE_BENCH_SLOW ?? 100);
const PEERS = 6;
/** Of each peer of a slow torrent. */
const TRICKLE = 8 * KIB;
const SLOW_BYTES = 8 * MIB;
const FAST_BYTES = Number(process.env.SPATE_BENCH_FAST_MIB ?? 1024) * MIB;
const SETTLE_MS = 6_000;
const ROUNDS = Number(process.env.SPATE_BENCH_ROUNDS ?? 3);
const SEED = 'beside';

export async function beside(lab: Lab): Promise<void> {
  const { fast, slow } = { fast: await startFast(lab), slow: await startSlow(lab) };
  const alone: BesideFigures[] = [];
  const crowded: BesideFigures[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await run(lab, { fast, slow: [] }));
    crowded.push(await run(lab, { fast, slow }));
  }
  const rate = (runs: readonly BesideFigures[]): number =>
    quantile(
      runs.map(({ seconds }) => FAST_BYTES / seconds),
      0.5,
    );
  const slowest = (what: 'before' | 'meanwhile', part: number): string => {
    const rates = crowded.flatMap((figures) => figures[what]);
    return `${(quantile(rates, part) / KIB).toFixed(1)} KiB/s`;
  };
  printTable(
    `beside: one torrent of ${FAST_BYTES / MIB} MiB, and ${SLOW} of ${PEERS} peers with ${TRICKLE / KIB} KiB/s each; medians of ${ROUNDS}`,
    ['the fast one', 'rate', 'of alone', 'peak memory', 'slow ones: before', 'meanwhile', 'the slowest tenth'],
    [
      ['alone', `${mebibytes(rate(alone))}/s`, '', peak(alone), '', '', ''],
      [
        `beside ${SLOW}`,
        `${mebibytes(rate(crowded))}/s`,
        percent(rate(crowded) / rate(alone)),
        peak(crowded),
        slowest('before', 0.5),
        slowest('meanwhile', 0.5),
        slowest('meanwhile', 0.1),
      ],
    ],
  );
}

const peak = (runs: readonly BesideFigures[]): string => mebibytes(Math.max(...runs.map(({ peakRss }) => peakRss)), 0);

async function run(lab: Lab, job: Pick<BesideJob, 'fast' | 'slow'>): Promise<BesideFigures> {
  const child = await Promise.resolve(new Child<BesideJob, BesideFigures>('beside-process.js'));
  try {
    child.tell({ ...job, settleMs: SETTLE_MS, out: lab.newPath() });
    return await child.next();
  } finally {
    await child.close();
  }
}

/** A seed in a process of its own, as cheap as there is without a compiler. */
async function startFast(lab: Lab): Promise<BesideTorrent> {
  const pattern = new Pattern(SEED, MIB);
  const { bytes, infohash, first, length } = benchTorrent(pattern, 'fast', FAST_BYTES, 1);
  const job: PeerJob = {
    kind: 'serve',
    seed: SEED,
    pieceLength: MIB,
    host: '127.0.0.1',
    ports: 2,
    torrents: [{ infohash, first, length }],
  };
  const child = startChild<PeerReport>(BUILT.patternPeer, job);
  await lab.ending(Promise.resolve({ close: () => child.stop() }));
  const { ports } = await child.next('ready');
  return { bytes, peers: ports.map((port) => ({ host: '127.0.0.1', port })) };
}

async function startSlow(lab: Lab): Promise<BesideTorrent[]> {
  const { payload } = madeUpTorrent(SLOW_BYTES, MIB);
  return await Promise.all(
    Array.from({ length: SLOW }, async (_, n) => {
      const torrent = torrentOf(payload, MIB, { name: `slow-${n}` });
      const peers = await Promise.all(
        Array.from({ length: PEERS }, (_, peer) => {
          const peerId = `-XX0001-${`${n}`.padStart(6, '0')}${`${peer}`.padStart(6, '0')}`;
          return lab.ending(SwarmPeer.listen({ torrent, peerId, bytesPerSecond: TRICKLE }));
        }),
      );
      return { bytes: torrent.bytes, peers: peers.map(({ address }) => address) };
    }),
  );
}

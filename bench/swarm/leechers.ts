/**
 * Two hundred leechers that trade, and ours among them: each piece is once in the swarm at the start, everybody uploads at the same
 * rate. Prints when ours and the others were complete, and how our upload was spread over those that wanted it. The others
 * are scripted and share one process; all they say goes over sockets.
 */
import { quantile } from '../../src/statistics.js';
import { Client } from './client.js';
import { KIB, type Lab, MIB, madeUpTorrent, randomFrom } from './lab.js';
import { SwarmPeer } from './swarm-peer.js';
import { percent, printTable, seconds } from './table.js';

const LEECHERS = 200;
/** Dialled by each of the others; as many come in, on average. */
const NEIGHBOURS = 8;
const UPLOAD = 256 * KIB;
/** Slots of the others: as many as ours has in a group, one of them by lot. */
const SLOTS = 7;

export async function leechers(lab: Lab): Promise<void> {
  const torrent = madeUpTorrent(10 * MIB, 128 * KIB);
  const random = randomFrom(7);
  const has = Array.from({ length: LEECHERS }, () => new Uint8Array(torrent.pieceCount));
  for (let piece = 0; piece < torrent.pieceCount; piece++) has[Math.floor(random() * LEECHERS)]![piece] = 1;
  const plan = { torrent, bytesPerSecond: UPLOAD, trades: true, slots: SLOTS, random };
  const others = await Promise.all(
    has.map((own, n) =>
      lab.ending(SwarmPeer.listen({ ...plan, has: own, peerId: `-XX0001-trade-${`${n}`.padStart(6, '0')}` })),
    ),
  );
  const client = await Client.start(lab);
  const startedAt = performance.now();
  for (const peer of others) {
    for (let n = 0; n < NEIGHBOURS; n++) {
      const other = others[Math.floor(random() * LEECHERS)]!;
      if (other !== peer) peer.dial(other.address.port);
    }
  }
  const run = await client.run(torrent, {
    peers: others.map(({ address }) => address),
    settings: { maxUp: UPLOAD },
    seed: true,
  });
  const [ours] = await Promise.all([run.done(), ...others.map(({ complete }) => complete)]);
  const theirs = others.map(({ completeAt }) => (completeAt! - startedAt) / 1000);
  const fromUs = others.flatMap((peer) => peer.traffic.filter(({ peerId }) => peerId.startsWith('-SP')));
  await run.end();
  const [least, median, most] = [0, 0.5, 1].map((part) => quantile(theirs, part));
  printTable(
    `leechers: ${LEECHERS} traders of 256 KiB/s each, 10 MiB, each piece once; at full rates all are complete after ${seconds((torrent.payload.length * LEECHERS) / (UPLOAD * (LEECHERS + 1)), 0)}`,
    ['', 'first', 'median', 'last'],
    [
      ['the others are complete after', seconds(least!), seconds(median!), seconds(most!)],
      ['ours is complete after', '', seconds(ours.seconds), ''],
      ['of the others, before ours', '', percent(theirs.filter((at) => at < ours.seconds).length / LEECHERS), ''],
    ],
  );
  const shares = fromUs.filter(({ wasWanted }) => wasWanted).map(({ received }) => received / KIB);
  const [min, mid, max] = [0, 0.5, 1].map((part) => quantile(shares, part));
  printTable(
    `our upload over the ${shares.length} peers that ever wanted a piece of ours`,
    ['', 'in all', 'least', 'median', 'most', "Jain's index"],
    [
      [
        'KiB',
        `${shares.reduce((sum, share) => sum + share, 0)}`,
        `${min!}`,
        `${mid!}`,
        `${max!}`,
        jain(shares).toFixed(2),
      ],
    ],
  );
}

/** Jain's index: 1 when all had the same, 1/n when one had all. */
function jain(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value ** 2, 0);
  return squares === 0 ? 1 : sum ** 2 / (values.length * squares);
}

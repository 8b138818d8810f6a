/** The end of a download: 64 seeds at ordinary rates, one of them slow. Prints the time from 99% to 100%; it should be under 2 s. */
import { quantile } from '../../src/statistics.js';
import { Client, type Outcome } from './client.js';
import { KIB, type Lab, MIB, madeUpTorrent, randomFrom } from './lab.js';
import { SwarmPeer } from './swarm-peer.js';
import { percent, printTable, seconds } from './table.js';

const SEEDS = 64;
const SLOW = 20 * KIB;
/** Uniform between these: about what homes upload. */
const [LEAST, MOST] = [200 * KIB, 1_200 * KIB];
const RUNS = 5;

export async function tail(lab: Lab): Promise<void> {
  const torrent = madeUpTorrent(128 * MIB, 512 * KIB);
  const client = await Client.start(lab);
  const random = randomFrom(1);
  const rates = Array.from({ length: SEEDS - 1 }, () => LEAST + random() * (MOST - LEAST));
  // As if every seed had been busy from the first millisecond to the last.
  const ideal = torrent.payload.length / [SLOW, ...rates].reduce((sum, rate) => sum + rate);
  const runs: Outcome[] = [];
  for (let run = 0; run < RUNS; run++) {
    const seeds = await Promise.all(
      [SLOW, ...rates].map((bytesPerSecond, n) =>
        SwarmPeer.listen({ torrent, peerId: `-XX0001-seed-${`${n}`.padStart(7, '0')}`, bytesPerSecond }),
      ),
    );
    runs.push(await client.download(torrent, { peers: seeds.map(({ address }) => address) }));
    await Promise.all(seeds.map((seed) => seed.close()));
  }
  const tails = runs.map(({ tailSeconds }) => tailSeconds);
  printTable(
    `tail: 128 MiB from ${SEEDS} seeds of 200 to 1,200 KiB/s, one of 20 KiB/s; at their full rates ${seconds(ideal)}`,
    ['run', '0 to 100%', '99 to 100%', 'wasted'],
    [
      ...runs.map((run, n) => [
        `${n + 1}`,
        seconds(run.seconds),
        seconds(run.tailSeconds),
        percent(run.wasted / torrent.payload.length),
      ]),
      [
        'median',
        seconds(
          quantile(
            runs.map((run) => run.seconds),
            0.5,
          ),
        ),
        seconds(quantile(tails, 0.5)),
        '',
      ],
    ],
  );
}

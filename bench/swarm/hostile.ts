/**
 * One honest download alone and beside each kind of hostile peer of the tests, by turns. Prints a row for each kind as it comes:
 * how much it slows the download on the clock, which none should by more than 10%, and CPU time of the client's process.
 */
import { quantile } from '../../src/statistics.js';
import { Client, type Outcome } from './client.js';
import type { Attack, FromHostile, Kind, ToHostile } from './hostile-process.js';
import { Child, type Lab, MIB, madeUpTorrent } from './lab.js';
import { SwarmPeer } from './swarm-peer.js';
import { percent, seconds, startTable } from './table.js';

const SEEDS = 4;
/** Of each seed: together what a good line at home takes. */
const BYTES_PER_SECOND = 8 * MIB;
/** Three seconds of it: with one second, the last tenth, when few pieces are left, drowned what was to be seen. */
const LENGTH = 96 * MIB;
const ROUNDS = Number(process.env.SPATE_BENCH_ROUNDS ?? 3);

const dialled = (kind: Kind): Attack => ({ comes: 'dialled', kind });
const dials = (kind: Kind): Attack => ({ comes: 'dials', kind });

const ATTACKS: readonly (readonly [string, Attack])[] = [
  ['floods requests', dialled('floodsRequests')],
  ['floods HAVEs', dialled('floodsHaves')],
  ['never answers', dialled('neverAnswers')],
  ['answers a byte a second', dialled('answersAByteASecond')],
  ['sends blocks unasked', dialled('sendsPoisonUnasked')],
  ['answers for the wrong piece', dialled('answersForTheWrongPiece')],
  ['sends right blocks twice', dialled('answersRightTwice')],
  ['chokes twenty times a second', dialled('chokesTwentyTimesASecond')],
  ['floods chokes', dialled('floodsChokes')],
  ['claims pieces it lacks', dialled('rejectsWhatItClaims')],
  ['10,000 addresses at once', dials('exchangesManyPeersAtOnce')],
  ['a message of 1 GiB', dials('announcesAGibibyte')],
  ['a short bitfield', dials('sendsAShortBitfield')],
  ['a bitfield with spare bits', dials('sendsSpareBits')],
  ['talks before the handshake', dials('talksBeforeTheHandshake')],
  ['ids never negotiated', dialled('usesIdsNeverNegotiated')],
  ['extensions never negotiated', dialled('usesExtensionsNeverNegotiated')],
  ['a bomb of lists', dials('nestsDeeply')],
  ['a bomb of tokens', dials('sendsManyTokens')],
  ['a string of 2 GiB', dials('announcesALongString')],
  ['shakes hands all the time', dialled('shakesHandsAllTheTime')],
  ['5,000 connections at once', { comes: 'crowd', count: 5_000 }],
];

export async function hostile(lab: Lab): Promise<void> {
  const torrent = madeUpTorrent(LENGTH, 256 * 1024);
  const client = await Client.start(lab);
  const villain = await lab.ending(Promise.resolve(new Child<ToHostile, FromHostile>('hostile-process.js')));
  villain.tell({ type: 'torrent', torrent });
  await villain.next();

  const download = async (attack?: Attack): Promise<Outcome> => {
    const seeds = await Promise.all(
      Array.from({ length: SEEDS }, (_, n) =>
        SwarmPeer.listen({ torrent, peerId: `-XX0001-honest-no-${n}-`, bytesPerSecond: BYTES_PER_SECOND }),
      ),
    );
    const peers = seeds.map(({ address }) => address);
    if (attack?.comes === 'dialled') {
      villain.tell({ type: 'listen', kind: attack.kind });
      const listening = await villain.next();
      if (listening.type === 'listening') peers.unshift({ host: '127.0.0.1', port: listening.port });
    }
    const run = await client.run(torrent, { peers });
    if (attack !== undefined && attack.comes !== 'dialled') villain.tell({ type: 'attack', attack, port: run.port });
    const outcome = await run.done();
    if (attack !== undefined) {
      villain.tell({ type: 'stop' });
      await villain.next();
    }
    await run.end();
    await Promise.all(seeds.map((seed) => seed.close()));
    return outcome;
  };

  // The first runs find cold code.
  await download();
  await download();
  const print = startTable(
    `hostile: ${LENGTH / MIB} MiB from ${SEEDS} seeds of ${BYTES_PER_SECOND / MIB} MiB/s each, medians of ${ROUNDS} runs, interleaved`,
    ['beside a peer that', 'clock alone', 'beside', 'slower', 'CPU alone', 'beside'],
    Math.max(...ATTACKS.map(([name]) => name.length)),
  );
  for (const [name, attack] of ATTACKS) {
    const [alone, beside]: [Outcome[], Outcome[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      alone.push(await download());
      beside.push(await download(attack));
    }
    const clocks = [alone, beside].map((runs) => median(runs.map((run) => run.seconds))) as [number, number];
    const cpus = [alone, beside].map((runs) => median(runs.map((run) => run.cpuSeconds))) as [number, number];
    const slower = percent(clocks[1] / clocks[0] - 1);
    print([name, seconds(clocks[0]), seconds(clocks[1]), slower, seconds(cpus[0]), seconds(cpus[1])]);
  }
}

const median = (values: readonly number[]): number => quantile(values, 0.5);

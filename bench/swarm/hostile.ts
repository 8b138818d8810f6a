/**
 * One honest download alone and beside each kind of hostile peer of the tests. Prints how much each slows it, on the clock and in
 * CPU time of the client's process; none should cost more than 10%. Each run with a hostile peer stands between two alone.
 */
import { quantile } from '../../src/bench/statistics.js';
import { Client, type Outcome } from './client.js';
import type { Attack, FromHostile, Kind, ToHostile } from './hostile-process.js';
import { Child, type Lab, MIB, madeUpTorrent } from './lab.js';
import { SwarmPeer } from './swarm-peer.js';
import { percent, printTable, seconds } from './table.js';

const SEEDS = 4;
/** Of each seed: together what a good line at home takes. */
const BYTES_PER_SECOND = 6 * MIB;
const LENGTH = 48 * MIB;
const ROUNDS = 2;

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

  // The first run finds cold code.
  await download();
  const alone: Outcome[] = [];
  const beside = new Map<string, Outcome[]>(ATTACKS.map(([name]) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [n, [name, attack]] of ATTACKS.entries()) {
      if (n % 4 === 0) alone.push(await download());
      const outcome = await download(attack);
      beside.get(name)!.push(outcome);
      process.stderr.write(`${name}: ${seconds(outcome.seconds)}, CPU ${seconds(outcome.cpuSeconds)}\n`);
    }
  }
  const clock = (runs: readonly Outcome[]): number =>
    quantile(
      runs.map((run) => run.seconds),
      0.5,
    );
  const cpu = (runs: readonly Outcome[]): number =>
    quantile(
      runs.map((run) => run.cpuSeconds),
      0.5,
    );
  printTable(
    `hostile: 48 MiB from ${SEEDS} seeds of 6 MiB/s each, medians of ${ROUNDS} runs and of ${alone.length} alone`,
    ['beside a peer that', 'clock', 'against alone', 'CPU', 'more CPU'],
    [
      ['(alone)', seconds(clock(alone)), '', seconds(cpu(alone)), ''],
      ...ATTACKS.map(([name]) => {
        const runs = beside.get(name)!;
        return [
          name,
          seconds(clock(runs)),
          percent(clock(runs) / clock(alone) - 1),
          seconds(cpu(runs)),
          seconds(cpu(runs) - cpu(alone)),
        ];
      }),
    ],
  );
}

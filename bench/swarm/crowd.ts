/**
 * Five hundred connections of 512 KiB/s each, to seeds that cost next to nothing: how much of what a sink takes that throws all away
 * do we take, and what does it cost beside one connection that is as fast as it can? Runs are interleaved.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { RaceSeeds } from '../../src/bench/race-seeds.js';
import { quantile } from '../../src/statistics.js';
import { Client, type Outcome } from './client.js';
import { type Lab, MIB, madeUpTorrent } from './lab.js';
import { nativeProgram, nativeSeeds, payloadOf } from './native-seeds.js';
import { mebibytes, percent, printTable, seconds } from './table.js';

const CONNECTIONS = Number(process.env.SPATE_BENCH_CONNECTIONS ?? 500);
const RATE_KIB = 512;
const LENGTH = Number(process.env.SPATE_BENCH_MIB ?? 1024) * MIB;
const PIECE = MIB;
const ROUNDS = Number(process.env.SPATE_BENCH_ROUNDS ?? 3);

interface Taken {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly wasted: number;
}

export async function crowd(lab: Lab): Promise<void> {
  const [cseed, csink] = [await nativeProgram(lab, 'cseed'), await nativeProgram(lab, 'csink')];
  const torrent = madeUpTorrent(LENGTH, PIECE);
  const payload = await payloadOf(lab, torrent);
  const slow = await nativeSeeds(lab, cseed, payload, CONNECTIONS, RATE_KIB);
  const fast = await nativeSeeds(lab, cseed, payload, 1);
  const client = await Client.start(lab);
  const options = { peersPerTorrent: Math.max(80, CONNECTIONS) };
  const take = (peers: RaceSeeds): Promise<Outcome> =>
    client.download(torrent, { peers: peers.addresses, settings: { encryption: 'off', options } });
  const runs = { sink: [] as Taken[], crowd: [] as Taken[], one: [] as Taken[] };
  for (let round = 0; round < ROUNDS; round++) {
    const ports = slow.addresses.map(({ port }) => port).join(',');
    const args = [ports, payload.infohash, `${PIECE}`, `${LENGTH}`, `${CONNECTIONS}`];
    const { stdout } = await promisify(execFile)(csink, args);
    runs.sink.push({ ...JSON.parse(stdout), wasted: 0 });
    runs.crowd.push(await take(slow));
    runs.one.push(await take(fast));
  }
  const median = (of: readonly Taken[], what: keyof Taken): number =>
    quantile(
      of.map((run) => run[what]),
      0.5,
    );
  const perGib = (of: readonly Taken[]): number => (median(of, 'cpuSeconds') / LENGTH) * 1024 * MIB;
  const rate = (of: readonly Taken[]): number => LENGTH / median(of, 'seconds');
  const row = (name: string, of: readonly Taken[], ...rest: string[]): string[] => [
    name,
    `${mebibytes(rate(of))}/s`,
    `${seconds(perGib(of))}/GiB`,
    percent(median(of, 'wasted') / LENGTH),
    ...rest,
  ];
  printTable(
    `crowd: ${LENGTH / MIB} MiB over ${CONNECTIONS} connections of ${RATE_KIB} KiB/s, medians of ${ROUNDS} interleaved runs`,
    ['who', 'rate', 'CPU', 'wasted', 'of the sink', 'CPU of one'],
    [
      row('sink', runs.sink, '', ''),
      row(
        'ours',
        runs.crowd,
        percent(rate(runs.crowd) / rate(runs.sink)),
        (perGib(runs.crowd) / perGib(runs.one)).toFixed(2),
      ),
      row('ours, one connection', runs.one, '', ''),
    ],
  );
}

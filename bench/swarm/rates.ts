/**
 * Rate limits in the steady state: what is reached of what is set, down and up. It should be within 3%. Bytes are counted on disk,
 * uploads where the peers receive them; the rate is the slope of a line through many looks, so that bursts at the ends count little.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PeerAddress } from '../../src/protocol/address.js';
import type { SmallTorrent } from '../../test/helpers/small-torrent.js';
import { Client, type Look } from './client.js';
import { type Lab, MIB, madeUpTorrent } from './lab.js';
import { nativeProgram, nativeSeeds, payloadOf } from './native-seeds.js';
import { SwarmPeer } from './swarm-peer.js';
import { percent, printTable } from './table.js';

const PEERS = 4;
const LOOK_EVERY_MS = 10;

interface Case {
  readonly direction: 'down' | 'up';
  readonly mebibytes: number;
  /** From the first byte: how long is left to settle, and then measured. */
  readonly settleMs: number;
  readonly measureMs: number;
  readonly length: number;
  /** From one seed in C: what scripted ones give on the same processors is less. */
  readonly native?: boolean;
}

const CASES: readonly Case[] = [
  { direction: 'down', mebibytes: 1, settleMs: 3_000, measureMs: 9_000, length: 16 * MIB },
  { direction: 'down', mebibytes: 20, settleMs: 3_000, measureMs: 6_000, length: 200 * MIB },
  { direction: 'down', mebibytes: 500, settleMs: 1_000, measureMs: 2_000, length: 1_700 * MIB, native: true },
  { direction: 'up', mebibytes: 1, settleMs: 3_000, measureMs: 9_000, length: 64 * MIB },
  { direction: 'up', mebibytes: 20, settleMs: 3_000, measureMs: 6_000, length: 64 * MIB },
];

export async function rates(lab: Lab): Promise<void> {
  const rows: string[][] = [];
  for (const each of CASES) {
    const { direction, mebibytes, settleMs } = each;
    const { looks, wasted } = await (direction === 'down' ? measureDown(lab, each) : measureUp(lab, each));
    await lab.end();
    const steady = slopeOf(looks.filter(({ ms }) => ms >= settleMs)) / MIB;
    const first = (looks.findLast(({ ms }) => ms <= settleMs)?.bytes ?? 0) / MIB / (settleMs / 1000);
    rows.push([
      `${direction} ${mebibytes} MiB/s`,
      `${steady.toFixed(3)} MiB/s`,
      percent(steady / mebibytes),
      percent(first / mebibytes),
      direction === 'down' ? percent(wasted / each.length) : '',
    ]);
  }
  printTable(
    `rates: ${PEERS} peers, or one in C for 500 MiB/s, without a limit of their own; the first seconds apart`,
    ['limit', 'steady', 'of it', 'at first', 'wasted'],
    rows,
  );
}

interface Measured {
  readonly looks: readonly Look[];
  /** Bytes received in vain. */
  readonly wasted: number;
}

async function measureDown(lab: Lab, { mebibytes, settleMs, measureMs, length, native }: Case): Promise<Measured> {
  const torrent = madeUpTorrent(length, length > 512 * MIB ? MIB : 256 * 1024);
  const client = await Client.start(lab);
  const seeds = native === true ? await startCseed(lab, torrent) : await openPeers(lab, torrent, {});
  const peers = seeds.map(({ address }) => address);
  const { progress, wasted } = await client.download(torrent, { peers, settings: { maxDown: mebibytes * MIB } });
  return { looks: progress.filter(({ ms }) => ms <= settleMs + measureMs), wasted };
}

/** Leechers come in from outside: all of them are the door's. */
async function measureUp(lab: Lab, { mebibytes, settleMs, measureMs, length }: Case): Promise<Measured> {
  const torrent = madeUpTorrent(length, 256 * 1024);
  const out = lab.newPath();
  await mkdir(out);
  await writeFile(join(out, torrent.name), torrent.payload);
  const client = await Client.start(lab);
  const run = await client.run(torrent, { out, seed: true, settings: { maxUp: mebibytes * MIB } });
  await run.done();
  const leechers = await openPeers(lab, torrent, { has: new Uint8Array(torrent.pieceCount), drains: true });
  for (const leecher of leechers) leecher.dial(run.port);
  const looks = await watch(() => total(leechers), settleMs + measureMs);
  // Who was sent wrong bytes has said so.
  await Promise.race([Promise.all(leechers.map(({ complete }) => complete)), Promise.resolve()]);
  await run.end();
  return { looks, wasted: 0 };
}

async function startCseed(lab: Lab, torrent: SmallTorrent): Promise<{ readonly address: PeerAddress }[]> {
  const program = await nativeProgram(lab, 'cseed');
  const { addresses } = await nativeSeeds(lab, program, await payloadOf(lab, torrent), 1);
  return addresses.map((address) => ({ address }));
}

const openPeers = (lab: Lab, torrent: SmallTorrent, plan: Partial<SwarmPeer['plan']>): Promise<SwarmPeer[]> =>
  Promise.all(
    Array.from({ length: PEERS }, (_, n) =>
      lab.ending(SwarmPeer.listen({ torrent, peerId: `-XX0001-rate-no-${n}---`, ...plan })),
    ),
  );

const total = (peers: readonly SwarmPeer[]): number => peers.reduce((sum, { received }) => sum + received, 0);

/** Looks at a counter again and again, from its first byte on. */
function watch(bytes: () => number, forMs: number): Promise<Look[]> {
  const looks: Look[] = [];
  let startedAt: number | undefined;
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const [now, count] = [performance.now(), bytes()];
      if (count === 0) return;
      startedAt ??= now;
      looks.push({ ms: now - startedAt, bytes: count });
      if (now - startedAt < forMs) return;
      clearInterval(timer);
      resolve(looks);
    }, LOOK_EVERY_MS);
  });
}

/** Of the straight line that fits best, bytes per second. */
function slopeOf(looks: readonly Look[]): number {
  const mean = (value: (look: Look) => number): number =>
    looks.reduce((sum, look) => sum + value(look), 0) / looks.length;
  const [ms, bytes] = [mean((look) => look.ms), mean((look) => look.bytes)];
  const covariance = mean((look) => (look.ms - ms) * (look.bytes - bytes));
  return (covariance / mean((look) => (look.ms - ms) ** 2)) * 1000;
}

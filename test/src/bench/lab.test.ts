import { readdirSync } from 'node:fs';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Lab, LOOPBACK, SEED, Seeders } from '../../../src/bench/lab.js';
import type { BenchSettings } from '../../../src/bench/settings.js';
import { Pattern } from '../../../src/swarm/pattern.js';
import { leech } from '../../../src/swarm/pattern-leecher.js';
import { SMALL_BENCH } from '../../helpers/bench-settings.js';
import { isListening } from '../../helpers/cli-run.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

/** A lab in a temporary folder of its own; closed with the test. */
async function opened(changes: Partial<BenchSettings> = {}) {
  const settings = { ...SMALL_BENCH, ...changes };
  const folder = await temporaryFolder();
  vi.stubEnv('TMPDIR', folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  const lab = await Lab.open(settings);
  onTestFinished(() => lab.close());
  return { lab, settings, folder };
}

test('has one torrent of the size; of many as many as there are files, each with pieces of its own', async () => {
  const { lab } = await opened({ files: 3 });
  expect(lab.torrents).toMatchObject([{ first: 0, length: 2 ** 20, pieces: 16 }]);
  expect(lab.torrents[0]!.files).toHaveLength(3);
  const many = (await opened({ scenario: 'many', files: 3, size: 3 * 100_000 })).lab;
  expect(many.torrents).toMatchObject([0, 2, 4].map((first) => ({ first, length: 100_000, pieces: 2 })));
});

test('makes nothing where there is no room', async () => {
  const folder = await temporaryFolder();
  vi.stubEnv('TMPDIR', folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  await expect(Lab.open({ ...SMALL_BENCH, size: 2 ** 50 })).rejects.toMatchObject({
    code: 'DISK_FULL',
    message: expect.stringContaining(`bytes free in ${folder}, found `),
  });
  expect(readdirSync(folder)).toEqual([]);
});

test('ends what it has started, starts nothing afterwards and leaves no folder', async () => {
  const { lab, folder } = await opened();
  const torrents = lab.torrents.map(({ infohash, first, length }) => ({ infohash, first, length }));
  const serve = { kind: 'serve', seed: SEED, pieceLength: 65_536, host: LOOPBACK, ports: 2, torrents } as const;
  const peer = lab.startPeer(serve);
  const { ports } = await peer.next('ready');
  expect(await Promise.all(ports.map(isListening))).toEqual([true, true]);
  const waiting = expect(peer.next('leeched')).rejects.toMatchObject({ code: 'INTERNAL' });

  await lab.close();

  await waiting;
  expect(await Promise.all(ports.map(isListening))).toEqual([false, false]);
  expect(() => process.kill(peer.pid, 0)).toThrow('ESRCH');
  expect(() => lab.startPeer(serve)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  expect(readdirSync(folder)).toEqual([]);
});

test('says why a process of it failed', async () => {
  const { lab } = await opened();
  const [torrent] = lab.torrents;
  const peers = [{ host: LOOPBACK, port: 1 }];
  const peer = lab.startPeer({ kind: 'leech', seed: SEED, pieceLength: 65_536, peers, torrent: torrent! });
  await expect(peer.next('leeched')).rejects.toMatchObject({
    code: 'INTERNAL',
    message: expect.stringMatching(/^a process of the bench failed: connect ECONNREFUSED/),
  });
});

test('has seeders with as many peers each, all of which give what is right but the last', async () => {
  const { lab, settings } = await opened({ seeders: 2, conns: 2, corrupt: 0.5 });
  const seeders = await Seeders.start(lab, settings);
  expect(seeders.peers).toHaveLength(4);
  const given = (peers: typeof seeders.peers) => {
    const { infohash, first, length } = lab.torrents[0]!;
    return leech({ peers, pattern: new Pattern(SEED, 65_536), torrent: { infohash, first, length }, compare: true });
  };
  expect(await given(seeders.peers.slice(0, 2))).toBe(2 ** 20);
  await expect(given(seeders.peers.slice(2))).rejects.toThrow(' is wrong');
  expect((await seeders.usage()).map((ms) => ms > 0)).toEqual([true, true]);
});

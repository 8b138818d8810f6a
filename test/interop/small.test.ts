// What is not about speed, with a small payload: encryption, peer exchange and a swarm without a seed, of the built `spate` and
// Debian's clients. Most of it is waiting.
import { describe, expect, it } from 'vitest';
import { aria2 } from './aria2.js';
import { inLab } from './lab.js';
import { encryptedLibtorrent, passiveLibtorrent, startLibtorrent } from './libtorrent.js';
import { expectCopy, makeSmallPayload, writePartOfSmall } from './payload.js';
import { spateGet, spateGetAndSeed, spateSeed } from './spate.js';
import { ALL, leechesCopy, suiteOf } from './suite.js';
import { newFolder, type Task } from './task.js';

/** The payload and six copies. */
const ROOM_BYTES = 400 * 2 ** 20;

const { payloads, trackerIn } = suiteOf({ small: makeSmallPayload }, ROOM_BYTES);

describe('encryption', () => {
  it('lets spate get download from a libtorrent that requires it', () =>
    inLab(async (lab) => {
      const { small } = payloads;
      const torrent = small.torrent();
      const out = await newFolder(lab, 'out');
      const address = await encryptedLibtorrent.seed({ lab, torrent, folder: small.root });

      const outcome = await spateGet({ lab, torrent, folder: out }, '--peer', address!);

      expect(outcome).toMatchObject({ state: 'complete', downloaded: small.length, peers: 1 });
      await expectCopy(small, out);
    }));

  it('lets spate seed give to a libtorrent that requires it, and that dials', () =>
    inLab(async (lab) => {
      const { small } = payloads;
      const tracker = await trackerIn(lab);
      const torrent = small.torrent(tracker.http);
      const seed = await spateSeed({ lab, torrent, folder: small.root });

      await leechesCopy(encryptedLibtorrent, small, { lab, torrent });

      expect((await seed.leave()).uploaded).toBeGreaterThanOrEqual(small.length);
    }));

  it('is what spate get can require of all three', () =>
    inLab(async (lab) => {
      const { small } = payloads;
      const tracker = await trackerIn(lab);
      const torrent = small.torrent(tracker.http);
      const out = await newFolder(lab, 'out');
      for (const client of ALL) await client.seed({ lab, torrent, folder: small.root });
      await tracker.expect(small.infohash, { seeds: ALL.length });

      const outcome = await spateGet({ lab, torrent, folder: out }, '--encryption', 'require', '--max-down', '16MiB');

      expect(outcome).toMatchObject({ state: 'complete', downloaded: small.length, peers: ALL.length });
      await expectCopy(small, out);
    }));
});

describe('peer exchange', () => {
  it('tells spate get, from libtorrent, of the one peer that has the payload', () =>
    inLab(async (lab) => {
      const { small } = payloads;
      const torrent = small.torrent();
      const [out, crawlerOut] = [await newFolder(lab, 'out'), await newFolder(lab, 'crawler')];
      const seed = await passiveLibtorrent.seed({ lab, torrent, folder: small.root });
      // It never has a piece to give.
      const crawler = await startLibtorrent({ lab, torrent, folder: crawlerOut }, '--crawl', '--connect', seed!);

      const outcome = await spateGet({ lab, torrent, folder: out }, '--peer', crawler.address, '--peer-timeout', '80s');

      expect(outcome).toMatchObject({ state: 'complete', downloaded: small.length, peers: 2 });
      await expectCopy(small, out);
    }));

  it('tells a libtorrent, from spate, of the one peer that gives', () =>
    inLab(async (lab) => {
      const { small } = payloads;
      const torrent = small.torrent();
      const [out, middleOut] = [await newFolder(lab, 'out'), await newFolder(lab, 'middle')];
      const seed = await passiveLibtorrent.seed({ lab, torrent, folder: small.root });
      const leecher = await startLibtorrent({ lab, torrent, folder: out });
      const peers = ['--peer', seed!, '--peer', leecher.address];
      // The two are in a group each.
      const bounds = ['--workers', '2', '--no-upload', '--max-down', '64KiB'];
      const middle = await spateGetAndSeed({ lab, torrent, folder: middleOut }, ...peers, ...bounds);

      await leecher.seeds();

      expect((await middle.leave()).uploaded).toBe(0);
      await expectCopy(small, out);
    }));
});

describe('a swarm without a seed', () => {
  it('of three spates, aria2, libtorrent and transmission, each with a sixth of the pieces, completes everywhere', () =>
    inLab(async (lab) => {
      const { small } = payloads;
      const members = 6;
      const tracker = await trackerIn(lab);
      const torrent = small.torrent(tracker.http);
      const tasks: Task[] = [];
      const parts: number[] = [];
      for (let member = 0; member < members; member++) {
        const folder = await newFolder(lab, `member-${member}`);
        tasks.push({ lab, torrent, folder });
        parts.push(await writePartOfSmall(small, folder, member, members));
      }
      const ours = tasks.slice(ALL.length);

      const complete = ALL.map((client, member) => client.seed(tasks[member]!));
      // Whoever comes later tells of itself by dialling, which transmission does not do here.
      await tracker.expect(small.infohash, { leechers: ALL.length });
      const stays = await Promise.all(ours.map((task) => spateGetAndSeed(task)));
      await Promise.all([...complete, tracker.expect(small.infohash, { seeds: members })]);
      const outcomes = await Promise.all(stays.map((stay) => stay.leave()));
      // It removes the file it keeps beside the payload when it ends.
      await lab.terminate(aria2.name);

      for (const [i, outcome] of outcomes.entries()) {
        expect(outcome.downloaded).toBe(small.length - parts[ALL.length + i]!);
      }
      for (const { folder } of tasks) await expectCopy(small, folder);
    }));
});

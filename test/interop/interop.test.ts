// The built `spate` against Debian's aria2, libtorrent and transmission, each as a seed and as a leecher, introduced by Debian's
// opentracker. Everything is on loopback. transmission ignores peers there that a tracker names: our side dials it.
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { aria2 } from './aria2.js';
import { closeLabs, inLab, type Lab } from './lab.js';
import { encryptedLibtorrent, libtorrent, passiveLibtorrent, startLibtorrent } from './libtorrent.js';
import { expectPackages } from './packages.js';
import {
  expectCopy,
  expectRoom,
  makeFilePayload,
  makeFolderPayload,
  makeSmallPayload,
  type Payload,
  writePartOfSmall,
} from './payload.js';
import { type Outcome, type SpateStay, spateGet, spateGetAndSeed, spateSeed } from './spate.js';
import { type ForeignClient, newFolder, type Task } from './task.js';
import { startTracker, type Tracker } from './tracker.js';
import { transmission } from './transmission.js';

type Scheme = 'http' | 'udp';

const ALL = [aria2, libtorrent, transmission];
/** Two payloads and, in one case, three copies. */
const ROOM_BYTES = 2 * 2 ** 30;

let root: string;
let file: Payload;
let folder: Payload;
let small: Payload;

beforeAll(async () => {
  expectPackages();
  await expectRoom(ROOM_BYTES);
  root = await realpath(await mkdtemp(join(tmpdir(), 'spate-interop-')));
  file = await makeFilePayload(await newRoot('file'));
  folder = await makeFolderPayload(await newRoot('folder'));
  small = await makeSmallPayload(await newRoot('small'));
});

afterEach(closeLabs);

afterAll(async () => {
  if (root !== undefined) await rm(root, { recursive: true, force: true });
});

async function newRoot(name: string): Promise<string> {
  const path = join(root, name);
  await mkdir(path);
  return path;
}

const trackerIn = (lab: Lab): Promise<Tracker> => {
  const infohashes = [file, folder, small].map(({ infohash }) => infohash);
  return startTracker(lab, infohashes);
};

async function leechesCopy(client: ForeignClient, payload: Payload, task: Omit<Task, 'folder'>): Promise<void> {
  const out = await newFolder(task.lab, `${client.name}-out`);
  await client.leech({ ...task, folder: out });
  await expectCopy(payload, out, client.lacksEmptyFiles);
}

describe('spate get', () => {
  async function downloadsFrom(client: ForeignClient, payload: Payload, scheme: Scheme): Promise<void> {
    await inLab(async (lab) => {
      const tracker = await trackerIn(lab);
      const torrent = payload.torrent(tracker[scheme]);
      const out = await newFolder(lab, 'out');
      await client.seed({ lab, torrent, folder: payload.root });
      await tracker.expect(payload.infohash, { seeds: 1 });

      const outcome = await spateGet({ lab, torrent, folder: out });

      expect(outcome).toMatchObject({ state: 'complete', downloaded: payload.length });
      await expectCopy(payload, out);
      // It has told the tracker of its success, and that it has left.
      await tracker.expect(payload.infohash, { seeds: 1, leechers: 0, completed: 1 });
    });
  }

  it('downloads a file from aria2, found at an HTTP tracker', () => downloadsFrom(aria2, file, 'http'));

  it('downloads a folder from libtorrent, found at a UDP tracker', () => downloadsFrom(libtorrent, folder, 'udp'));

  it('downloads a folder from transmission, known by its address alone', () =>
    inLab(async (lab) => {
      const torrent = folder.torrent();
      const out = await newFolder(lab, 'out');
      const address = await transmission.seed({ lab, torrent, folder: folder.root });

      const outcome = await spateGet({ lab, torrent, folder: out }, '--peer', address!);

      expect(outcome).toMatchObject({ state: 'complete', downloaded: folder.length, peers: 1 });
      await expectCopy(folder, out);
    }));

  it('downloads a file from all three at once, found at the tracker of --tracker, with little memory', () =>
    inLab(async (lab) => {
      const tracker = await trackerIn(lab);
      const out = await newFolder(lab, 'out');
      for (const client of ALL) await client.seed({ lab, torrent: file.torrent(tracker.http), folder: file.root });
      await tracker.expect(file.infohash, { seeds: ALL.length });

      const options = ['--tracker', tracker.udp, '--memory', '16MiB'];
      const outcome = await spateGet({ lab, torrent: file.torrent(), folder: out }, ...options);

      expect(outcome).toMatchObject({ state: 'complete', downloaded: file.length });
      // Whoever is slow to accept may be too late.
      expect(outcome.peers).toBeGreaterThan(1);
      await expectCopy(file, out);
      await tracker.expect(file.infohash, { seeds: ALL.length, leechers: 0, completed: 1 });
    }));
});

describe('spate seed', () => {
  /** The clients ask the tracker when our seed is there, or before, so that our seed is the one that dials. */
  async function seedsTo(
    clients: readonly ForeignClient[],
    payload: Payload,
    scheme: Scheme,
    first: 'seed' | 'leechers',
  ): Promise<Outcome> {
    return inLab(async (lab) => {
      const tracker = await trackerIn(lab);
      const torrent = payload.torrent(tracker[scheme]);
      const startSeed = (): Promise<SpateStay> => spateSeed({ lab, torrent, folder: payload.root });
      const leechAll = async (): Promise<void> => {
        await Promise.all(clients.map((client) => leechesCopy(client, payload, { lab, torrent })));
      };
      if (first === 'seed') {
        const seed = await startSeed();
        await leechAll();
        return seed.leave();
      }
      const everybodyIsThere = (): Promise<void> => tracker.expect(payload.infohash, { leechers: clients.length });
      const [, seed] = await Promise.all([leechAll(), everybodyIsThere().then(startSeed)]);
      return seed.leave();
    });
  }

  it('gives a folder to aria2, which finds it at an HTTP tracker', async () => {
    const { uploaded } = await seedsTo([aria2], folder, 'http', 'seed');
    expect(uploaded).toBeGreaterThanOrEqual(folder.length);
  });

  it('gives a file to libtorrent, which finds it at a UDP tracker', async () => {
    const { uploaded } = await seedsTo([libtorrent], file, 'udp', 'seed');
    expect(uploaded).toBeGreaterThanOrEqual(file.length);
  });

  it('gives a folder to transmission, which it has to dial, named by a UDP tracker', async () => {
    const { uploaded } = await seedsTo([transmission], folder, 'udp', 'leechers');
    expect(uploaded).toBeGreaterThanOrEqual(folder.length);
  });

  it('gives a file to all three at once, which it has to dial, named by an HTTP tracker', async () => {
    const { uploaded, peers } = await seedsTo(ALL, file, 'http', 'leechers');
    expect(uploaded).toBeGreaterThanOrEqual(file.length);
    expect(peers).toBeGreaterThanOrEqual(ALL.length);
  });
});

describe('encryption', () => {
  it('lets spate get download from a libtorrent that requires it', () =>
    inLab(async (lab) => {
      const torrent = small.torrent();
      const out = await newFolder(lab, 'out');
      const address = await encryptedLibtorrent.seed({ lab, torrent, folder: small.root });

      const outcome = await spateGet({ lab, torrent, folder: out }, '--peer', address!);

      expect(outcome).toMatchObject({ state: 'complete', downloaded: small.length, peers: 1 });
      await expectCopy(small, out);
    }));

  it('lets spate seed give to a libtorrent that requires it, and that dials', () =>
    inLab(async (lab) => {
      const tracker = await trackerIn(lab);
      const torrent = small.torrent(tracker.http);
      const seed = await spateSeed({ lab, torrent, folder: small.root });

      await leechesCopy(encryptedLibtorrent, small, { lab, torrent });

      expect((await seed.leave()).uploaded).toBeGreaterThanOrEqual(small.length);
    }));

  it('is what spate get can require of all three', () =>
    inLab(async (lab) => {
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

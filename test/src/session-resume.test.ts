import { mkdir, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { DownloadEvent, DownloadSettings } from '../../src/api.js';
import type { SessionSettings } from '../../src/session.js';
import { type Disk, nodeDisk } from '../../src/storage/disk.js';
import { gate, RecordingDisk } from '../helpers/fs-disk.js';
import { oddTorrent } from '../helpers/odd-torrent.js';
import { type RawPeer, ScriptedSeed, type Seeded } from '../helpers/scripted-peer.js';
import { emptyFolder, ending, openSession } from '../helpers/session-harness.js';
import { type SmallTorrent, smallTorrent } from '../helpers/small-torrent.js';

const BLOCK = 16_384;
/** 3 pieces of 8 blocks. */
const torrent = smallTorrent(3 * 8 * BLOCK, 8 * BLOCK);

const TICK_MS = 10;

interface Run {
  readonly session?: SessionSettings;
  readonly download?: Partial<DownloadSettings>;
  readonly of?: Pick<SmallTorrent, 'bytes'>;
}

/** A session's run of the torrent. */
async function run(
  out: string,
  stateFolder: string,
  port: number,
  { session: on, download: how, of = torrent }: Run = {},
) {
  const session = await openSession({ haveBatchMs: TICK_MS }, { stateFolder, ...on });
  const events: DownloadEvent[] = [];
  const peers = [{ host: '127.0.0.1', port }];
  const download = session.add(of.bytes, { out, peers, onEvent: (event) => events.push(event), ...how });
  return { session, download, events };
}

/** A torrent of files whose bytes are in pieces of 8 blocks. */
function torrentOfFiles(...files: readonly (readonly [name: string, blocks: number])[]) {
  const pieceLength = 8 * BLOCK;
  const odd = oddTorrent(
    files.map(([name, blocks]) => ({ path: [name], length: blocks * BLOCK })),
    { pieceLength },
  );
  const pieceCount = Math.ceil(odd.payload.length / pieceLength);
  return { ...odd, infohash: Buffer.from(odd.infohash, 'hex'), pieceLength, pieceCount };
}

/** A run that gets these blocks and no others, and is stopped then. @param blocks of each piece */
async function stoppedWith(
  blocks: Readonly<Record<number, readonly number[]>>,
  out: string,
  state: string,
  of: Seeded & Pick<SmallTorrent, 'bytes'> = torrent,
  how: Partial<DownloadSettings> = {},
): Promise<void> {
  const has = Buffer.alloc(Math.ceil(of.pieceCount / 8));
  for (const piece of Object.keys(blocks).map(Number)) has[piece >> 3]! |= 0x80 >> (piece & 7);
  const seed: ScriptedSeed = await ending(
    ScriptedSeed.listen(of, {
      has,
      answer: (piece, begin, length) =>
        blocks[piece]?.includes(begin / BLOCK) === true ? seed.blockOf(piece, begin, length) : undefined,
    }),
  );
  const { session, download } = await run(out, state, seed.port, { download: how, of });
  const due = Object.values(blocks).flat().length * BLOCK;
  while (download.stats().downloaded < due) await new Promise((resolve) => setImmediate(resolve));
  await session.close();
  expect(await download.done.catch((error) => error.code)).toBe('CLOSED');
}

const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7];
/** What a seed was asked for, as `piece block`, in order. */
const askedOf = ({ requests }: ScriptedSeed): string[] =>
  requests.map(({ piece, begin }) => `${piece} ${begin / BLOCK}`).sort();

/** A disk on which a read takes longer than several ticks of the session. */
function slowToRead(): RecordingDisk {
  const [disk, { opened, open }] = [new RecordingDisk(), gate()];
  disk.intervene = ({ name }) => {
    if (name !== 'readv') return undefined;
    setTimeout(open, 5 * TICK_MS);
    return opened;
  };
  return disk;
}

it('blocks of an unfinished piece are read back, however long it takes, and not asked for again after a stop', async () => {
  const [out, state] = [await emptyFolder(), await emptyFolder()];
  const given = new Set<string>();
  let onFive = (): void => {};
  const five = new Promise<void>((resolve) => {
    onFive = resolve;
  });
  const slow: ScriptedSeed = await ending(
    ScriptedSeed.listen(torrent, {
      answer: (piece: number, begin: number, length: number, _peer: RawPeer) => {
        if (given.size === 5) return undefined;
        given.add(`${piece} ${begin}`);
        if (given.size === 5) onFive();
        return slow.blockOf(piece, begin, length);
      },
    }),
  );
  const first = await run(out, state, slow.port);
  await five;
  while (first.download.stats().downloaded < 5 * BLOCK) await new Promise((resolve) => setImmediate(resolve));
  await first.session.close();
  expect(await first.download.done.catch((error) => error.code)).toBe('CLOSED');

  const seed = await ending(ScriptedSeed.listen(torrent, { peerId: '-XX0001-the-other-1-' }));
  const disk = slowToRead();
  const second = await run(out, state, seed.port, { session: { disk } });
  await second.download.done;

  expect(disk.named('readv').length).toBeGreaterThan(0);
  const asked = seed.requests.map(({ piece, begin }) => `${piece} ${begin}`);
  expect(asked.filter((request) => given.has(request))).toEqual([]);
  expect(new Set(asked).size).toBe(24 - 5);
  expect((await readFile(join(out, torrent.name))).equals(torrent.payload)).toBe(true);
});

it('blocks of an unfinished piece are known after a stop when other files of the piece are not there yet', async () => {
  const [out, state] = [await emptyFolder(), await emptyFolder()];
  const of = torrentOfFiles(...WHOLE.map((block) => [`${block}`, 1] as const));
  await stoppedWith({ 0: [0, 1, 2, 3, 4] }, out, state, of);
  const seed = await ending(ScriptedSeed.listen(of));
  const { download } = await run(out, state, seed.port, { of });
  await download.done;
  expect(askedOf(seed)).toEqual(['0 5', '0 6', '0 7']);
  expect(download.stats().wasted).toBe(0);
});

it('blocks of an unfinished piece are in their place after a wider choice of files', async () => {
  const [out, state] = [await emptyFolder(), await emptyFolder()];
  const of = torrentOfFiles(['z', 4], ['a', 16], ['b', 8]);
  const select = { include: ['z', 'b'] };
  await stoppedWith({ 0: WHOLE, 2: [0, 3, 4] }, out, state, of, { select });
  const seed = await ending(ScriptedSeed.listen(of));
  const { download } = await run(out, state, seed.port, { of });
  await download.done;
  expect(askedOf(seed).filter((asked) => !asked.startsWith('1'))).toEqual([
    '2 1',
    '2 2',
    '2 5',
    '2 6',
    '2 7',
    '3 0',
    '3 1',
    '3 2',
    '3 3',
  ]);
  expect(download.stats().wasted).toBe(0);
});

it('blocks of an unfinished piece are left alone when room is taken, and still known after a stop at once', async () => {
  const [out, state] = [await emptyFolder(), await emptyFolder()];
  await stoppedWith({ 1: [0, 1, 2, 3, 4] }, out, state);
  const path = join(out, torrent.name);
  const before = await stat(path);
  // No group ever holds the piece: it has no peer.
  const room = await run(out, state, 0, { download: { alloc: 'full', peers: [] } });
  room.download.ended.catch(() => {});
  while (['checking', 'allocating'].includes(room.download.state))
    await new Promise((resolve) => setImmediate(resolve));
  await room.session.close();
  await room.download.done.catch(() => {});
  expect((await stat(path)).blocks).toBeGreaterThan(before.blocks);
  const seed = await ending(ScriptedSeed.listen(torrent));
  const { download } = await run(out, state, seed.port, { download: { alloc: 'full' } });
  await download.done;
  expect(askedOf(seed).filter((asked) => asked.startsWith('1'))).toEqual(['1 5', '1 6', '1 7']);
  expect(download.stats().wasted).toBe(0);
});

it('without a state folder nothing is remembered: everything is hashed', async () => {
  const out = await emptyFolder();
  const seed = await ending(ScriptedSeed.listen(torrent));
  for (const pieces of [0, 3]) {
    const session = await openSession();
    const events: DownloadEvent[] = [];
    const peers = [{ host: '127.0.0.1', port: seed.port }];
    await session.add(torrent.bytes, { out, peers, onEvent: (event) => events.push(event) }).done;
    expect(events).toContainEqual({ type: 'checked', pieces, of: 3, trusted: 0 });
    await session.close();
  }
});

it('a second session is kept out of the folder while the first one downloads', async () => {
  const [out, state] = [await emptyFolder(), await emptyFolder()];
  const silent = await ending(ScriptedSeed.listen(torrent, { answer: () => undefined }));
  const first = await run(out, state, silent.port);
  while (silent.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const second = await run(out, state, silent.port);
  await expect(second.download.done).rejects.toMatchObject({ code: 'ALREADY_RUNNING' });
  second.download.ended.catch(() => {});
  await first.session.close();
  await first.download.done.catch(() => {});
});

it('a second session is kept off the path of another torrent, until that ends', async () => {
  const [out, state] = [await emptyFolder(), await emptyFolder()];
  const other = smallTorrent(BLOCK, BLOCK, { name: torrent.name.toUpperCase(), seed: 2 });
  const silent = await ending(ScriptedSeed.listen(torrent, { answer: () => undefined }));
  const seed = await ending(ScriptedSeed.listen(other));
  const first = await run(out, state, silent.port);
  while (silent.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const second = await run(out, state, seed.port, { of: other });
  await expect(second.download.done).rejects.toMatchObject({
    code: 'ALREADY_RUNNING',
    message: expect.stringContaining(`${other.name} is being downloaded into ${out} by another process`),
  });
  second.download.ended.catch(() => {});
  await first.session.close();
  await first.download.done.catch(() => {});
  await (await run(out, state, seed.port, { of: other })).download.done;
});

it('a piece that was named and is cut off is fetched again', async () => {
  const [out, state] = [await emptyFolder(), await emptyFolder()];
  const seed = await ending(ScriptedSeed.listen(torrent));
  const first = await run(out, state, seed.port);
  await first.download.done;
  await first.session.close();
  await truncate(join(out, torrent.name), 2 * 8 * BLOCK + 5);
  const second = await run(out, state, seed.port);
  await second.download.done;
  expect(second.events).toContainEqual({ type: 'checked', pieces: 2, of: 3, trusted: 0 });
  expect((await readFile(join(out, torrent.name))).equals(torrent.payload)).toBe(true);
});

it('of many torrents that end at once two flush, the others wait for their turn', async () => {
  const [out, stateFolder] = [await emptyFolder(), await emptyFolder()];
  const COUNT = 12;
  let [underWay, most, flushes, writes] = [0, 0, 0, 0];
  /** Flushes that hang until every payload is written. */
  const hanging: (() => void)[] = [];
  const flush: Disk['fsync'] = (_, done) => {
    flushes++;
    most = Math.max(most, ++underWay);
    const end = (): void => {
      underWay--;
      done(null);
    };
    if (writes >= COUNT) setImmediate(end);
    else hanging.push(end);
  };
  const writev: Disk['writev'] = (fd, views, position, done) =>
    nodeDisk.writev(fd, views, position, (error, written) => {
      writes++;
      done(error, written);
      if (writes >= COUNT) for (const end of hanging.splice(0)) setImmediate(end);
    });
  const disk = { ...nodeDisk, writev, fsync: flush, fdatasync: flush };
  const session = await openSession({ saveEveryMs: 3_600_000 }, { stateFolder, disk, workers: 1 });
  const torrents = Array.from({ length: COUNT }, (_, seed) => smallTorrent(BLOCK, BLOCK, { name: `${seed}`, seed }));
  const downloads = await Promise.all(
    torrents.map(async (each) => {
      const { port } = await ending(ScriptedSeed.listen(each));
      return session.add(each.bytes, { out, peers: [{ host: '127.0.0.1', port }] });
    }),
  );
  await Promise.all(downloads.map(({ done }) => done));
  expect(most).toBe(2);
  // Payload and state once for each, the folder of the states for several together.
  expect(flushes).toBeGreaterThan(COUNT * 2);
  expect(flushes).toBeLessThan(COUNT * 3);
});

it('states of long ago are cleared away when a session starts', async () => {
  const state = await emptyFolder();
  const path = join(state, 'resume', `${'0'.repeat(40)}-${'0'.repeat(16)}.resume`);
  await mkdir(join(state, 'resume'));
  await writeFile(path, '');
  await utimes(path, 1, 1);
  await (await openSession({}, { stateFolder: state, workers: 1 })).close();
  expect(await readdir(join(state, 'resume'))).toEqual([]);
});

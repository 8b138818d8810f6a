// Downloads of some files only, between two sessions of ours.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DownloadEvent, DownloadSettings } from '../../src/api.js';
import type { Download } from '../../src/session.js';
import { startTracker } from '../../src/swarm/tracker.js';
import { type OddTorrent, oddTorrent } from '../helpers/odd-torrent.js';
import { atEnd, emptyFolder, openSession } from '../helpers/session-harness.js';

const PIECE = 16_384;
/** Every file but the last begins within a piece of the one before; piece 2 holds three of them. */
const FILES = [
  { path: ['a'], length: 2 * PIECE + 100 },
  { path: ['tiny'], length: 50 },
  { path: ['b'], length: 3 * PIECE },
  { path: ['sub', 'c'], length: 10 * PIECE - 150 + 7 },
  { path: ['empty'], length: 0 },
];
const torrent = oddTorrent(FILES);

/** A session that seeds all of it. @returns its port */
async function seeded(of: OddTorrent = torrent): Promise<number> {
  const root = await emptyFolder();
  of.write(root);
  return (await seeding(of, root)).port;
}

async function seeding(of: OddTorrent, out: string): Promise<{ port: number; download: Download }> {
  const session = await openSession({}, { workers: 1 });
  const download = session.add(of.bytes, { out, fetch: false, seed: true });
  await download.done;
  return { port: session.port, download };
}

async function fetched(
  port: number,
  settings: Partial<DownloadSettings> & { out: string },
  of = torrent,
  stateFolder?: string,
) {
  const session = await openSession({}, { workers: 1, ...(stateFolder !== undefined && { stateFolder }) });
  const events: DownloadEvent[] = [];
  const download = session.add(of.bytes, {
    peers: [{ host: '127.0.0.1', port }],
    onEvent: (event) => events.push(event),
    ...settings,
  });
  await download.done;
  await session.close();
  return { download, events };
}

const partOf = (of: OddTorrent, out: string): string => join(out, `.${of.infohash}.spate-part`);
const has = (out: string, i: number, of = torrent): boolean =>
  readFileSync(join(out, 'odd', ...FILES[i]!.path)).equals(of.content(i));

describe('a download of some files', () => {
  it('is remembered with its part file: one that has changed is hashed, and a later choice finds no fault in the state', async () => {
    const [out, stateFolder, port] = [await emptyFolder(), await emptyFolder(), await seeded()];
    const run = (settings: Partial<DownloadSettings>) => fetched(port, { out, ...settings }, torrent, stateFolder);
    const tiny = { select: { ranges: [[2, 2]] as const } };
    await run(tiny);
    const again = await run(tiny);
    expect(again.events).toContainEqual({ type: 'checked', pieces: 1, of: 1, trusted: 1 });

    const part = readFileSync(partOf(torrent, out));
    part[0]! ^= 1;
    writeFileSync(partOf(torrent, out), part);
    const damaged = await run(tiny);
    expect(damaged.events).toContainEqual({ type: 'checked', pieces: 0, of: 1, trusted: 0 });
    expect(readFileSync(partOf(torrent, out))[0]).toBe(torrent.payload[2 * PIECE]);

    // What is in the part file alone is found there, and copied where it is wanted now.
    const all = await run({});
    expect(all.events).toContainEqual({ type: 'checked', pieces: 1, of: 16, trusted: 1 });
    expect(all.download.stats().downloaded).toBe(torrent.payload.length - PIECE);
    const last = await run({});
    expect(last.events).toContainEqual({ type: 'checked', pieces: 16, of: 16, trusted: 16 });
    expect(FILES.map((_, i) => has(out, i))).toEqual(FILES.map(() => true));
    for (const { events } of [again, damaged, all, last]) {
      expect(events.filter(({ type }) => type === 'warning')).toEqual([]);
    }
  });

  it('makes these alone, tells of their bytes, and keeps what its neighbours own of their pieces in one hidden file', async () => {
    const out = await emptyFolder();
    const { download } = await fetched(await seeded(), { out, select: { ranges: [[2, 2]] } });
    expect(has(out, 1)).toBe(true);
    expect(readdirSync(join(out, 'odd'))).toEqual(['tiny']);
    expect(download.stats()).toMatchObject({ state: 'complete', length: 50, have: 50, left: 0 });
    // Piece 2 is the first that several files share: slot 0, each byte at its place in the piece.
    const piece = torrent.payload.subarray(2 * PIECE, 3 * PIECE);
    const part = readFileSync(partOf(torrent, out));
    expect(part.subarray(0, 100).equals(piece.subarray(0, 100))).toBe(true);
    expect(part.subarray(150, PIECE).equals(piece.subarray(150))).toBe(true);
    expect(readdirSync(out).sort()).toEqual([`.${torrent.infohash}.spate-part`, 'odd']);
  });

  it('makes no seed of it in the eyes of a tracker', async () => {
    const tracker = await startTracker();
    atEnd(() => tracker.close());
    const session = await openSession({}, { workers: 1 });
    const download = session.add(torrent.bytes, {
      out: await emptyFolder(),
      peers: [{ host: '127.0.0.1', port: await seeded() }],
      trackers: [tracker.httpUrl],
      select: { ranges: [[2, 2]] },
      seed: true,
    });
    await download.done;
    expect(download.state).toBe('seeding');
    await session.close();
    expect(tracker.counts(download.metainfo.infohash)).toMatchObject({ completed: 0 });
  });

  it('is complete at once when it is run again, and seeds what is there and nothing else', async () => {
    const out = await emptyFolder();
    await fetched(await seeded(), { out, select: { include: ['a'] } });
    const again = await (await openSession()).add(torrent.bytes, { out, select: { include: ['a'] } });
    await again.done;
    expect(again.stats()).toMatchObject({ length: FILES[0]!.length, have: FILES[0]!.length, downloaded: 0 });

    const { port, download } = await seeding(torrent, out);
    expect(download.stats().have).toBe(3 * PIECE);
    const other = await emptyFolder();
    await fetched(port, { out: other, select: { ranges: [[1, 2]] } });
    expect([has(other, 0), has(other, 1)]).toEqual([true, true]);
    expect(existsSync(join(out, 'odd', 'tiny'))).toBe(false);
  });

  it('goes on to all files later, and removes the part file then', async () => {
    const out = await emptyFolder();
    const port = await seeded();
    await fetched(port, { out, select: { ranges: [[3, 3]] } });
    expect(existsSync(partOf(torrent, out))).toBe(true);
    const { events, download } = await fetched(port, { out });
    // The four pieces with a byte of b, of which two end in the part file.
    expect(events).toContainEqual({ type: 'checked', pieces: 4, of: 16, trusted: 0 });
    expect(FILES.map((_, i) => has(out, i))).toEqual([true, true, true, true, true]);
    expect(existsSync(partOf(torrent, out))).toBe(false);
    const { length } = torrent.payload;
    expect(download.stats()).toMatchObject({ length, left: 0, downloaded: length - 4 * PIECE });
  });

  it('finds in the part file what another choice has left, but does not believe it', async () => {
    const out = await emptyFolder();
    const port = await seeded();
    await fetched(port, { out, select: { ranges: [[2, 2]] } });
    const part = readFileSync(partOf(torrent, out));
    part[PIECE - 1]! ^= 1;
    writeFileSync(partOf(torrent, out), part);
    const damaged = await fetched(port, { out, select: { ranges: [[1, 1]] } });
    expect(damaged.events).toContainEqual({ type: 'checked', pieces: 0, of: 3, trusted: 0 });
    // Now it is good again: b begins in it, a is in its place, and the part file stays for the end of b's last piece.
    const good = await fetched(port, { out, select: { ranges: [[3, 3]] } });
    expect(good.events).toContainEqual({ type: 'checked', pieces: 1, of: 4, trusted: 0 });
    expect([has(out, 0), has(out, 1), has(out, 2)]).toEqual([true, true, true]);
    expect(good.download.stats().downloaded).toBe(3 * PIECE);
    expect(existsSync(partOf(torrent, out))).toBe(true);
  });

  it('uses a file that is not chosen and is there already where it is, and leaves a shorter one alone', async () => {
    const out = await emptyFolder();
    mkdirSync(join(out, 'odd'));
    writeFileSync(join(out, 'odd', 'a'), torrent.content(0));
    writeFileSync(join(out, 'odd', 'b'), 'mine');
    const { download } = await fetched(await seeded(), { out, select: { ranges: [[2, 2]] } });
    expect(download.stats()).toMatchObject({ length: 50, have: 50 });
    expect(has(out, 0)).toBe(true);
    expect(readFileSync(join(out, 'odd', 'b'), 'utf8')).toBe('mine');
  });

  it.each([
    ['a symlink', (at: string, other: string) => symlinkSync(join(other, 'c'), at)],
    ['a symlink to nowhere', (at: string) => symlinkSync('nowhere', at)],
    ['a folder', (at: string) => mkdirSync(at)],
    ['a pipe', (at: string) => execFileSync('mkfifo', [at])],
    [
      'a file in a folder that leads out',
      (at: string, other: string) => {
        rmdirSync(join(at, '..'));
        symlinkSync(other, join(at, '..'));
      },
    ],
  ])('takes %s in the place of a file that is not chosen for nothing, and leaves it alone', async (_, put) => {
    const [out, other] = [await emptyFolder(), await emptyFolder()];
    writeFileSync(join(other, 'c'), torrent.content(3));
    mkdirSync(join(out, 'odd', 'sub'), { recursive: true });
    put(join(out, 'odd', 'sub', 'c'), other);
    const { ino } = lstatSync(join(out, 'odd', 'sub'));
    // The last piece of b holds the start of sub/c.
    const port = await seeded();
    for (let run = 0; run < 2; run++) {
      const { download } = await fetched(port, { out, select: { ranges: [[3, 3]] }, alloc: 'full' });
      expect(download.stats()).toMatchObject({ left: 0, downloaded: run === 0 ? 4 * PIECE : 0 });
    }
    expect(has(out, 2)).toBe(true);
    expect(readFileSync(join(other, 'c')).equals(torrent.content(3))).toBe(true);
    expect(lstatSync(join(out, 'odd', 'sub')).ino).toBe(ino);
  });

  it('needs no part file where no piece is shared', async () => {
    const padded = oddTorrent([
      { path: ['a'], length: 100 },
      { path: ['.pad'], length: PIECE - 100, attr: 'p' },
      { path: ['b'], length: 3 * PIECE },
    ]);
    const out = await emptyFolder();
    await fetched(await seeded(padded), { out, select: { exclude: ['a'] } }, padded);
    expect(readdirSync(out)).toEqual(['odd']);
    expect(readFileSync(join(out, 'odd', 'b')).equals(padded.content(2))).toBe(true);
  });

  it.each([
    [{ ranges: [[6, 6]] }, 'expected files of the torrent, 1 to 5 as `info` lists them, got 6'],
    [{ include: ['*.iso'] }, 'expected a choice of at least one file, but none matches'],
    [{ include: ['[a'] }, 'expected a glob with a `]` for each `[`, got "[a"'],
  ] as const)('of %j is refused', async (select, message) => {
    const session = await openSession();
    const out = await emptyFolder();
    expect(() => session.add(torrent.bytes, { out, select })).toThrow(
      expect.objectContaining({ code: 'USAGE', message }),
    );
  });
});

describe('attributes of files (BEP 47)', () => {
  const odd = oddTorrent([
    { path: ['bin', 'run'], length: 100, attr: 'x' },
    { path: ['lib', 'now'], attr: 'l', symlink: ['lib', 'one'] },
    { path: ['lib', 'one'], length: 10, attr: 'h' },
    { path: ['also'], attr: 'l', symlink: ['lib', 'now'] },
    { path: ['lib', 'here'], attr: 'l', symlink: ['lib'] },
  ]);

  it('make files executable and links that stay inside, once the payload is there', async () => {
    const out = await emptyFolder();
    const port = await seeded(odd);
    await fetched(port, { out }, odd);
    expect(statSync(join(out, 'odd', 'bin', 'run')).mode & 0o111).not.toBe(0);
    expect(statSync(join(out, 'odd', 'lib', 'one')).mode & 0o111).toBe(0);
    expect(readlinkSync(join(out, 'odd', 'lib', 'now'))).toBe('one');
    expect(readlinkSync(join(out, 'odd', 'also'))).toBe(join('lib', 'one'));
    expect(readlinkSync(join(out, 'odd', 'lib', 'here'))).toBe('.');
    await fetched(port, { out }, odd);
    expect(readFileSync(join(out, 'odd', 'also')).equals(odd.content(2))).toBe(true);
  });

  it('overwrite nothing that is in the place of a link', async () => {
    const out = await emptyFolder();
    mkdirSync(join(out, 'odd'));
    writeFileSync(join(out, 'odd', 'also'), 'mine');
    await expect(fetched(await seeded(odd), { out }, odd)).rejects.toMatchObject({
      code: 'LOCAL_IO',
      message: expect.stringContaining(
        `cannot make symbolic link ${join(out, 'odd', 'also')}: something else is there`,
      ),
    });
    expect(lstatSync(join(out, 'odd', 'also')).isSymbolicLink()).toBe(false);
  });
});

describe('room taken before the download', () => {
  it('has every block of the files on disk, and leaves what is there', async () => {
    const out = await emptyFolder();
    mkdirSync(join(out, 'odd'));
    writeFileSync(join(out, 'odd', 'a'), torrent.content(0));
    const { events } = await fetched(await seeded(), { out, alloc: 'full' });
    expect(events).toContainEqual({ type: 'checked', pieces: 2, of: 16, trusted: 0 });
    expect(FILES.map((_, i) => has(out, i))).toEqual([true, true, true, true, true]);
  });
});

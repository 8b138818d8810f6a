// What a disk may do to a download: it ends with one clear error, others go on, and another run goes on from there.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Disk } from '../../src/storage/disk.js';
import { spate } from '../helpers/cli-run.js';
import { type DiskCall, RecordingDisk } from '../helpers/fs-disk.js';
import { ScriptedSeed } from '../helpers/scripted-peer.js';
import { atEnd, emptyFolder, ending, openSession } from '../helpers/session-harness.js';
import { smallTorrent } from '../helpers/small-torrent.js';

const BLOCK = 16_384;
const torrent = smallTorrent(40 * 4 * BLOCK + 777, 4 * BLOCK);
const other = smallTorrent(10 * BLOCK, BLOCK, { name: 'other.bin', seed: 2 });
/** One piece a write, one after the other. */
const STEPS = { writeCoalesceBytes: BLOCK, writesInFlight: 1 };

type Failure = { readonly code: string; readonly message: string };

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  return await work.then(
    () => ({ code: 'none', message: '' }),
    (error: Failure) => error,
  );
}

/** A download on a disk that interferes, beside one that it leaves alone; then a second run on a good disk. */
async function twoRuns(interfere: (call: DiskCall, nth: number, path: string) => string | undefined) {
  const seed = await ending(ScriptedSeed.listen(torrent));
  const second = await ending(ScriptedSeed.listen(other));
  const out = await emptyFolder();
  const path = join(out, torrent.name);
  const disk = new RecordingDisk();
  let writes = 0;
  disk.intervene = (call) => {
    if (call.path !== path) return undefined;
    if (call.name === 'writev') writes++;
    return interfere(call, writes, path);
  };
  const session = await openSession(STEPS, { workers: 1, disk });
  const peer = (port: number) => ({ out, peers: [{ host: '127.0.0.1', port }] });
  const download = session.add(torrent.bytes, peer(seed.port));
  const neighbour = session.add(other.bytes, peer(second.port));
  const failure = await failureOf(download.done);
  await neighbour.done;
  const had = download.stats().have;
  await session.close();

  const again = (await openSession({}, { workers: 1 })).add(torrent.bytes, peer(seed.port));
  const requests = seed.requests.length;
  await again.done;
  const whole = readFileSync(path).equals(torrent.payload) && readFileSync(join(out, other.name)).equals(other.payload);
  return { failure, had, whole, path, fetchedAgain: seed.requests.length - requests };
}

describe('a download on a disk that fails', () => {
  it.each([
    ['writev', 'ENOSPC', 'DISK_FULL'],
    ['writev', 'EIO', 'LOCAL_IO'],
    ['open', 'EROFS', 'LOCAL_IO'],
    ['open', 'EACCES', 'LOCAL_IO'],
    ['ftruncate', 'EFBIG', 'LOCAL_IO'],
  ] as const)(
    'at %s with %s ends in %s; the other goes on, and a second run completes it',
    async (name, errno, code) => {
      const { failure, whole, path } = await twoRuns((call, nth) =>
        call.name === name && (name !== 'writev' || nth > 5) ? errno : undefined,
      );
      expect(failure.code).toBe(code);
      expect(failure.message).toContain(path);
      expect(failure.message).not.toContain('\n');
      expect(whole).toBe(true);
    },
  );

  it('keeps what was written before the failure for the second run', async () => {
    const { had, fetchedAgain, whole } = await twoRuns((call, nth) =>
      call.name === 'writev' && nth > 5 ? 'EIO' : undefined,
    );
    expect(had).toBeGreaterThanOrEqual(4 * 4 * BLOCK);
    expect(fetchedAgain).toBeLessThanOrEqual(161 - 4 * 4);
    expect(whole).toBe(true);
  });
});

it('a disk that fills up is told of once, unfinished pieces included', async () => {
  // Two peers, a piece each: the second one never gets its last block.
  const seed: ScriptedSeed = await ending(
    ScriptedSeed.listen(torrent, {
      answer: (piece, begin, length) =>
        begin === 3 * BLOCK && piece > 5 ? undefined : seed.blockOf(piece, begin, length),
    }),
  );
  const disk = new RecordingDisk();
  disk.intervene = ({ name }) => (name === 'writev' ? 'ENOSPC' : undefined);
  const stateFolder = await emptyFolder();
  const session = await openSession(STEPS, { workers: 1, disk, stateFolder });
  const warnings: string[] = [];
  const download = session.add(torrent.bytes, {
    out: await emptyFolder(),
    peers: [{ host: '127.0.0.1', port: seed.port }],
    onEvent: (event) => {
      if (event.type === 'warning') warnings.push(event.message);
    },
  });
  expect(await failureOf(download.done)).toMatchObject({ code: 'DISK_FULL' });
  expect(disk.named('writev').length).toBeGreaterThan(1);
  expect(warnings).toEqual([]);
});

describe('a file that somebody else', () => {
  it('removes during the download ends it, and does not stay away', async () => {
    const { failure, whole, path } = await twoRuns((call, nth) => {
      if (call.name === 'writev' && nth === 6) rmSync(path0(call));
      return undefined;
    });
    expect(failure.code).toBe('LOCAL_IO');
    expect(failure.message).toBe(
      `cannot write ${path}: it changed during the download: expected ${torrent.payload.length} bytes, it was removed; run the same command again`,
    );
    expect(whole).toBe(true);
  });

  it('cuts during the download ends it, and gets its bytes back', async () => {
    const { failure, whole } = await twoRuns((call, nth) => {
      if (call.name === 'writev' && nth === 6) truncateSync(path0(call), 10);
      return undefined;
    });
    expect(failure.code).toBe('LOCAL_IO');
    expect(failure.message).toContain('it changed during the download: expected');
    expect(whole).toBe(true);
  });

  it('removes after its last byte was written is missed', async () => {
    const seed = await ending(ScriptedSeed.listen(other));
    const out = await emptyFolder();
    const disk = new RecordingDisk();
    const close: Disk['close'] = disk.close;
    Object.assign(disk, {
      close: ((fd, done) => {
        rmSync(join(out, other.name), { force: true });
        close(fd, done);
      }) satisfies Disk['close'],
    });
    const session = await openSession({}, { workers: 1, disk });
    const download = session.add(other.bytes, { out, peers: [{ host: '127.0.0.1', port: seed.port }] });
    expect(await failureOf(download.done)).toMatchObject({
      code: 'LOCAL_IO',
      message: expect.stringContaining(`cannot find ${join(out, other.name)}: ENOENT`),
    });
  });

  it('has put a folder in the place of ends the download at once, with exit code 8', async () => {
    const out = await emptyFolder();
    mkdirSync(join(out, torrent.name));
    writeFileSync(join(out, 'it.torrent'), torrent.bytes);
    const { code, stderr } = await spate([join(out, 'it.torrent'), '-o', out, '--bind', '127.0.0.1', '--workers', '1']);
    expect(code).toBe(8);
    expect(stderr).toMatch(/^spate: payload\.bin: cannot open \S+\/payload\.bin: it is not a regular file\n$/);
  });
});

const path0 = ({ path }: DiskCall): string => path;

/** A file system of its own, which takes root to mount; who is not gets the reason. @returns how to make it larger */
function smallDisk(at: string, kib: number): (kib: number) => void {
  const mount = (size: number, ...options: string[]): void => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', [`size=${size}k`, ...options].join(','), 'tmpfs', at]);
  };
  mount(kib);
  atEnd(async () => {
    execFileSync('umount', [at]);
  });
  return (size) => mount(size, 'remount');
}

describe('a disk that is too small', () => {
  it.each([
    ['sparse', 'cannot write '],
    ['full', 'not enough room in '],
  ])('ends a download with --alloc %s with exit code 9; with more room it completes', async (alloc, message) => {
    const seed = await ending(ScriptedSeed.listen(torrent));
    const folder = await emptyFolder();
    const [file, out] = [join(folder, 'it.torrent'), join(folder, 'small')];
    writeFileSync(file, torrent.bytes);
    mkdirSync(out);
    const grow = smallDisk(out, 1024);
    const args = [
      file,
      '-o',
      out,
      '--bind',
      '127.0.0.1',
      '--workers',
      '1',
      '--peer',
      `127.0.0.1:${seed.port}`,
      '--alloc',
      alloc,
    ];

    const first = await spate(args);

    expect(first.code).toBe(9);
    expect(first.stderr).toContain(`spate: payload.bin: ${message}`);
    expect(first.stderr).toContain('free some space and run the same command again\n');
    if (alloc === 'full') expect(seed.requests).toEqual([]);
    grow(8192);
    expect((await spate(args)).code).toBe(0);
    expect(readFileSync(join(out, torrent.name)).equals(torrent.payload)).toBe(true);
  });

  it('is none for a download that has taken part of its room already', async () => {
    const seed = await ending(ScriptedSeed.listen(torrent));
    const out = await emptyFolder();
    smallDisk(out, Math.ceil(torrent.payload.length / 1024) + 64);
    const path = join(out, torrent.name);
    writeFileSync(path, Buffer.alloc(100 * BLOCK));
    truncateSync(path, torrent.payload.length);
    const peers = [{ host: '127.0.0.1', port: seed.port }];
    await (await openSession({}, { workers: 1 })).add(torrent.bytes, { out, peers, alloc: 'full' }).done;
    expect(readFileSync(path).equals(torrent.payload)).toBe(true);
  });
});

import { mkdirSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Checkpoint } from '../../src/checkpoint.js';
import { FileStore } from '../../src/storage/files.js';
import { FolderFlushes } from '../../src/storage/folder-flush.js';
import { OpenFiles } from '../../src/storage/open-files.js';
import { Bitfield } from '../../src/torrent/bitfield.js';
import { Geometry, type PieceIndex } from '../../src/torrent/geometry.js';
import { gate, RecordingDisk } from '../helpers/fs-disk.js';
import { pathOf, table } from '../helpers/fs-table.js';
import { temporaryFolder } from '../helpers/fs-temp.js';

const PIECE = 10;
/** Pieces 0 to 3, 4 to 9; none lies in both. The last one is empty. */
const FILES = table(40, 60, 0);
const GEOMETRY = new Geometry({ length: 100, pieceLength: PIECE });
const piece = (index: number): PieceIndex => GEOMETRY.pieceIndex(index)!;

interface World {
  readonly disk: RecordingDisk;
  readonly folder: string;
  readonly root: string;
  readonly warnings: string[];
  readonly store: FileStore;
  readonly checkpoint: Checkpoint;
  write(index: number): Promise<void>;
}

async function world(folder?: string): Promise<World> {
  const base = folder ?? (await temporaryFolder());
  const [disk, root, warnings] = [new RecordingDisk(), join(base, 'out'), [] as string[]];
  const store = new FileStore({ root, files: FILES, openFiles: new OpenFiles(10, disk) });
  const checkpoint = new Checkpoint({
    stateFolder: join(base, 'state'),
    root,
    name: 'it',
    infohash: Buffer.alloc(20, 7),
    files: FILES,
    geometry: GEOMETRY,
    storage: store,
    disk,
    folders: new FolderFlushes(disk),
    saveEveryMs: 2000,
    random: Math.random,
    onWarning: (message) => warnings.push(message),
  });
  const write = async (index: number): Promise<void> => {
    await store.write(index * PIECE, [new Uint8Array(PIECE).fill(index + 1)]);
    checkpoint.onWritten(piece(index));
  };
  return { disk, folder: base, root, warnings, store, checkpoint, write };
}

/** A world in which nothing was on disk at the start. */
async function begun(): Promise<World> {
  const it = await world();
  await it.checkpoint.recall('auto');
  it.checkpoint.onChecked(new Bitfield(10), new Bitfield(10));
  it.checkpoint.onTick(-2000);
  return it;
}

/** A world whose pieces were written, saved and left in good order. */
async function left(...pieces: number[]): Promise<World> {
  const it = await begun();
  for (const index of pieces) await it.write(index);
  await it.checkpoint.finish();
  await it.store.close();
  return it;
}

const recalled = async ({ folder }: World, mode: 'auto' | 'none' | 'full' = 'auto') => {
  const next = await world(folder);
  const { judged, good, partials } = await next.checkpoint.recall(mode);
  return {
    judged: [...judged],
    good: [...good].filter((index) => judged.has(index)),
    partials,
    warnings: next.warnings,
  };
};
const ALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

describe('a checkpoint', () => {
  it('names a piece only after its file was flushed and looked at, and renames the state only after flushing it', async () => {
    const { disk, checkpoint, write } = await begun();
    await write(1);
    await write(5);
    disk.calls.length = 0;
    await checkpoint.finish();
    // The folder of the state is looked for and made, too.
    const order = disk.calls.filter(
      ({ name, path }) => !['open', 'close', 'mkdir'].includes(name) && !path.endsWith('/'),
    );
    expect(
      order.map(
        ({ name, path }) =>
          `${name} ${path
            .split('/')
            .at(-1)!
            .replace(/^[0-9a-f-]{40,}/, '')}`,
      ),
    ).toEqual([
      'fdatasync f0',
      'fdatasync f1',
      // In their place, and what is recorded of them.
      'lstat f0',
      'lstat f1',
      'lstat f0',
      'lstat f1',
      'writev .resume.new',
      'fsync .resume.new',
      'rename .resume',
      'fsync resume',
    ]);
  });

  it('does not name what is written while it flushes', async () => {
    const it = await begun();
    await it.write(1);
    const flush = gate();
    it.disk.intervene = ({ name }) => (name === 'fdatasync' ? flush.opened : undefined);
    it.checkpoint.onTick(0);
    while (it.disk.named('fdatasync').length === 0) await new Promise((resolve) => setImmediate(resolve));
    await it.write(2);
    flush.open();
    // The folder is flushed after the state got its name: a call is told when it begins.
    while (!it.disk.named('fsync').some(({ path }) => path.endsWith('resume')))
      await new Promise((resolve) => setImmediate(resolve));
    it.disk.intervene = () => undefined;
    expect((await recalled(it)).good).toEqual([1]);
    await it.checkpoint.finish();
    expect((await recalled(it)).good).toEqual([1, 2]);
  });

  it('saves no more often than it is told to, and not when there is nothing new', async () => {
    const { disk, checkpoint, write } = await begun();
    const saves = async (now: number): Promise<number> => {
      checkpoint.onTick(now);
      for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
      await checkpoint.finish().catch(() => {});
      return disk.named('rename').length;
    };
    await write(0);
    checkpoint.onTick(0);
    checkpoint.onTick(1);
    expect(await saves(1999)).toBe(1);
    expect(await saves(9999)).toBe(1);
  });

  it('saves a download that ends soon once, and one that changed nothing not at all', async () => {
    const { disk, checkpoint, write } = await begun();
    await checkpoint.finish();
    expect(disk.named('fsync')).toEqual([]);
    await write(0);
    checkpoint.onTick(-1000);
    await write(1);
    await checkpoint.finish();
    expect([disk.named('fdatasync').length, disk.named('rename').length]).toEqual([1, 1]);
  });

  it('names blocks of an unfinished piece only after their file was flushed, and no longer when they are of no use', async () => {
    const it = await begun();
    await it.store.write(50, [new Uint8Array(PIECE)]);
    const flush = gate();
    it.disk.intervene = ({ name }) => (name === 'fdatasync' ? flush.opened : undefined);
    it.checkpoint.onSpilled(piece(5), Uint8Array.of(1));
    const finished = it.checkpoint.finish();
    while (it.disk.named('fdatasync').length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(it.disk.named('rename')).toEqual([]);
    flush.open();
    await finished;
    expect([...(await recalled(it)).partials.keys()]).toEqual([5]);
    it.checkpoint.onForgotten(piece(5));
    await it.checkpoint.finish();
    expect((await recalled(it)).partials.size).toBe(0);
  });

  it('names nothing more after a flush that failed, and says so at the end', async () => {
    const it = await left(0);
    const next = await world(it.folder);
    await next.checkpoint.recall('auto');
    next.checkpoint.onChecked(new Bitfield(10), new Bitfield(10));
    next.disk.intervene = ({ name }) => (name === 'fdatasync' ? 'EIO' : undefined);
    await next.write(5);
    await expect(next.checkpoint.finish()).rejects.toMatchObject({ code: 'LOCAL_IO' });
    next.disk.intervene = () => undefined;
    await next.write(6);
    await expect(next.checkpoint.finish()).rejects.toMatchObject({ code: 'LOCAL_IO' });
    expect(next.disk.named('rename')).toEqual([]);
  });

  it('names nothing that was written to a file which was moved away and replaced', async () => {
    const it = await begun();
    await it.write(1);
    const path = pathOf(it.root, FILES[0]!);
    renameSync(path, `${path}.moved`);
    writeFileSync(path, new Uint8Array(40));
    await expect(it.checkpoint.finish()).rejects.toMatchObject({ code: 'LOCAL_IO' });
    expect((await recalled(it)).good).toEqual([]);
  });

  it('that cannot be saved is a warning, not the end of the download', async () => {
    const it = await begun();
    it.disk.intervene = ({ name }) => (name === 'rename' ? 'EROFS' : undefined);
    await it.write(0);
    await it.checkpoint.finish();
    expect(it.warnings).toEqual([expect.stringContaining('cannot save resume state')]);
  });
});

describe('the next run', () => {
  it('believes what was named when size and time agree', async () => {
    expect(await recalled(await left(1, 5, 9))).toMatchObject({ judged: ALL, good: [1, 5, 9], warnings: [] });
  });

  it('hashes the pieces of a file that has changed, and no others', async () => {
    const it = await left(1, 5, 9);
    utimesSync(pathOf(it.root, FILES[0]!), 1, 1);
    expect(await recalled(it)).toMatchObject({ judged: [4, 5, 6, 7, 8, 9], good: [5, 9] });
    expect(await recalled(it, 'none')).toMatchObject({ judged: ALL, good: [1, 5, 9] });
    expect(await recalled(it, 'full')).toMatchObject({ judged: [], good: [] });
  });

  it('tells of bytes in a file that shall be empty, and believes in the others', async () => {
    const it = await left(1, 5, 9);
    const path = pathOf(it.root, FILES[2]!);
    mkdirSync(dirname(path));
    writeFileSync(path, 'notes');
    const warnings = [expect.stringContaining(`${path} has 5 bytes, expected 0`)];
    expect(await recalled(it)).toMatchObject({ judged: ALL, good: [1, 5, 9], warnings });
  });

  it('does not believe in a file that is gone', async () => {
    const it = await left(1, 5, 9);
    rmSync(pathOf(it.root, FILES[1]!));
    expect(await recalled(it)).toMatchObject({ judged: [0, 1, 2, 3], good: [1] });
    expect(await recalled(it, 'none')).toMatchObject({ judged: ALL, good: [1] });
  });

  /** A piece that is had, and the first block of another. */
  const spilled = async () => {
    const it = await begun();
    await it.write(1);
    await it.store.write(50, [new Uint8Array(PIECE)]);
    const present = Uint8Array.from([1]);
    it.checkpoint.onSpilled(piece(5), present);
    await it.checkpoint.finish();
    return { it, present };
  };

  it('knows the blocks of unfinished pieces, until their file changes', async () => {
    const { it, present } = await spilled();
    expect([...(await recalled(it)).partials]).toEqual([[5, present]]);
    utimesSync(pathOf(it.root, FILES[1]!), 1, 1);
    expect((await recalled(it)).partials.size).toBe(0);
  });

  it('knows them still when a seed has hashed what had changed beside them and saved that', async () => {
    const { it, present } = await spilled();
    await it.store.close();
    utimesSync(pathOf(it.root, FILES[0]!), 1, 1);
    const seed = await world(it.folder);
    await seed.checkpoint.recall('auto');
    const have = new Bitfield(10);
    have.set(piece(1));
    seed.checkpoint.onChecked(have, new Bitfield(10));
    await seed.checkpoint.finishIfFree();
    const { good, partials } = await recalled(it);
    expect({ good, partials: [...partials] }).toEqual({ good: [1], partials: [[5, present]] });
  });

  it('without a state hashes everything, or with none believes nothing', async () => {
    const it = await begun();
    mkdirSync(it.root);
    expect(await recalled(it)).toMatchObject({ judged: [], good: [] });
    expect(await recalled(it, 'none')).toMatchObject({ judged: ALL, good: [] });
  });

  it('takes a state of any bytes for damaged, warns and hashes', async () => {
    const it = await left(1, 5);
    const folder = join(it.folder, 'state', 'resume');
    const path = join(folder, readdirSync(folder)[0]!);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        writeFileSync(path, bytes);
        expect(await recalled(it)).toMatchObject({
          judged: [],
          good: [],
          warnings: [expect.stringContaining('is damaged or of another version; hashing')],
        });
      }),
      { numRuns: 50 },
    );
  });
});

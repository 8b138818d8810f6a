import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpateError } from '../../../src/errors.js';
import { FileStore } from '../../../src/storage/files.js';
import { OpenFiles } from '../../../src/storage/open-files.js';
import { NullStorage } from '../../../src/storage/storage.js';
import { WriteQueue } from '../../../src/storage/write-queue.js';
import { Geometry, type PieceIndex } from '../../../src/torrent/geometry.js';
import { RecordingDisk } from '../../helpers/fs-disk.js';
import { anyTable, bytesOnDisk, contentOf, filesBelow, lengthOf, table } from '../../helpers/fs-table.js';
import { inTemporaryFolder, temporaryFolder } from '../../helpers/fs-temp.js';

/** A storage whose writes end when the test says so. */
class SlowStorage {
  readonly writes: { readonly offset: number; readonly lengths: number[]; end(error?: Error): Promise<void> }[] = [];
  inFlight = 0;
  maxInFlight = 0;

  write(offset: number, views: readonly Uint8Array[]): Promise<void> {
    this.inFlight++;
    this.maxInFlight = Math.max(this.maxInFlight, this.inFlight);
    return new Promise((resolve, reject) => {
      const end = async (error?: Error): Promise<void> => {
        this.inFlight--;
        if (error === undefined) resolve();
        else reject(error);
        await turn();
      };
      this.writes.push({ offset, lengths: views.map((view) => view.byteLength), end });
    });
  }

  /** What was written: first byte and length of each view. */
  get log(): [number, number[]][] {
    return this.writes.map(({ offset, lengths }) => [offset, lengths]);
  }
}

/** Lets everything run that is ready to. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Setup {
  readonly length?: number;
  readonly pieceLength?: number;
  readonly writesInFlight?: number;
  readonly writeCoalesceBytes?: number;
}

function setUp({ length = 95, pieceLength = 10, writesInFlight = 2, writeCoalesceBytes = 1000 }: Setup = {}): {
  storage: SlowStorage;
  queue: WriteQueue;
  add: (...pieces: number[]) => Promise<string>[];
} {
  const storage = new SlowStorage();
  const geometry = new Geometry({ length, pieceLength });
  const queue = new WriteQueue({ storage, geometry, options: { writesInFlight, writeCoalesceBytes } });
  /** The outcome of each piece in words, so that none is left unhandled. */
  const add = (...pieces: number[]): Promise<string>[] =>
    pieces.map((piece) =>
      queue.enqueue(piece as PieceIndex, new Uint8Array(pieceLength)).then(
        () => 'written',
        (error: Error) => error.message,
      ),
    );
  return { storage, queue, add };
}

describe('the write queue', () => {
  it('resolves a piece when its write has ended, and not before', async () => {
    const { storage, queue } = setUp();
    let done = false;
    const writing = queue.enqueue(3 as PieceIndex, new Uint8Array(10)).then(() => {
      done = true;
    });
    await turn();
    expect(storage.log).toEqual([[30, [10]]]);
    expect(done).toBe(false);
    await storage.writes[0]!.end();
    await writing;
  });

  it('writes the pieces of one turn that are neighbours as one, whatever their order', async () => {
    const { storage, add } = setUp();
    const added = add(4, 2, 7, 3, 9, 8);
    await turn();
    expect(storage.log).toEqual([
      [20, [10, 10, 10]],
      [70, [10, 10, 5]],
    ]);
    for (const write of storage.writes) await write.end();
    expect(await Promise.all(added)).toEqual(Array(6).fill('written'));
  });

  it('collects neighbours while earlier writes are in flight', async () => {
    const { storage, add } = setUp({ writesInFlight: 1 });
    add(0);
    await turn();
    for (const piece of [5, 1, 4, 2]) {
      add(piece);
      await turn();
    }
    await storage.writes[0]!.end();
    await storage.writes[1]!.end();
    expect(storage.log).toEqual([
      [0, [10]],
      [40, [10, 10]],
      [10, [10, 10]],
    ]);
    await storage.writes[2]!.end();
  });

  it('does not take a neighbour that is in flight already', async () => {
    const { storage, add } = setUp();
    add(1);
    await turn();
    add(2);
    await turn();
    expect(storage.log).toEqual([
      [10, [10]],
      [20, [10]],
    ]);
    for (const write of storage.writes) await write.end();
  });

  it('puts no more into one write than allowed, but always one piece', async () => {
    const { storage, add } = setUp({ writeCoalesceBytes: 25, writesInFlight: 9 });
    add(0, 1, 2, 3, 4);
    await turn();
    expect(storage.log.map(([, lengths]) => lengths.length)).toEqual([2, 2, 1]);
    const small = setUp({ writeCoalesceBytes: 4, writesInFlight: 9 });
    small.add(0, 1);
    await turn();
    expect(small.storage.log).toEqual([
      [0, [10]],
      [10, [10]],
    ]);
  });

  it('keeps no more writes in flight than allowed', async () => {
    const { storage, add } = setUp({ length: 1000, writesInFlight: 2 });
    const added = add(...Array.from({ length: 50 }, (_, i) => 2 * i));
    await turn();
    for (let ended = 0; ended < 50; ended++) await storage.writes[ended]!.end();
    expect(await Promise.all(added)).toEqual(Array(50).fill('written'));
    expect(storage.maxInFlight).toBe(2);
  });

  it('writes exactly the piece of a longer buffer, the short last one included', async () => {
    const { storage, queue } = setUp();
    void queue.enqueue(8 as PieceIndex, new Uint8Array(64));
    void queue.enqueue(9 as PieceIndex, new Uint8Array(64));
    await turn();
    expect(storage.log).toEqual([[80, [10, 5]]]);
    await storage.writes[0]!.end();
  });

  it('refuses a buffer that was transferred away or is too short, and goes on', async () => {
    const { storage, queue, add } = setUp();
    const view = new Uint8Array(10);
    structuredClone(view.buffer, { transfer: [view.buffer] });
    await expect(queue.enqueue(1 as PieceIndex, view)).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(queue.enqueue(1 as PieceIndex, new Uint8Array(9))).rejects.toThrow(
      'piece 1 has 10 bytes, its buffer 9',
    );
    const added = add(1);
    await turn();
    await storage.writes[0]!.end();
    expect(await Promise.all(added)).toEqual(['written']);
  });

  it('refuses a piece that waits or is in flight, and takes it again afterwards', async () => {
    const { storage, queue, add } = setUp();
    const added = add(1);
    await expect(queue.enqueue(1 as PieceIndex, new Uint8Array(10))).rejects.toMatchObject({ code: 'INTERNAL' });
    await turn();
    await expect(queue.enqueue(1 as PieceIndex, new Uint8Array(10))).rejects.toMatchObject({ code: 'INTERNAL' });
    await storage.writes[0]!.end();
    expect(await Promise.all(added)).toEqual(['written']);
    const again = add(1);
    await turn();
    await storage.writes[1]!.end();
    expect(await Promise.all(again)).toEqual(['written']);
  });

  it('rejects everything that waits and comes later with the first error; what was in flight has its own end', async () => {
    const { storage, queue, add } = setUp();
    const added = add(0, 2, 4, 6);
    await turn();
    expect(storage.writes).toHaveLength(2);
    await storage.writes[0]!.end(new SpateError('DISK_FULL', 'full'));
    const later = add(8);
    await storage.writes[1]!.end();
    expect(await Promise.all([...added, ...later])).toEqual(['full', 'written', 'full', 'full', 'full']);
    await queue.idle();
    await expect(queue.enqueue(9 as PieceIndex, new Uint8Array(10))).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(storage.writes).toHaveLength(2);
  });

  it('keeps the first of two errors', async () => {
    const { storage, add } = setUp();
    const added = add(0, 2);
    await turn();
    await storage.writes[1]!.end(new Error('first'));
    await storage.writes[0]!.end(new Error('second'));
    expect(await Promise.all([...added, ...add(4)])).toEqual(['second', 'first', 'first']);
  });

  it('is idle when nothing waits and nothing is in flight', async () => {
    const { storage, queue, add } = setUp({ writesInFlight: 1 });
    await queue.idle();
    const added = add(0, 2);
    let idle = 0;
    void queue.idle().then(() => idle++);
    void queue.idle().then(() => idle++);
    await turn();
    await storage.writes[0]!.end();
    expect(idle).toBe(0);
    await storage.writes[1]!.end();
    expect(idle).toBe(2);
    expect(await Promise.all(added)).toEqual(['written', 'written']);
    await queue.idle();
  });

  it('is idle after an error too', async () => {
    const { storage, queue, add } = setUp({ writesInFlight: 1 });
    add(0, 2);
    const idle = queue.idle();
    await turn();
    await storage.writes[0]!.end(new Error('broken'));
    await idle;
  });

  it('brings every piece of any torrent to disk, in any order', async () => {
    const order = fc.array(fc.nat(), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(anyTable, fc.integer({ min: 1, max: 900 }), order, async (files, pieceLength, keys) => {
        await inTemporaryFolder(async (root) => {
          const content = contentOf(files);
          const geometry = new Geometry({
            length: lengthOf(files),
            pieceLength: Math.max(pieceLength, content.length >> 7),
          });
          const storage = new FileStore({ root, files, openFiles: new OpenFiles(2) });
          const options = { writesInFlight: 1 + (keys[0]! % 3), writeCoalesceBytes: 1 + (keys[0]! % 5000) };
          const queue = new WriteQueue({ storage, geometry, options });
          const pieces = [...geometry.pieces()].sort(
            (a, b) => keys[a % keys.length]! - keys[b % keys.length]! || b - a,
          );
          const done: Promise<void>[] = [];
          for (const piece of pieces) {
            // As it comes home: in a buffer of its own, longer than the piece.
            const view = new Uint8Array(geometry.pieceLength + 7).fill(0xee);
            const offset = geometry.offsetOf(piece);
            view.set(content.subarray(offset, offset + geometry.lengthOf(piece)));
            done.push(queue.enqueue(piece, view));
            if (piece % 3 === 0) await turn();
          }
          await Promise.all([...done, queue.idle()]);
          await storage.prepare();
          await storage.close();
          const onDisk = files.filter(({ pad }) => !pad);
          expect(filesBelow(root)).toEqual(onDisk.map(({ path }) => join(...path)).sort());
          for (const file of onDisk) {
            expect(bytesOnDisk(root, file)).toEqual(content.slice(file.offset, file.offset + file.length));
          }
        });
      }),
      { numRuns: 40 },
    );
  });

  it('turns neighbouring pieces into one writev per file', async () => {
    const root = await temporaryFolder();
    const files = table(35, 65);
    const disk = new RecordingDisk();
    const storage = new FileStore({ root, files, openFiles: new OpenFiles(8, disk) });
    const geometry = new Geometry({ length: 100, pieceLength: 10 });
    const queue = new WriteQueue({ storage, geometry, options: { writesInFlight: 2, writeCoalesceBytes: 1000 } });
    await Promise.all([...geometry.pieces()].map((piece) => queue.enqueue(piece, new Uint8Array(10))));
    // Two files are written side by side.
    const writes = disk.named('writev').map(({ position, lengths }) => [position, lengths]);
    expect(writes).toHaveLength(2);
    expect(writes).toEqual(
      expect.arrayContaining([
        [0, [10, 10, 10, 5]],
        [0, [5, 10, 10, 10, 10, 10, 10]],
      ]),
    );
    await storage.close();
  });
});

describe('the null storage', () => {
  it('accepts every piece and reads as zeros', async () => {
    const storage = new NullStorage();
    const geometry = new Geometry({ length: 100, pieceLength: 10 });
    const queue = new WriteQueue({ storage, geometry, options: { writesInFlight: 2, writeCoalesceBytes: 30 } });
    await storage.prepare();
    await Promise.all([...geometry.pieces()].map((piece) => queue.enqueue(piece, new Uint8Array(10).fill(1))));
    const views = [new Uint8Array(3).fill(1), new Uint8Array(2).fill(1)];
    await storage.readInto(0, views);
    expect(views).toEqual([new Uint8Array(3), new Uint8Array(2)]);
    await storage.sync();
    await storage.close();
  });
});

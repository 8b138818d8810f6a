// Unfinished pieces when memory is spent, with groups that are played by hand and a disk of bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LeaseGrant, ToGroup } from '../../src/messages.js';
import { Spills } from '../../src/spill.js';
import { Geometry, type PieceIndex } from '../../src/torrent/geometry.js';
import { BLOCK, BLOCKS, World, type WorldSettings } from '../helpers/transfer-world.js';

const PIECE = BLOCKS * BLOCK;

/** What is pending goes on as far as it can. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Disk {
  readonly bytes: Uint8Array;
  writes = 0;
  failure: Error | undefined;
  /** Reads and writes wait for it. */
  gate: Promise<void> = Promise.resolve();

  constructor(pieces: number) {
    this.bytes = new Uint8Array(pieces * PIECE);
  }

  async write(offset: number, views: readonly Uint8Array[]): Promise<void> {
    this.writes++;
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
    for (const view of views) {
      expect(view.length).toBeGreaterThan(0);
      this.bytes.set(view, offset);
    }
  }

  async readInto(offset: number, views: readonly Uint8Array[]): Promise<void> {
    await this.gate;
    for (const view of views) view.set(this.bytes.subarray(offset, offset + view.length));
  }
}

/** A world whose groups can give nothing until told; memory has room for one piece. */
function spilling(pieces: number, settings: WorldSettings = {}) {
  const disk = new Disk(pieces);
  const spilled: [number, number[]][] = [];
  const forgotten: number[] = [];
  const spills = new Spills({
    geometry: new Geometry({ length: pieces * PIECE, pieceLength: PIECE }),
    storage: disk,
    onSpilled: (piece, present) => spilled.push([piece, [...present]]),
    onForgotten: (piece) => forgotten.push(piece),
  });
  const world = new World(pieces, { memory: 1, spills, ...settings });
  const can = (group: number, ...given: number[]): void => {
    const section = world.memory.section(group);
    section.anyPiece = false;
    section.hungry.fill(0);
    for (const piece of given) section.hungry[piece >> 3]! |= 0x80 >> (piece & 7);
  };
  for (const group of [0, 1]) can(group);
  const seen = [0, 0];
  /** What a group is leased now, once that which must be read is. */
  const ask = async (group: number, now = 0, count = 1): Promise<LeaseGrant[]> => {
    const { transfer, sent } = world;
    transfer.onWant(group, count, seen[group]!);
    sent.length = 0;
    transfer.grant(group, now);
    transfer.flush();
    await settled();
    const leases = sent.flatMap(([, message]) => (message as Extract<ToGroup, { type: 'lease' }>).leases ?? []);
    seen[group]! += leases.length;
    return leases;
  };
  const die = (group: number): void => {
    seen[group] = 0;
    world.transfer.onGroupDeath(group);
  };
  /** A block as its peer gives it. */
  const fill = ({ piece, buffer }: LeaseGrant, block: number): void => {
    new Uint8Array(buffer, block * BLOCK, BLOCK).fill(1 + piece * BLOCKS + block);
  };
  return { world, disk, spills, spilled, forgotten, can, ask, die, fill };
}

describe('when memory is spent', () => {
  it('an unfinished piece that nobody goes on with makes room for another, and is gone on with later', async () => {
    const { world, disk, spilled, forgotten, can, ask, fill } = spilling(2);
    can(0, 0);
    const [first] = await ask(0);
    for (const block of [0, 2]) fill(first!, block);
    world.returned(0, first!, [1, 0, 1, 0], [5, 0, 5, 0]);
    can(0, 1);
    expect(await ask(0)).toEqual([]);
    expect(spilled).toEqual([[0, [1, 0, 1, 0]]]);
    expect([...disk.bytes.subarray(0, PIECE)].filter((_, at) => at % BLOCK === 0)).toEqual([1, 0, 3, 0]);

    const [other] = await ask(0);
    expect([other!.piece, other!.present]).toEqual([1, undefined]);
    world.verified(other!);
    await settled();
    can(1, 0);
    const [again] = await ask(1);

    expect([again!.piece, [...again!.present!]]).toEqual([0, [1, 0, 1, 0]]);
    const bytes = new Uint8Array(again!.buffer);
    expect([bytes[0], bytes[2 * BLOCK]]).toEqual([1, 3]);
    world.verified(again!);
    await settled();
    expect([world.transfer.left, world.budget.outBytes, forgotten]).toEqual([0, 0, [0]]);
  });

  it('one that came home just now has its time, and one that somebody wants needs no disk', async () => {
    const { world, spilled, can, ask } = spilling(2, { spillAfterMs: 1000 });
    can(0, 0);
    world.returned(0, (await ask(0))[0]!, [1, 0, 0, 0], [5, 0, 0, 0], 500);
    can(0, 1);
    expect(await ask(0, 1499)).toEqual([]);
    expect(spilled).toEqual([]);
    can(1, 0);
    const [again] = await ask(1, 1499);
    expect([...again!.present!]).toEqual([1, 0, 0, 0]);
    world.returned(1, again!, [1, 1, 0, 0], [0, 5, 0, 0], 1499);
    await ask(0, 2498);
    expect(spilled).toEqual([]);
    await ask(0, 2499);
    expect(spilled).toEqual([[0, [1, 1, 0, 0]]]);
  });

  it('with storage that gives nothing back, everything stays in memory', async () => {
    const { world, can, ask } = spilling(2, { spills: undefined as never });
    can(0, 0);
    world.returned(0, (await ask(0))[0]!, [1, 0, 0, 0], [5, 0, 0, 0]);
    can(0, 1);
    for (let i = 0; i < 3; i++) expect(await ask(0)).toEqual([]);
    can(0, 0);
    expect([...(await ask(0))[0]!.present!]).toEqual([1, 0, 0, 0]);
  });

  it('a disk that cannot take it ends the download, and the buffer is free', async () => {
    const { world, disk, can, ask } = spilling(2);
    can(0, 0);
    world.returned(0, (await ask(0))[0]!, [1, 0, 0, 0], [5, 0, 0, 0]);
    disk.failure = Object.assign(new Error('full'), { code: 'DISK_FULL' });
    can(0, 1);
    await ask(0);
    expect([world.errors, world.budget.outBytes]).toEqual([['DISK_FULL'], 0]);
  });
});

describe('a piece on its way to disk or back', () => {
  /** One that is being written, or has been written and is being read, until told. */
  async function underWay(what: 'write' | 'read') {
    const it = spilling(2);
    it.can(0, 0);
    const [first] = await it.ask(0);
    it.world.returned(0, first!, [1, 1, 0, 0], [5, 5, 0, 0]);
    it.can(0, 1);
    if (what === 'read') {
      await it.ask(0);
      it.can(0, 0);
    }
    let open = (): void => {};
    it.disk.gate = new Promise((resolve) => {
      open = resolve;
    });
    expect(await it.ask(0)).toEqual([]);
    return { ...it, first: first!, open };
  }

  it('is leased to nobody, and its buffer to nobody else', async () => {
    for (const what of ['write', 'read'] as const) {
      const { can, ask, world, open } = await underWay(what);
      can(1, 0, 1);
      expect(await ask(1)).toEqual([]);
      expect(world.budget.outBytes).toBe(PIECE);
      world.sent.length = 0;
      open();
      await settled();
      expect(world.sent).toHaveLength(what === 'read' ? 1 : 0);
    }
  });

  it('is not written over by a late answer, and not fetched again when it was good', async () => {
    const writing = await underWay('write');
    writing.world.verified({ ...writing.first, buffer: new ArrayBuffer(PIECE) });
    await settled();
    expect(writing.world.transfer.have.count).toBe(0);
    writing.open();
    await settled();
    expect(writing.spills.has(0 as PieceIndex)).toBe(true);

    const reading = await underWay('read');
    reading.world.verified({ ...reading.first, buffer: new ArrayBuffer(PIECE) });
    reading.world.sent.length = 0;
    reading.open();
    await settled();
    expect(reading.world.transfer.have.has(0)).toBe(true);
    expect(reading.world.sent).toEqual([]);
  });

  it('is given to no group after a stop, and stays on disk', async () => {
    for (const what of ['write', 'read'] as const) {
      const { world, spills, spilled, open } = await underWay(what);
      world.transfer.stop();
      world.sent.length = 0;
      open();
      await spills.idle();
      await settled();
      expect([spilled, world.sent, world.budget.outBytes]).toEqual([[[0, [1, 1, 0, 0]]], [], 0]);
      expect(spills.has(0 as PieceIndex)).toBe(true);
    }
  });

  it('survives the group that it was read for', async () => {
    const { world, open, can, ask, die } = await underWay('read');
    die(0);
    world.sent.length = 0;
    open();
    await settled();
    expect([world.sent, world.budget.outBytes]).toEqual([[], 0]);
    can(1, 0);
    expect([...(await ask(1))[0]!.present!]).toEqual([1, 1, 0, 0]);
  });
});

it('an unfinished piece that came home after a stop is left to whoever saves it', async () => {
  const { world, spilled, can, ask } = spilling(2);
  can(0, 0);
  const [first] = await ask(0);
  world.transfer.stop();
  world.returned(0, first!, [1, 0, 0, 0], [5, 0, 0, 0]);
  await ask(0, 1e9);
  expect([spilled, [...world.transfer.partials.keys()]]).toEqual([[], [0]]);
});

it('a piece on disk that fails its hash is fetched anew, and accuses nobody for what lay there', async () => {
  const { world, can, ask, forgotten } = spilling(2);
  can(0, 0);
  world.returned(0, (await ask(0))[0]!, [1, 1, 1, 0], [5, 5, 5, 0]);
  can(0, 1);
  await ask(0);
  can(0, 0);
  const [again] = await ask(0);
  world.corrupt(0, again!, [0, 0, 0, 6], [true, false, false, false]);
  expect([world.guilty, forgotten]).toEqual([[], [0]]);
  const [third] = await ask(0);
  expect([third!.present, third!.exclusive]).toEqual([undefined, true]);
  world.verified(third!);
  expect(world.guilty).toEqual([]);
});

interface Step {
  readonly group: number;
  readonly can: readonly number[];
  readonly count: number;
  /** Given before the leases come home; a piece that is whole then is verified. */
  readonly blocks: readonly number[];
  readonly ends: 'home' | 'dies';
}

it('no block is lost and no piece stuck, whatever comes home and goes out, and the budget holds', async () => {
  const PIECES = 5;
  const step: fc.Arbitrary<Step> = fc.record({
    group: fc.nat(1),
    can: fc.uniqueArray(fc.nat(PIECES - 1), { maxLength: PIECES }),
    count: fc.integer({ min: 1, max: 3 }),
    blocks: fc.uniqueArray(fc.nat(BLOCKS - 1), { maxLength: BLOCKS }),
    ends: fc.constantFrom('home' as const, 'home' as const, 'home' as const, 'dies' as const),
  });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 25 }), async (memory, steps) => {
      const { world, spills, spilled, can, ask, die, fill } = spilling(PIECES, { memory });
      let now = 0;
      /** Blocks that must never be asked for again: those in memory and on disk. */
      const held = Array.from({ length: PIECES }, () => new Set<number>());
      const play = async ({ group, can: given, count, blocks, ends }: Step): Promise<void> => {
        can(group, ...given);
        // As time goes by, pieces that a group has passed over are looked at again.
        const leases = await ask(group, ++now, count);
        expect(world.budget.outBytes).toBeLessThanOrEqual(memory * PIECE);
        for (const lease of leases) {
          const present = [...(lease.present ?? new Uint8Array(BLOCKS))];
          const own = held[lease.piece]!;
          expect(present.flatMap((here, block) => (here === 1 ? [block] : []))).toEqual([...own].sort());
          for (const block of own) {
            expect(new Uint8Array(lease.buffer)[block * BLOCK + 1]).toBe(1 + lease.piece * BLOCKS + block);
          }
        }
        if (ends === 'dies' && leases.length > 0) {
          die(group);
          // What was in memory alone is gone with it.
          for (const { piece } of leases) {
            const [, onDisk = []] = spilled.findLast(([each]) => each === piece && spills.has(piece)) ?? [];
            held[piece] = new Set(onDisk.flatMap((here, block) => (here === 1 ? [block] : [])));
          }
          return;
        }
        for (const lease of leases) {
          const own = held[lease.piece]!;
          for (const block of blocks) {
            fill(lease, block);
            own.add(block);
          }
          if (own.size === BLOCKS) world.verified(lease);
          else {
            const present = Array.from({ length: BLOCKS }, (_, block) => Number(own.has(block)));
            world.returned(group, lease, present, new Array(BLOCKS).fill(0));
          }
        }
        await settled();
      };
      for (const each of steps) await play(each);
      const everything = { can: [0, 1, 2, 3, 4], count: 1, blocks: [0, 1, 2, 3], ends: 'home' as const };
      for (let turn = 0; world.transfer.left > 0; turn++) {
        expect(turn).toBeLessThan(50);
        await play({ group: turn % 2, ...everything });
      }
      expect([world.budget.outBytes, [...spills.pieces]]).toEqual([0, []]);
    }),
    { numRuns: 200 },
  );
});

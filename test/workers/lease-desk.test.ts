// Leases on their way in and out of a group, with the messages caught: what is told of a piece that fails its hash.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FromGroup, LeaseGrant } from '../../src/messages.js';
import { resolveOptions } from '../../src/options.js';
import { Geometry, type PieceIndex } from '../../src/torrent/geometry.js';
import { LeaseTable } from '../../src/torrent/lease-table.js';
import { LeaseDesk } from '../../workers/lease-desk.js';
import { payloadOf } from '../helpers/small-torrent.js';

const BLOCK = 16_384;

const sha1 = (bytes: Uint8Array): Buffer => createHash('sha1').update(bytes).digest();

/** A desk of a torrent of one piece, and what it has posted. */
class World {
  readonly payload: Buffer;
  readonly table = new LeaseTable();
  readonly posted: FromGroup[] = [];
  readonly desk: LeaseDesk;
  waste = 0;
  /** Messages that had been posted when the last lease was about to go home. */
  postedBeforeLast: number | undefined;
  #wake: (() => void) | undefined;

  constructor(length: number) {
    this.payload = payloadOf(length);
    const context = {
      options: resolveOptions(),
      post: (message: FromGroup) => {
        this.posted.push(message);
      },
    };
    const geometry = new Geometry({ length, pieceLength: length });
    this.desk = new LeaseDesk(1, this.table, geometry, sha1(this.payload), context, {
      onWaste: (bytes) => {
        this.waste += bytes;
      },
      onLast: () => {
        this.postedBeforeLast = this.posted.length;
      },
      onHashed: () => this.#wake?.(),
    });
  }

  /** Leases the piece and fills it, its last block by peer 2 and the others by 1. @returns when it is hashed */
  async fill(extra: Partial<LeaseGrant>, poison?: number): Promise<FromGroup> {
    const buffer = new ArrayBuffer(this.payload.length);
    this.desk.grant([{ lease: 5, piece: 0 as PieceIndex, buffer, ...extra }], 0);
    const lease = this.table.get(0)!;
    lease.write(0, this.payload, 0, this.payload.length);
    if (poison !== undefined) lease.bytes[poison]! ^= 1;
    for (let block = 0; block < lease.blockCount; block++) {
      this.table.complete(lease, block, block === lease.blockCount - 1 ? 2 : 1, 0);
    }
    const hashed = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.desk.hash(lease);
    if (this.desk.isHashing) await hashed;
    this.desk.flush();
    return this.posted.pop()!;
  }
}

/** In one piece and across turns of the loop, the last block short. */
const LENGTHS = [2 * BLOCK + 100, 9 * 1_048_576 + 100];

describe.each(LENGTHS)('a piece of %i bytes', (length) => {
  const count = Math.ceil(length / BLOCK);
  const digestsOf = (bytes: Buffer): Buffer =>
    Buffer.concat(Array.from({ length: count }, (_, i) => sha1(bytes.subarray(i * BLOCK, (i + 1) * BLOCK))));

  it('that fails its hash goes home with the giver and the digest of each block', async () => {
    const world = new World(length);
    const corrupt = await world.fill({}, BLOCK);
    if (corrupt.type !== 'corrupt') throw new Error(`expected corrupt, got ${corrupt.type}`);
    const bytes = Buffer.from(world.payload);
    bytes[BLOCK]! ^= 1;
    expect(digestsOf(bytes).equals(corrupt.digests)).toBe(true);
    expect(corrupt.givers).toEqual(Uint32Array.from({ length: count }, (_, i) => (i === count - 1 ? 2 : 1)));
    expect([corrupt.lease, corrupt.buffer.byteLength, world.waste]).toEqual([5, length, length]);
    expect([world.desk.isHashing, world.table.size]).toEqual([false, 0]);
  });

  it('that passes has its blocks told only when it is suspect', async () => {
    const world = new World(length);
    const plain = await world.fill({});
    const suspect = await world.fill({ suspect: true });
    if (plain.type !== 'verified' || suspect.type !== 'verified') throw new Error('expected verified');
    expect(plain.leases[0]!.digests).toBeUndefined();
    expect(digestsOf(world.payload).equals(suspect.leases[0]!.digests!)).toBe(true);
    expect(world.waste).toBe(0);
  });

  it('that is the last one is told of before it goes home', async () => {
    const world = new World(length);
    await world.fill({});
    expect(world.postedBeforeLast).toBe(0);
  });

  it('that goes home unfinished though only one peer may give it is waste, as far as it had come', () => {
    const world = new World(length);
    const buffer = new ArrayBuffer(length);
    world.desk.grant([{ lease: 8, piece: 0 as PieceIndex, buffer, exclusive: true }], 0);
    world.table.complete(world.table.get(0)!, 1, 7, 0);
    world.desk.giveBack(8);
    expect(world.waste).toBe(16_384);
  });

  it('that goes home unfinished names the givers of its blocks', () => {
    const world = new World(length);
    const present = Uint8Array.of(1);
    const buffer = new ArrayBuffer(length);
    world.desk.grant([{ lease: 8, piece: 0 as PieceIndex, buffer, present }], 0);
    world.table.complete(world.table.get(0)!, 1, 7, 0);
    const copied = world.desk.copy(8, new ArrayBuffer(length))!;
    world.desk.giveBack(8);
    const [returned] = world.posted;
    if (returned?.type !== 'returned') throw new Error('expected returned');
    for (const { present: has, givers } of [copied, returned]) {
      expect([...has.subarray(0, 3)]).toEqual([1, 1, 0]);
      expect([...givers.subarray(0, 3)]).toEqual([0, 7, 0]);
    }
  });
});

// A `Transfer` of a torrent with two groups that are played by hand.
import { expect } from 'vitest';
import type { FromGroup, LeaseGrant, ToGroup } from '../../src/messages.js';
import { resolveOptions } from '../../src/options.js';
import type { Spills } from '../../src/spill.js';
import { NullStorage } from '../../src/storage/storage.js';
import { WriteQueue } from '../../src/storage/write-queue.js';
import { Bitfield } from '../../src/torrent/bitfield.js';
import { ByteBudget } from '../../src/torrent/byte-budget.js';
import { Geometry } from '../../src/torrent/geometry.js';
import { IdleBuffers } from '../../src/torrent/idle-buffers.js';
import { SharedMemory } from '../../src/torrent/shared-memory.js';
import { Transfer } from '../../src/transfer.js';

export const BLOCK = 16_384;
/** Of each piece. */
export const BLOCKS = 4;

type Corrupt = Extract<FromGroup, { type: 'corrupt' }>;

/** Digests of the blocks of a piece, of which some are bad, each in its own way. */
const digestsOf = (bad: readonly boolean[]): Uint8Array =>
  Uint8Array.from(bad.flatMap((is, block) => Array.from({ length: 20 }, () => (is ? 100 + block : block))));

const GOOD = digestsOf([false, false, false, false]);

export interface WorldSettings {
  readonly evidenceBytes?: number;
  readonly corruptPieceLimit?: number;
  readonly endgameAfterMs?: number;
  /** Pieces that memory has room for. */
  readonly memory?: number;
  readonly spillAfterMs?: number;
  readonly spills?: Spills;
}

/** Two groups. Connection n of either is with host `h<n>`, and those from 90 on are nobody's. */
export class World {
  readonly budget: ByteBudget;
  readonly sent: [number, ToGroup][] = [];
  readonly guilty: string[] = [];
  readonly errors: string[] = [];
  readonly transfer: Transfer;
  readonly memory: SharedMemory;
  /** Bytes per second. */
  rate = 0;
  isShared = true;

  constructor(pieces = 1, settings: WorldSettings = {}) {
    const { evidenceBytes = 1e6, corruptPieceLimit = 20, endgameAfterMs = 0 } = settings;
    const { memory = 64, spillAfterMs = 0, spills } = settings;
    this.budget = new ByteBudget(memory * BLOCK * BLOCKS);
    const geometry = new Geometry({ length: pieces * BLOCKS * BLOCK, pieceLength: BLOCKS * BLOCK });
    this.memory = SharedMemory.create(new Uint8Array(20 * pieces), 2);
    const queue = new WriteQueue({ storage: new NullStorage(), geometry, options: resolveOptions() });
    this.transfer = new Transfer(
      {
        torrent: 1,
        geometry,
        have: new Bitfield(pieces),
        wanted: Bitfield.full(pieces),
        memory: this.memory,
        groupCount: 2,
        budget: this.budget,
        idle: new IdleBuffers(this.budget, spillAfterMs),
        queue,
        spills,
        corruptPieceLimit,
        endgameAfterMs,
        isShared: () => this.isShared,
        budgetAheadMs: 1_000,
        rate: () => this.rate,
        evidenceBytes,
        giverOf: (_group, peer) => (peer < 90 ? `h${peer}` : undefined),
        random: () => 0,
        send: (group, message) => this.sent.push([group, message]),
      },
      {
        onCanLease: () => {},
        onWritten: () => {},
        onGuilty: (giver) => this.guilty.push(giver),
        onComplete: () => {},
        onError: ({ code }) => this.errors.push(code),
      },
    );
    for (const group of [0, 1]) this.memory.section(group).anyPiece = true;
  }

  /** Leases what there is to a group. */
  lease(group = 0, now = 0): LeaseGrant {
    this.transfer.onWant(group, 1_000, 1_000);
    expect(this.transfer.grant(group, now)).toBe(true);
    this.transfer.flush();
    const [to, message] = this.sent.pop()!;
    expect([to, message.type]).toEqual([group, 'lease']);
    return (message as Extract<ToGroup, { type: 'lease' }>).leases[0]!;
  }

  corrupt(group: number, { lease, piece, buffer }: LeaseGrant, givers: number[], bad: boolean[]): void {
    const message: Omit<Corrupt, 'type'> = {
      torrent: 1,
      lease,
      piece,
      buffer,
      givers: Uint32Array.from(givers),
      digests: digestsOf(bad),
    };
    this.transfer.onCorrupt(group, { type: 'corrupt', ...message });
  }

  verified({ lease, piece, buffer, suspect }: LeaseGrant): void {
    this.transfer.onVerified([{ lease, piece, buffer, ...(suspect === true && { digests: GOOD }) }]);
  }

  returned(group: number, { lease, piece, buffer }: LeaseGrant, present: number[], givers: number[], now = 0): void {
    const blocks = { present: Uint8Array.from(present), givers: Uint32Array.from(givers) };
    this.transfer.onReturned(group, { type: 'returned', torrent: 1, lease, piece, buffer, ...blocks }, now);
  }
}

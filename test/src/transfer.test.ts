// Main's side of the leases of a torrent, with groups that are played by hand.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LeaseGrant, ToGroup } from '../../src/messages.js';
import { BLOCK, BLOCKS, World, type WorldSettings } from '../helpers/transfer-world.js';

describe('a piece that fails its hash', () => {
  it('has its giver accused at once when it was one alone, over any number of connections', () => {
    const world = new World();
    world.corrupt(0, world.lease(), [3, 3, 3, 3], [false, true, false, false]);
    expect(world.guilty).toEqual(['h3']);
  });

  it('is leased again to be fetched from one peer alone, and then accuses those whose blocks were bad', () => {
    const world = new World();
    const first = world.lease();
    expect([first.exclusive, first.suspect]).toEqual([false, false]);
    world.corrupt(0, first, [1, 2, 3, 1], [false, true, true, false]);
    expect(world.guilty).toEqual([]);
    const second = world.lease(1);
    expect([second.exclusive, second.suspect, second.present]).toEqual([true, true, undefined]);
    world.verified(second);
    expect(world.guilty).toEqual(['h2', 'h3']);
  });

  it('accuses nobody for blocks of unknown origin', () => {
    const world = new World();
    world.corrupt(0, world.lease(), [1, 99, 99, 1], [false, true, true, false]);
    world.verified(world.lease());
    expect(world.guilty).toEqual([]);
  });

  it('accuses who gave bad blocks of it in another group, in which it was begun', () => {
    const world = new World();
    world.returned(0, world.lease(0), [1, 1, 0, 0], [1, 2, 7, 0]);
    const second = world.lease(1);
    expect(second.present).toEqual(Uint8Array.of(1, 1, 0, 0));
    world.returned(1, second, [1, 1, 1, 0], [0, 0, 3, 0]);
    world.corrupt(0, world.lease(0), [0, 0, 0, 4], [true, false, true, false]);
    expect(world.guilty).toEqual([]);
    world.verified(world.lease(0));
    expect(world.guilty).toEqual(['h1', 'h3']);
  });

  it('has one culprit when one host gave all of it, part of it in another group', () => {
    const world = new World();
    world.returned(0, world.lease(0), [1, 1, 0, 0], [5, 5, 0, 0]);
    world.corrupt(1, world.lease(1), [0, 0, 5, 5], [true, false, false, false]);
    expect(world.guilty).toEqual(['h5']);
  });

  it('accuses who gave what came with a copy of it in the endgame', () => {
    const world = new World();
    const original = world.lease(0);
    world.transfer.onWant(1, 1_000, 1_000);
    // The first time says since when there is nothing else to lease.
    world.transfer.grant(1, 0);
    const [holder, share] = world.sent.pop() as [number, Extract<ToGroup, { type: 'share' }>];
    expect([holder, share.type, share.lease]).toEqual([0, 'share', original.lease]);
    const blocks = { present: Uint8Array.of(1, 0, 0, 0), givers: Uint32Array.of(6, 0, 0, 0) };
    world.transfer.onShared({ type: 'shared', torrent: 1, lease: share.lease, buffer: share.buffer, ...blocks });
    const [, granted] = world.sent.pop() as [number, Extract<ToGroup, { type: 'lease' }>];
    world.corrupt(1, granted.leases[0]!, [0, 7, 7, 7], [true, false, false, false]);
    world.corrupt(0, original, [6, 8, 8, 8], [true, false, false, false]);
    expect(world.guilty).toEqual([]);
    world.verified(world.lease(0));
    expect(world.guilty).toEqual(['h6']);
  });

  it('accuses nobody of what its group took along when it died', () => {
    const world = new World();
    world.corrupt(0, world.lease(), [1, 2, 1, 2], [true, false, false, false]);
    const second = world.lease(0);
    world.transfer.onGroupDeath(0);
    world.corrupt(0, second, [3, 3, 3, 3], [true, true, true, true]);
    expect(world.guilty).toEqual([]);
    world.memory.section(0).anyPiece = true;
    world.verified(world.lease(0));
    expect(world.guilty).toEqual(['h1']);
  });

  it('ends the download when it fails again and again', () => {
    const world = new World(1, { corruptPieceLimit: 3 });
    for (let failure = 0; failure < 3; failure++) {
      expect(world.errors).toEqual([]);
      world.corrupt(0, world.lease(), [1, 2, 3, 4], [true, false, false, false]);
    }
    expect(world.errors).toEqual(['BAD_DATA']);
  });
});

describe('a piece that has failed', () => {
  const FAILED = [true, false, false, false];
  const EMPTY = [0, 0, 0, 0];

  /** A world in which one piece has failed, so that it is for one peer alone; group 0 has it. */
  function failed(settings: WorldSettings = {}): { world: World; lease: LeaseGrant } {
    const world = new World(1, settings);
    world.corrupt(0, world.lease(), [1, 2, 1, 2], FAILED);
    return { world, lease: world.lease() };
  }

  /** An idle group has its turn in the endgame. @returns what it is sent */
  function idle(world: World, group: number): ToGroup | undefined {
    world.transfer.onWant(group, 1_000, 1_000);
    expect(world.transfer.grant(group, 0)).toBe(false);
    return world.sent.pop()?.[1];
  }

  const leaseOf = (message: ToGroup | undefined): LeaseGrant => {
    if (message?.type !== 'lease') throw new Error('expected a lease');
    return message.leases[0]!;
  };

  it('is for one peer of an idle group too, from the start, and the first that passes wins', () => {
    const { world, lease } = failed();
    const other = leaseOf(idle(world, 1));
    expect(other).toMatchObject({ piece: lease.piece, exclusive: true, suspect: true });
    expect([other.present, idle(world, 1)]).toEqual([undefined, undefined]);
    world.verified(other);
    expect(world.sent).toEqual([[0, { type: 'recall', torrent: 1, lease: lease.lease }]]);
    expect(world.guilty).toEqual(['h1']);
  });

  it('is for all once it has come home empty, and for one again when it has failed again', () => {
    const { world, lease } = failed();
    world.returned(0, lease, EMPTY, EMPTY);
    const shared = world.lease();
    expect([shared.exclusive, shared.suspect]).toEqual([false, true]);
    world.corrupt(0, shared, [1, 3, 1, 3], FAILED);
    const again = world.lease();
    expect(again.exclusive).toBe(true);
    // Another failure that names nobody: it has to come home twice.
    world.returned(0, again, EMPTY, EMPTY);
    const third = world.lease();
    expect(third.exclusive).toBe(true);
    world.returned(0, third, EMPTY, EMPTY);
    expect(world.lease().exclusive).toBe(false);
  });

  it('is for all, with what is there of it, when two groups have tried in vain', () => {
    const { world, lease } = failed();
    const other = leaseOf(idle(world, 1));
    world.returned(0, lease, EMPTY, EMPTY);
    const share = idle(world, 0);
    if (share?.type !== 'share') throw new Error('expected a share');
    const { buffer } = share;
    const nothing = { present: new Uint8Array(4), givers: new Uint32Array(4) };
    world.transfer.onShared({ type: 'shared', torrent: 1, lease: other.lease, buffer, ...nothing });
    expect(leaseOf(world.sent.pop()![1])).toMatchObject({ present: new Uint8Array(4), suspect: true });
  });

  it('has more liars than strikes', () => {
    const world = new World(1, { corruptPieceLimit: 3 });
    for (let liar = 10; liar < 30; liar++) world.corrupt(0, world.lease(), new Array(4).fill(liar), FAILED);
    expect([world.errors, world.guilty.length]).toEqual([[], 20]);
    for (let liar = 30; liar < 40; liar++) world.corrupt(0, world.lease(), new Array(4).fill(liar), FAILED);
    expect(world.errors).toEqual(['BAD_DATA']);
  });
});

describe('the copy of a lease for another group in the endgame', () => {
  type Share = Extract<ToGroup, { type: 'share' }>;
  const NOTHING = { present: new Uint8Array(4), givers: new Uint32Array(4) };

  /** Group 1 has nothing to do while group 0 holds all the pieces there are. */
  function endgame(pieces = 1, settings: WorldSettings = {}): World {
    const world = new World(pieces, settings);
    world.isShared = false;
    world.lease(0);
    world.transfer.onWant(1, 1_000, 1_000);
    return world;
  }

  /** Group 1 has its turn. @returns the lease of which a copy is asked for, if any */
  function share(world: World, now: number): Share | undefined {
    expect(world.transfer.grant(1, now)).toBe(false);
    return world.sent.pop()?.[1] as Share | undefined;
  }

  it('is asked for once, and later when there is no buffer for it yet', () => {
    const world = endgame(2, { memory: 2 });
    expect(share(world, 0)).toBeUndefined();
    world.budget.forget(BLOCK * BLOCKS);
    expect(share(world, 10)).toMatchObject({ type: 'share', lease: 1 });
    expect(share(world, 20)).toBeUndefined();
  });

  it('is made again when it has come home and the original has not', () => {
    const world = endgame();
    const { lease, buffer } = share(world, 0)!;
    world.transfer.onShared({ type: 'shared', torrent: 1, lease, buffer, ...NOTHING });
    const [, granted] = world.sent.pop() as [number, Extract<ToGroup, { type: 'lease' }>];
    world.transfer.onWant(1, 1_000, 1_001);
    expect(share(world, 10)).toBeUndefined();
    world.returned(1, granted.leases[0]!, [0, 0, 0, 0], [0, 0, 0, 0]);
    expect(share(world, 20)).toMatchObject({ type: 'share', lease });
  });

  it('is asked for again, after a while, when the holder had nothing to copy', () => {
    const world = endgame(1, { endgameAfterMs: 200 });
    expect(share(world, 0)).toBeUndefined();
    const { lease, buffer } = share(world, 200)!;
    world.transfer.onShared({ type: 'shared', torrent: 1, lease, buffer });
    expect([share(world, 210), share(world, 409)]).toEqual([undefined, undefined]);
    expect(share(world, 410)).toMatchObject({ type: 'share', lease });
  });
});

describe('beside a model of who sent what', () => {
  interface Block {
    readonly host: string | undefined;
    readonly bad: boolean;
  }

  const gift = fc.record({ peer: fc.constantFrom(1, 2, 3, 4, 95), bad: fc.boolean() });
  const round = fc.record({
    group: fc.nat(1),
    /** What is given for each block that is missing; the rest stays missing. */
    gifts: fc.array(fc.option(gift), { minLength: BLOCKS, maxLength: BLOCKS }),
  });

  it('accuses every liar, once the piece has passed, and never an innocent, whatever group it was in', () => {
    const property = fc.property(fc.array(round, { minLength: 1, maxLength: 12 }), (rounds) => {
      const world = new World(1, { corruptPieceLimit: 1_000 });
      /** What is there of the piece. */
      let held: (Block | undefined)[] = new Array(BLOCKS).fill(undefined);
      const liars = new Set<string>();
      const play = (group: number, gifts: readonly ({ peer: number; bad: boolean } | null)[]): boolean => {
        const lease = world.lease(group);
        expect([...(lease.present ?? [0, 0, 0, 0])]).toEqual(held.map((block) => (block === undefined ? 0 : 1)));
        const givers = new Array<number>(BLOCKS).fill(0);
        // An exclusive piece has one giver, who gives all of it or nothing.
        const alone = lease.exclusive === true ? gifts.find((each) => each !== null) : undefined;
        const given = gifts.map((each) =>
          alone === undefined ? each : { peer: alone!.peer, bad: each?.bad === true },
        );
        for (const [block, each] of given.entries()) {
          if (held[block] !== undefined || each === null) continue;
          givers[block] = each.peer;
          held[block] = { host: each.peer < 90 ? `h${each.peer}` : undefined, bad: each.bad };
        }
        if (held.includes(undefined)) {
          world.returned(
            group,
            lease,
            held.map((block) => (block === undefined ? 0 : 1)),
            givers,
          );
          return false;
        }
        const bad = held.map((block) => block!.bad);
        if (!bad.includes(true)) {
          world.verified(lease);
          return true;
        }
        for (const { host, bad: lied } of held as Block[]) if (lied && host !== undefined) liars.add(host);
        world.corrupt(group, lease, givers, bad);
        held = new Array(BLOCKS).fill(undefined);
        return false;
      };
      const isOver = rounds.some(({ group, gifts }) => play(group, gifts));
      // Honest peers bring it to an end: what was bad of it fails once more.
      const honest = new Array(BLOCKS).fill({ peer: 50, bad: false });
      for (let end = isOver; !end; ) end = play(0, honest);
      expect(new Set(world.guilty)).toEqual(liars);
    });
    fc.assert(property, { numRuns: 500 });
  });
});

describe('while memory is scarce', () => {
  const PIECE = BLOCKS * 16_384;
  /** How many pieces a group gets that wants any number of them. */
  const granted = (world: World): number => {
    world.transfer.onWant(0, 1_000, 1_000);
    while (world.transfer.grant(0, 0));
    world.transfer.flush();
    const leases = world.sent.splice(0).flatMap(([, message]) => (message.type === 'lease' ? message.leases : []));
    return leases.length;
  };

  it('a torrent gets what its rate is worth, and 256 KiB at least', () => {
    const world = new World(1_000);
    // Others have taken what is left of half of it.
    for (let taken = 0; taken < 33; taken++) world.budget.take(PIECE);
    expect(granted(world)).toBe(4);
    world.rate = 10 * PIECE;
    expect(granted(world)).toBe(6);
    world.rate = 0;
    expect(granted(world)).toBe(0);
    expect(world.memory.isSpent).toBe(true);
  });

  it('and gets all it wants as long as it is not, or when nobody else wants any', () => {
    expect(granted(new World(1_000))).toBeGreaterThan(32);
    const world = new World(1_000);
    world.isShared = false;
    for (let taken = 0; taken < 33; taken++) world.budget.take(PIECE);
    expect(granted(world)).toBe(31);
  });
});

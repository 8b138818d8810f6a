import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressKey, type PeerAddress } from '../../../src/protocol/address.js';
import { type PeerConnection, PeerList } from '../../../src/torrent/peer-list.js';

const RECONNECT_MS = 15_000;

const idOf = (name: string): Uint8Array => new TextEncoder().encode(name.padEnd(20, '-'));
const US = idOf('m');
const address = (n: number): PeerAddress => ({ host: `192.0.2.${n >> 8}`, port: 1 + (n & 0xff) });

/** A list and a short way to say what happens to it. */
class World {
  readonly list = new PeerList(US, RECONNECT_MS);
  now = 0;
  #peers = 0;

  add(...numbers: readonly number[]): number {
    return this.list.add(numbers.map(address), this.now);
  }

  dial(group = 0): string | undefined {
    const dialled = this.list.dial(group, this.now);
    return dialled && addressKey(dialled);
  }

  /** A connection is established. @returns it, and the one to drop */
  connect(
    n: number,
    { name = `p${n}`, group = 0, incoming = false } = {},
  ): [PeerConnection, PeerConnection | undefined] {
    const peer = ++this.#peers;
    const drop = this.list.onConnected({ group, peer, address: address(n), peerId: idOf(name), incoming });
    return [this.list.connection(group, peer)!, drop];
  }

  /** Dials an address that is known and connects. */
  reach(n: number, options: { name?: string; group?: number } = {}): PeerConnection {
    expect(this.dial(options.group)).toBe(addressKey(address(n)));
    return this.connect(n, options)[0];
  }

  leave(
    { group, peer }: PeerConnection,
    reason: 'closed' | 'duplicate' | 'self' | 'banned' = 'closed',
    useful = false,
  ): void {
    this.list.onDisconnected(group, peer, reason, useful, this.now);
  }

  /** How long it takes until something is dialled. */
  waits(): number {
    const start = this.now;
    for (; this.now < start + 100_000_000; this.now += 500) if (this.dial() !== undefined) return this.now - start;
    return Number.POSITIVE_INFINITY;
  }
}

describe('addresses', () => {
  it('are dialled once each, the first heard of first', () => {
    const world = new World();
    expect(world.add(3, 1, 3)).toBe(2);
    expect(world.add(1, 2)).toBe(1);
    expect(world.list.known).toBe(3);
    expect([world.dial(), world.dial(), world.dial(), world.dial()]).toEqual([
      '192.0.2.0:4',
      '192.0.2.0:2',
      '192.0.2.0:3',
      undefined,
    ]);
    expect(world.list.dialling).toBe(3);
  });

  it('are dialled in the order of their rank where there is one, among those that failed as often', () => {
    const { list } = new World();
    list.add([1, 2, 3, 4].map(address), 0);
    const ranks = new Map([1, 2, 3, 4].map((n) => [addressKey(address(n)), [5, 9, undefined, 7][n - 1]]));
    const rank = (of: PeerAddress): number | undefined => ranks.get(addressKey(of));
    const dial = () => list.dial(0, 1_000_000, rank)?.port;
    // No rank is a middle one, far above these.
    expect([dial(), dial()]).toEqual([4, 3]);
    list.onDialFailed(address(3), 'refused', 0);
    list.onDialFailed(address(2), 'refused', 0);
    expect([list.waiting, list.hasDue(0), list.hasDue(RECONNECT_MS)]).toEqual([4, true, true]);
    expect([dial(), dial(), dial(), dial(), dial()]).toEqual([5, 2, 4, 3, undefined]);
    expect([list.waiting, list.hasDue(1_000_000)]).toEqual([0, false]);
  });

  it('of incoming peers that had to go for others wait before they are dialled', () => {
    const world = new World();
    const { group, peer } = world.connect(1, { incoming: true })[0];
    world.list.onListens(group, peer, 77);
    world.list.onDisconnected(group, peer, 'useless', false, 0);
    expect([world.list.hasDue(RECONNECT_MS - 1), world.list.hasDue(RECONNECT_MS)]).toEqual([false, true]);
  });

  it('are remembered up to a limit, and room is made by those that bring nothing', () => {
    const world = new World();
    expect(
      world.list.add(
        Array.from({ length: 10_001 }, (_, n) => address(n)),
        0,
      ),
    ).toBe(10_000);
    expect(world.add(20_000)).toBe(0);
    world.dial();
    world.list.onDialFailed(address(0), 'timeout', 0);
    expect(world.list.known).toBe(9_999);
    expect([world.add(20_000), world.add(20_001)]).toEqual([1, 0]);
    // The forgotten one may be heard of again, and a useful one is never forgotten.
    const connection = world.reach(1);
    world.leave(connection, 'closed', true);
    expect(world.list.known).toBe(10_000);
  });

  it('that fail are dialled again, after twice the time each time, at most an hour', () => {
    const world = new World();
    world.add(1);
    world.dial();
    const waits: number[] = [];
    for (let attempt = 0; attempt < 11; attempt++) {
      world.list.onDialFailed(address(1), 'refused', world.now);
      waits.push(world.waits());
    }
    expect(waits.slice(0, 4)).toEqual([15_000, 30_000, 60_000, 120_000]);
    expect(waits.slice(8)).toEqual([3_600_000, 3_600_000, 3_600_000]);
  });

  it('of peers that connect and give nothing wait longer each time, too', () => {
    const world = new World();
    world.add(1);
    const waits: number[] = [];
    world.dial();
    for (let attempt = 0; attempt < 4; attempt++) {
      world.leave(world.connect(1)[0]);
      waits.push(world.waits());
    }
    expect(waits).toEqual([15_000, 30_000, 60_000, 120_000]);
  });

  it('of peers that were of use are dialled again soon', () => {
    const world = new World();
    world.add(1);
    world.dial();
    for (let attempt = 0; attempt < 3; attempt++) {
      world.list.onDialFailed(address(1), 'refused', world.now);
      world.waits();
    }
    world.leave(world.connect(1)[0], 'closed', true);
    expect(world.waits()).toBe(15_000);
    world.leave(world.connect(1)[0], 'closed', false);
    expect(world.waits()).toBe(15_000);
  });

  it('that are ours or banned are not dialled again', () => {
    const world = new World();
    world.add(1, 2);
    world.dial();
    world.list.onDialFailed(address(1), 'self', 0);
    world.leave(world.reach(2), 'banned');
    world.list.ban(address(3));
    expect(world.add(1, 2, 3)).toBe(0);
    expect(world.waits()).toBe(Number.POSITIVE_INFINITY);
    expect([1, 2, 3, 4].map((n) => world.list.isBanned(address(n)))).toEqual([true, true, true, false]);
  });

  it('ignore a failure of what is not being dialled', () => {
    const world = new World();
    world.add(1);
    world.list.onDialFailed(address(1), 'refused', 0);
    world.list.onDialFailed(address(9), 'refused', 0);
    expect([world.list.dialling, world.dial()]).toEqual([0, '192.0.2.0:2']);
  });
});

describe('connections', () => {
  it('are found by group and number until they end', () => {
    const world = new World();
    world.add(1);
    const dialled = world.reach(1);
    const [accepted, drop] = world.connect(2, { incoming: true, group: 1 });
    expect(drop).toBeUndefined();
    expect([world.list.connected, world.list.everConnected]).toEqual([2, true]);
    expect([...world.list.connections()]).toEqual([dialled, accepted]);
    world.leave(dialled);
    world.leave(dialled);
    expect([world.list.connected, world.list.connection(0, 1)]).toEqual([1, undefined]);
    expect(world.list.everConnected).toBe(true);
  });

  it('that were accepted do not make their port an address to dial', () => {
    const world = new World();
    world.leave(world.connect(1, { incoming: true })[0]);
    expect([world.list.known, world.list.isExhausted]).toEqual([0, true]);
    expect(world.list.dial(0, 1e9)).toBeUndefined();
  });

  it('exhaust the list when none is left nor to be dialled', () => {
    const world = new World();
    expect(world.list.isExhausted).toBe(true);
    world.add(1);
    expect(world.list.isExhausted).toBe(false);
    world.dial();
    expect(world.list.isExhausted).toBe(false);
    const [connection] = world.connect(1);
    expect(world.list.isExhausted).toBe(false);
    world.leave(connection, 'closed');
    expect(world.list.isExhausted).toBe(false);
    world.list.ban(address(1));
    expect(world.list.isExhausted).toBe(true);
  });

  it('load the group that dials or has dialled them, and no longer', () => {
    const world = new World();
    world.add(1, 2, 3, 4);
    world.dial(0);
    const second = world.reach(2, { group: 1 });
    const third = world.reach(3, { group: 1 });
    world.dial(1);
    world.connect(9, { incoming: true, group: 1 });
    expect([world.list.load(0), world.list.load(1), world.list.load(2)]).toEqual([1, 3, 0]);
    world.leave(second);
    world.list.onDialFailed(address(4), 'timeout', 0);
    expect(world.list.load(1)).toBe(1);
    world.list.ban(address(3));
    world.leave(third, 'banned');
    world.list.ban(address(1));
    expect([world.list.load(0), world.list.load(1), world.list.dialling]).toEqual([0, 0, 0]);
  });
});

describe('a peer that is connected twice', () => {
  it('keeps the older of two connections from the same end', () => {
    const world = new World();
    world.add(1, 2);
    const first = world.reach(1, { name: 'x' });
    world.dial();
    const [second, drop] = world.connect(2, { name: 'x' });
    expect(drop).toBe(second);
    world.leave(second, 'duplicate');
    expect(world.waits()).toBe(Number.POSITIVE_INFINITY);
    // With the peer gone, both addresses are worth a try.
    world.leave(first, 'closed', true);
    expect(world.dial()).toBe('192.0.2.0:3');
  });

  it('is not dialled again when it is quicker to close what we were about to close', () => {
    const world = new World();
    world.add(1);
    world.connect(9, { name: 'a', incoming: true });
    world.dial();
    const [ours, drop] = world.connect(1, { name: 'a' });
    expect(drop).toBe(ours);
    world.leave(ours, 'closed');
    expect(world.waits()).toBe(Number.POSITIVE_INFINITY);
  });

  it('has its other address back when the connection that stayed goes first', () => {
    const world = new World();
    world.add(1, 2);
    const first = world.reach(1, { name: 'x' });
    world.dial();
    const [second] = world.connect(2, { name: 'x' });
    world.leave(first, 'closed', true);
    world.leave(second, 'duplicate');
    expect(world.dial()).toBe('192.0.2.0:3');
  });

  it('keeps one connection, and both ends the same, whichever end dialled and whenever each end hears of it', () => {
    const dial = fc.record({ byA: fc.boolean(), orderA: fc.integer(), orderB: fc.integer() });
    const names = fc.tuple(
      fc.string({ maxLength: 20, unit: 'binary-ascii' }),
      fc.string({ maxLength: 20, unit: 'binary-ascii' }),
    );
    fc.assert(
      fc.property(names, dial, dial, ([a, b], first, second) => {
        fc.pre(idOf(a).join() !== idOf(b).join());
        // Two connections dialled by the same end are told apart by age, which both ends see alike.
        if (first.byA === second.byA) [second.orderA, second.orderB] = [first.orderA + 1, first.orderB + 1];
        const left = (ours: string, theirs: string, end: 'A' | 'B'): number => {
          const list = new PeerList(idOf(ours), RECONNECT_MS);
          const dials = [first, second].map((each, i) => ({ ...each, peer: i + 1 }));
          dials.sort((x, y) => (end === 'A' ? x.orderA - y.orderA : x.orderB - y.orderB));
          const dropped = dials.map(({ peer, byA }) => {
            const incoming = byA !== (end === 'A');
            return list.onConnected({ group: 0, peer, address: address(peer), peerId: idOf(theirs), incoming })?.peer;
          });
          expect(dropped[0]).toBeUndefined();
          return dropped[1]!;
        };
        expect(left(a, b, 'A')).toBe(left(b, a, 'B'));
      }),
    );
  });

  it('keeps exactly one connection of any number', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 2, maxLength: 6 }), fc.boolean(), (ends, higher) => {
        const world = new World();
        const dropped = new Set<PeerConnection>();
        const all: PeerConnection[] = [];
        for (const [n, incoming] of ends.entries()) {
          const [connection, drop] = world.connect(n, { name: higher ? 'z' : 'a', incoming });
          all.push(connection);
          if (drop !== undefined) {
            expect(dropped.has(drop)).toBe(false);
            dropped.add(drop);
          }
        }
        expect(all.filter((connection) => !dropped.has(connection))).toHaveLength(1);
      }),
    );
  });
});

describe('the death of a group', () => {
  it('makes its peers and dials due at once, elsewhere', () => {
    const world = new World();
    world.add(1, 2, 3);
    world.reach(1, { group: 0 });
    world.reach(2, { group: 1 });
    world.dial(0);
    world.now = 1_000;
    expect(world.list.onGroupDeath(0, world.now)).toEqual([]);
    expect([world.list.connected, world.list.dialling, world.list.load(0)]).toEqual([1, 0, 0]);
    expect([world.dial(1), world.dial(1), world.dial(1)]).toEqual(['192.0.2.0:4', '192.0.2.0:2', undefined]);
    expect(world.list.load(1)).toBe(3);
  });

  it('bans who was there twice, unless it is the only peer', () => {
    const world = new World();
    world.add(1, 2);
    world.reach(1, { group: 0 });
    world.reach(2, { group: 1 });
    expect(world.list.onGroupDeath(0, 0)).toEqual([]);
    world.reach(1, { group: 1 });
    expect(world.list.onGroupDeath(1, 0).map(({ address: { port } }) => port)).toEqual([2]);
    expect(world.list.isBanned(address(1))).toBe(true);
    expect(world.list.isBanned(address(2))).toBe(false);
    // Alone now, the other one may be there at any number of deaths.
    for (let death = 0; death < 3; death++) {
      world.reach(2, { group: 0 });
      expect(world.list.onGroupDeath(0, 0)).toEqual([]);
    }
    expect(world.list.load(0) + world.list.load(1)).toBe(0);
  });
});

describe('beside a plain count', () => {
  it('its numbers are true whatever happens', () => {
    const step = fc.record({
      do: fc.constantFrom(
        'add' as const,
        'dial' as const,
        'dial' as const,
        'fail' as const,
        'connect' as const,
        'accept' as const,
        'leave' as const,
        'ban' as const,
        'death' as const,
        'wait' as const,
      ),
      pick: fc.nat(20),
      group: fc.nat(1),
      useful: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (script) => {
        const world = new World();
        /** Group by address that is dialled, and by connection that was dialled or accepted. */
        const dials = new Map<number, number>();
        let connections: { connection: PeerConnection; n: number }[] = [];
        const numberOf = ({ port }: PeerAddress): number => port - 1;
        for (const { do: action, pick, group, useful } of script) {
          if (action === 'add') world.add(pick);
          else if (action === 'dial') {
            const dialled = world.list.dial(group, world.now);
            if (dialled !== undefined) dials.set(numberOf(dialled), group);
          } else if (action === 'fail' || action === 'connect') {
            const [n, where] = [...dials][pick % Math.max(1, dials.size)] ?? [];
            if (n === undefined || where === undefined) continue;
            dials.delete(n);
            if (action === 'fail') world.list.onDialFailed(address(n), 'timeout', world.now);
            else connections.push({ connection: world.connect(n, { group: where })[0], n });
          } else if (action === 'accept') {
            const [connection] = world.connect(100 + pick, { incoming: true, group });
            connections.push({ connection, n: -1 });
          } else if (action === 'leave' && connections.length > 0) {
            const [gone] = connections.splice(pick % connections.length, 1);
            world.leave(gone!.connection, 'closed', useful);
          } else if (action === 'ban') {
            world.list.ban(address(pick));
            dials.delete(pick);
            for (const held of connections) if (held.n === pick) held.n = -1;
          } else if (action === 'death') {
            for (const { address: banned } of world.list.onGroupDeath(group, world.now)) {
              expect(world.list.isBanned(banned)).toBe(true);
            }
            for (const [n, where] of dials) if (where === group) dials.delete(n);
            connections = connections.filter(({ connection }) => connection.group !== group);
          } else if (action === 'wait') world.now += 60_000;
          expect(world.list.connected).toBe(connections.length);
          expect(world.list.dialling).toBe(dials.size);
          for (const each of [0, 1]) {
            const dialled = [...dials.values()].filter((where) => where === each).length;
            const held = connections.filter(({ connection, n }) => connection.group === each && n !== -1).length;
            expect(world.list.load(each)).toBe(dialled + held);
          }
          expect(world.list.isExhausted || world.list.known > 0 || connections.length > 0).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

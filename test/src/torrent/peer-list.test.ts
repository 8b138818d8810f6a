import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressKey, type PeerAddress } from '../../../src/protocol/address.js';
import { type PeerConnection, PeerList } from '../../../src/torrent/peer-list.js';

const RECONNECT_MS = 15_000;
const SILENT_MS = 30_000;

const idOf = (name: string): Uint8Array => new TextEncoder().encode(name.padEnd(20, '-'));
const US = idOf('m');
const address = (n: number): PeerAddress => ({ host: `192.0.2.${n >> 8}`, port: 1 + (n & 0xff) });

/** Each at a host of its own. */
const far = (n: number): PeerAddress => ({ host: `198.18.${n >> 8}.${n & 0xff}`, port: 6881 });

/** A list and a short way to say what happens to it. */
class World {
  readonly list = new PeerList(US, RECONNECT_MS, 'prefer', SILENT_MS);
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
    const drop = this.list.onConnected({ group, peer, address: address(n), peerId: idOf(name), incoming }, this.now);
    return [this.list.connection(group, peer)!, drop];
  }

  /** Dials an address that is known and connects. */
  reach(n: number, options: { name?: string; group?: number } = {}): PeerConnection {
    expect(this.dial(options.group)).toBe(addressKey(address(n)));
    return this.connect(n, options)[0];
  }

  leave(
    { group, peer }: PeerConnection,
    reason: 'closed' | 'duplicate' | 'self' | 'banned' | 'both-seeds' = 'closed',
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
    world.list.onListens(group, peer, 77, 0);
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

  it('of a host that floods them are few, and those of a tracker are dialled first all the same', () => {
    const { list } = new World();
    const flood = Array.from({ length: 9_000 }, (_, n) => far(n));
    expect(list.add(flood.slice(0, 150), 0, 'evil')).toBe(150);
    expect(list.add(flood.slice(100), 0, 'evil')).toBe(50);
    expect(list.add(flood.slice(200), 0, 'other')).toBe(200);
    expect(list.add([far(10_000)], 0)).toBe(1);
    expect([list.dial(0, 0), list.dial(0, 0)]).toEqual([far(10_000), far(0)]);
    // Who failed as often waits, too, and who failed more often comes later.
    list.onDialFailed(far(10_000), 'timeout', 0);
    list.onDialFailed(far(0), 'timeout', 0);
    for (let n = 1; n < 400; n++) expect(list.dial(0, RECONNECT_MS)).toEqual(far(n));
    expect([list.dial(0, RECONNECT_MS), list.dial(0, RECONNECT_MS)]).toEqual([far(10_000), far(0)]);
  });

  it('that peers tell of are half at most, and an untried one makes room for each of a tracker', () => {
    const { list } = new World();
    for (let n = 0; n < 30; n++) {
      const told = Array.from({ length: 200 }, (_, i) => far(200 * n + i));
      expect(list.add(told, 0, `host ${n}`)).toBe(n < 25 ? 200 : 0);
    }
    expect(list.dial(0, 0)).toEqual(far(0));
    const tracked = Array.from({ length: 10_000 }, (_, n) => far(20_000 + n));
    expect(list.add(tracked.slice(0, 5_000), 0)).toBe(5_000);
    expect([list.known, list.waiting]).toEqual([10_000, 9_999]);
    // All of hearsay goes but the one that is being dialled.
    expect(list.add(tracked, 0)).toBe(4_999);
    expect([list.known, list.waiting]).toEqual([10_000, 9_999]);
    expect(list.add([far(1)], 0, 'late')).toBe(0);
    list.onDialFailed(far(0), 'timeout', 0);
    expect(list.known).toBe(9_999);
    expect([list.add([far(1)], 0, 'late'), list.add([far(1)], 0)]).toEqual([1, 0]);
  });

  it('that a peer told of are believed when a tracker names them, or a connection is made', () => {
    const world = new World();
    const { list } = world;
    const told = Array.from({ length: 200 }, (_, n) => ([0, 7, 9].includes(n) ? address : far)(n));
    list.add(told, 0, 'host');
    expect(list.add([address(9), address(7)], 0)).toBe(0);
    world.reach(9);
    world.reach(7);
    world.reach(0);
    expect(list.add([300, 301, 302, 303].map(far), 0, 'host')).toBe(3);
  });

  it('that a peer told of make room for others of it when they failed three times', () => {
    const world = new World();
    const { list } = world;
    list.add([address(0)], 0, 'host');
    const fails = (): void => {
      expect(world.dial()).toBe(addressKey(address(0)));
      list.onDialFailed(address(0), 'timeout', world.now);
      world.now += 60_000;
    };
    fails();
    fails();
    // Untried ones, due much later.
    const others = Array.from({ length: 199 }, (_, n) => far(1 + n));
    expect(list.add(others, 1e9, 'host')).toBe(199);
    expect(list.add([far(500)], 1e9, 'host')).toBe(0);
    fails();
    expect(list.add([far(500), far(501)], 1e9, 'host')).toBe(1);
  });

  it('that peers tell of are eight of one host, whoever tells them; what it says of itself and what a tracker says come beside', () => {
    const { list } = new World();
    const ports = (from: number) => Array.from({ length: 100 }, (_, n) => ({ ...address(0), port: from + n }));
    expect([list.add(ports(1), 0, 'evil'), list.add(ports(200), 0, 'other')]).toEqual([8, 0]);
    expect(list.add([far(1)], 0, 'evil')).toBe(1);
    expect(list.add(ports(300).slice(0, 1), 0, address(0).host)).toBe(1);
    expect(list.add(ports(400).slice(0, 20), 0)).toBe(20);
  });

  it.each([
    ['both-seeds', Number.POSITIVE_INFINITY],
    ['closed', 15_000],
  ] as const)(
    'of peers that leave with "%s" go on waiting when these come in and leave in the same way',
    (reason, waitMs) => {
      const world = new World();
      world.add(1);
      world.leave(world.reach(1), reason);
      const back = world.connect(1, { incoming: true })[0];
      world.list.onListens(back.group, back.peer, address(1).port, world.now);
      world.leave(back, reason);
      expect(world.waits()).toBe(waitMs);
    },
  );

  it('of seeds that come in are not dialled by a seed', () => {
    const world = new World();
    const seed = world.connect(1, { incoming: true })[0];
    world.list.onListens(seed.group, seed.peer, 77, 0);
    world.leave(seed, 'both-seeds');
    expect(world.waits()).toBe(Number.POSITIVE_INFINITY);
  });

  it('of seeds are not dialled again by a seed', () => {
    const world = new World();
    world.add(1);
    world.leave(world.reach(1), 'both-seeds');
    expect(world.waits()).toBe(Number.POSITIVE_INFINITY);
    expect(world.list.isBanned(address(1))).toBe(false);
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
    const [world, other] = [new World(), 256];
    world.add(1, 2);
    world.dial();
    world.list.onDialFailed(address(1), 'self', 0);
    world.leave(world.reach(2), 'banned');
    world.list.ban(address(other).host);
    expect(world.add(1, 2, other)).toBe(0);
    expect(world.waits()).toBe(Number.POSITIVE_INFINITY);
    expect([1, 2, other, 4].map((n) => world.list.isBanned(address(n)))).toEqual([true, true, true, false]);
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
    world.list.ban(address(1).host);
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
    world.list.ban(address(3).host);
    world.leave(third, 'banned');
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
    world.connect(9, { name: 'z', incoming: true });
    world.dial();
    const [ours, drop] = world.connect(1, { name: 'z' });
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
            return list.onConnected({ group: 0, peer, address: address(peer), peerId: idOf(theirs), incoming }, 0)
              ?.peer;
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

describe('a peer id that is claimed twice', () => {
  /** Both claim it, from other hosts, the second one `waitMs` later. @returns who goes */
  function claim(
    { incoming, works = false }: { incoming: boolean; works?: boolean },
    then: { incoming: boolean; waitMs: number; host?: number },
    name = 'z',
  ): 'first' | 'second' {
    const world = new World();
    const [first] = world.connect(1, { name, incoming });
    world.now += then.waitMs;
    if (works) world.list.onWorking(first.group, first.peer, world.now);
    const [second, drop] = world.connect((then.host ?? 1) << 8, { name, incoming: then.incoming });
    expect([first, second]).toContain(drop);
    return drop === first ? 'first' : 'second';
  }

  it('goes to the newcomer when the first one has moved no payload for long, whoever dialled', () => {
    for (const [first, second, host] of [
      [true, true, 1],
      [true, false, 1],
      [false, true, 0],
      [false, false, 0],
    ] as const) {
      expect(claim({ incoming: first }, { incoming: second, waitMs: SILENT_MS, host })).toBe('first');
      expect(claim({ incoming: first, works: true }, { incoming: second, waitMs: SILENT_MS, host })).toBe('second');
    }
  });

  it('stays with the first one when a stranger of the same address family comes soon after', () => {
    for (const incoming of [false, true]) {
      for (const name of ['a', 'z']) {
        expect(claim({ incoming }, { incoming: !incoming, waitMs: 1 }, name)).toBe('second');
      }
    }
  });

  it('stays with the first one that has worked when dials of both families cross, else with the higher dialler', () => {
    const cross = (works: boolean, name: string): boolean => {
      const world = new World();
      const [first] = world.connect(1, { name, incoming: true });
      world.now++;
      if (works) world.list.onWorking(first.group, first.peer, world.now);
      const peer = {
        group: 1,
        peer: 1,
        address: { host: '2001:db8::1', port: 1 },
        peerId: idOf(name),
        incoming: false,
      };
      return world.list.onConnected(peer, world.now) !== first;
    };
    expect([cross(true, 'a'), cross(true, 'z'), cross(false, 'a'), cross(false, 'z')]).toEqual([
      true,
      true,
      false,
      true,
    ]);
  });

  it('of a peer that works is not lost to any number of newcomers', () => {
    const world = new World();
    const [owner] = world.connect(1, { name: 'z', incoming: true });
    for (let n = 1; n < 50; n++) {
      world.now += 10_000;
      world.list.onWorking(owner.group, owner.peer, world.now);
      const [thief, drop] = world.connect(n << 8, { name: 'z', incoming: n % 2 === 0 });
      expect(drop).toBe(thief);
      world.leave(thief, 'duplicate');
    }
  });

  it('keeps the address of its owner from being dialled only as long as the thief is not known to be silent', () => {
    const world = new World();
    const [thief] = world.connect(1 << 8, { name: 'z', incoming: true });
    world.list.onWorking(thief.group, thief.peer, 0);
    world.add(1);
    world.dial();
    world.leave(world.connect(1, { name: 'z' })[0], 'duplicate');
    let dialled: string | undefined;
    for (; dialled === undefined; dialled = world.dial()) {
      world.now += 500;
      world.list.freeSilentTwins(world.now);
    }
    expect(world.now).toBeGreaterThanOrEqual(SILENT_MS);
    expect(world.now).toBeLessThanOrEqual(2 * SILENT_MS);
    expect(world.connect(1, { name: 'z' })[1]).toBe(thief);
  });

  it('has a peer that is idle at two hosts change between them less and less often', () => {
    const world = new World();
    world.add(1, 256);
    world.reach(1, { name: 'z' });
    world.dial();
    world.leave(world.connect(256, { name: 'z' })[0], 'duplicate');
    const changes: number[] = [];
    for (; world.now < 20 * 3_600_000; world.now += 1_000) {
      world.list.freeSilentTwins(world.now);
      const dialled = world.dial();
      if (dialled === undefined) continue;
      const [, drop] = world.connect(dialled === '192.0.2.0:2' ? 1 : 256, { name: 'z' });
      world.leave(drop!, 'duplicate');
      changes.push(world.now);
    }
    expect(changes.filter((at) => at < 3_600_000).length).toBeLessThan(20);
    expect(changes.filter((at) => at > 19 * 3_600_000).length).toBeLessThan(4);
  });

  it('does not have the idle owner dialled at the other port of its host', () => {
    const world = new World();
    const [idle] = world.connect(1, { name: 'z', incoming: true });
    world.list.onListens(idle.group, idle.peer, 7, world.now);
    for (; world.now < 10 * SILENT_MS; world.now += 500) world.list.freeSilentTwins(world.now);
    expect(world.dial()).toBeUndefined();
    world.leave(idle);
    expect(world.dial()).toBe('192.0.2.0:7');
  });
});

describe('a ban', () => {
  const [evil, port2] = [256, 257];

  it('is of the host: all its addresses and connections, those to come too, and nobody else', () => {
    const world = new World();
    world.add(1, evil, port2);
    world.reach(1);
    const dialled = world.reach(evil);
    const [accepted] = world.connect(evil + 9, { incoming: true, group: 1 });
    world.dial();
    const { host } = address(evil);
    expect(world.list.ban(host)).toEqual([dialled, accepted]);
    expect([world.list.isBannedHost(host), world.list.dialling, world.list.load(0)]).toEqual([true, 0, 1]);
    expect([evil, port2, evil + 77, 1, 2].map((n) => world.list.isBanned(address(n)))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    world.leave(dialled, 'banned');
    expect(world.add(evil + 3, 2)).toBe(1);
    expect([world.dial(), world.waits()]).toEqual(['192.0.2.0:3', Number.POSITIVE_INFINITY]);
  });

  it('is not of a host whose address waits for its connected twin to leave', () => {
    const world = new World();
    world.add(1, 2);
    world.reach(1, { name: 'x' });
    world.dial();
    const [second] = world.connect(2, { name: 'x' });
    world.leave(second, 'duplicate');
    expect(world.list.isBanned(address(2))).toBe(false);
  });

  it('is forgotten when 10,000 others have come after it', () => {
    const world = new World();
    for (let n = 0; n <= 10_000; n++) world.list.ban(`10.0.${n >> 8}.${n & 255}`);
    const known = ['10.0.0.0', '10.0.0.1', '10.0.39.16'].map((host) => world.list.isBannedHost(host));
    expect(known).toEqual([false, true, true]);
  });
});

describe('the host of a connection', () => {
  it('is known after it has gone, and until its group dies', () => {
    const world = new World();
    const [here] = world.connect(1);
    const [there] = world.connect(256, { group: 1 });
    world.leave(here);
    world.leave(there, 'banned');
    expect([world.list.hostOf(0, here.peer), world.list.hostOf(1, there.peer)]).toEqual(['192.0.2.0', '192.0.2.1']);
    expect(world.list.hostOf(0, there.peer)).toBeUndefined();
    world.connect(2);
    world.list.onGroupDeath(0, 0);
    expect([1, 2, 3].map((peer) => world.list.hostOf(0, peer))).toEqual([undefined, undefined, undefined]);
    expect(world.list.hostOf(1, there.peer)).toBe('192.0.2.1');
  });

  it('is forgotten when 4,000 others have gone after it', () => {
    const world = new World();
    for (let n = 0; n <= 4_000; n++) world.leave(world.connect(1)[0]);
    expect([world.list.hostOf(0, 1), world.list.hostOf(0, 2)]).toEqual([undefined, '192.0.2.0']);
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
        // Two ports on each host.
        const at = (pick: number): number => ((pick >> 1) << 8) | (pick & 1);
        const numberOf = ({ host, port }: PeerAddress): number => (Number(host.split('.')[3]) << 8) | (port - 1);
        for (const { do: action, pick, group, useful } of script) {
          if (action === 'add') world.add(at(pick));
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
            const [connection] = world.connect(at(100 + pick), { incoming: true, group });
            connections.push({ connection, n: -1 });
          } else if (action === 'leave' && connections.length > 0) {
            const [gone] = connections.splice(pick % connections.length, 1);
            world.leave(gone!.connection, 'closed', useful);
          } else if (action === 'ban') {
            const { host } = address(at(pick));
            const open = connections.filter(({ connection }) => connection.address.host === host);
            expect(new Set(world.list.ban(host))).toEqual(new Set(open.map(({ connection }) => connection)));
            for (const n of [...dials.keys()]) if (address(n).host === host) dials.delete(n);
            for (const held of open) held.n = -1;
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

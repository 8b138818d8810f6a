import { beforeEach, describe, expect, it } from 'vitest';
import type { ToGroup } from '../../src/messages.js';
import { type Options, resolveOptions } from '../../src/options.js';
import { Peers } from '../../src/peers.js';
import { peerPriority } from '../../src/protocol/peer-priority.js';
import { Census } from '../../src/torrent/census.js';
import { ExternalAddress } from '../../src/torrent/external-address.js';

const US = { host: '203.0.113.5', port: 6881 };
const idOf = (name: string): Uint8Array => new TextEncoder().encode(name.padEnd(20, '-'));
const at = (n: number) => ({ host: `198.51.100.${n}`, port: 1_000 + n });
const rankOf = (n: number): number => peerPriority(US, at(n))!;
/** Of some peers those of the highest priority first. */
const ranked = (...numbers: number[]): number[] => numbers.sort((a, b) => rankOf(b) - rankOf(a));

/** Main's peers of one torrent, and short ways to say what happens to them. */
class World {
  readonly sent: { group: number; message: ToGroup }[] = [];
  readonly peers: Peers;
  readonly census = new Census(1_000);
  now = 1_000_000;

  constructor(options: Partial<Options> = {}, external = new ExternalAddress(US.host)) {
    this.peers = new Peers(
      {
        torrent: 7,
        ownId: idOf('us'),
        options: resolveOptions({ peersPerTorrent: 3, ...options }),
        encryption: 'off',
        families: [4, 6],
        port: US.port,
        external,
        census: this.census,
        send: (group, message) => this.sent.push({ group, message }),
      },
      { onCanDial: () => {}, onDial: () => {}, onPeer: () => {}, onWarning: () => {} },
    );
  }

  /** Dials what may be dialled. @returns whom */
  dial(allowance = 100): number[] {
    this.peers.dial([0], allowance, this.now);
    return this.sent.splice(0).flatMap(({ message }) => (message.type === 'connect' ? [message.port - 1_000] : []));
  }

  /** A peer is connected, as number `n` of a group. */
  connect(n: number, incoming = false, group = 0): void {
    const connected = { type: 'connected', torrent: 7, peer: n, ...at(n), peerId: idOf(`peer ${n}`) } as const;
    this.peers.onConnected(group, { ...connected, incoming }, this.now);
  }

  /** A peer has gone, as it was told to. */
  leave(n: number, group = 0): void {
    const gone = { type: 'disconnected', torrent: 7, peer: n, reason: 'useless' } as const;
    this.peers.onDisconnected(group, { ...gone, downloaded: 5, uploaded: 5 }, this.now);
  }

  survey(useless: number[], quiet: number[] = [], group = 0): void {
    this.peers.onSurvey(group, { type: 'survey', torrent: 7, useless, quiet, seeds: [] });
  }

  /** Who has been told to go since the last call, and why. */
  dropped(): [number, string][] {
    return this.sent
      .splice(0)
      .flatMap(({ message }) =>
        message.type === 'drop' ? [[message.peers[0]!, message.reason] as [number, string]] : [],
      );
  }
}

describe('addresses that peers tell of', () => {
  const many = (n: number) => Array.from({ length: 100 }, (_, i) => ({ host: `192.0.2.${i}`, port: n }));

  it('are few of one host, however often it connects', () => {
    const world = new World();
    for (let n = 1; n <= 50; n++) {
      const address = { host: '198.51.100.1', port: n };
      const connected = { type: 'connected', torrent: 7, peer: n, peerId: idOf(`${n}`), incoming: true } as const;
      world.peers.onConnected(0, { ...connected, ...address }, world.now);
      // Also what comes after it has gone is known to be its.
      if (n > 25) world.leave(n);
      world.peers.onDiscovered(0, n, many(n), world.now);
    }
    expect(world.peers.known).toBe(200);
    world.connect(99, true);
    world.peers.onDiscovered(0, 99, many(99), world.now);
    expect(world.peers.known).toBe(300);
  });

  it('are not of loopback, unless the peer is there', () => {
    const world = new World();
    const hosts = ['127.0.0.1', '127.9.9.9', '::1'];
    const known = (teller: string): number => {
      const peer = {
        type: 'connected',
        torrent: 7,
        host: teller,
        port: 5,
        peerId: idOf(teller),
        incoming: true,
      } as const;
      world.peers.onConnected(0, { ...peer, peer: 1 }, world.now);
      world.peers.onDiscovered(
        0,
        1,
        hosts.map((host) => ({ host, port: 631 })),
        world.now,
      );
      return world.peers.known;
    };
    expect([known('198.51.100.1'), known('127.0.0.1')]).toEqual([0, 3]);
  });

  it('are not taken from a peer that is banned or unknown', () => {
    const world = new World();
    world.peers.ban(at(1).host);
    world.connect(1, true);
    for (const peer of [1, 2]) world.peers.onDiscovered(0, peer, many(1), world.now);
    expect(world.peers.known).toBe(0);
  });
});

describe('a peer that has come in and says where it listens', () => {
  it.each(['before', 'after'])('is not dialled, when a tracker named it %s that', (when) => {
    const world = new World();
    const tracked = (): void => world.peers.add([{ ...at(1), port: 1_002 }], world.now);
    if (when === 'before') tracked();
    world.connect(1, true);
    world.peers.onListens(0, 1, 1_002, world.now);
    if (when === 'after') tracked();
    expect(world.dial()).toEqual([]);
    world.leave(1);
    world.now += 3_600_000;
    expect(world.dial()).toEqual([2]);
  });
});

describe('with more addresses than room', () => {
  it('those of the highest canonical priority are dialled first', () => {
    const world = new World();
    world.peers.add([1, 2, 3, 4, 5, 6, 7, 8].map(at), world.now);
    expect(world.dial()).toEqual(ranked(1, 2, 3, 4, 5, 6, 7, 8).slice(0, 3));
  });

  it('those heard of first are dialled first as long as our address is unknown', () => {
    const world = new World({}, new ExternalAddress());
    world.peers.add([1, 2, 3, 4, 5, 6, 7, 8].map(at), world.now);
    expect(world.dial(1)).toEqual([1]);
    for (const n of [8, 1]) {
      world.connect(n);
      world.peers.onSeenAs(0, n, US.host);
    }
    world.peers.onSeenAs(0, 99, '203.0.113.66');
    expect(world.dial(1)).toEqual(ranked(2, 3, 4, 5, 6, 7, 8).slice(0, 1));
  });

  it('ours is not among them, as far as we know it', () => {
    const world = new World();
    world.peers.add([US, at(1)], world.now);
    expect([world.peers.known, world.dial()]).toEqual([1, [1]]);
    world.peers.add([{ ...US, port: US.port + 1 }], world.now);
    expect(world.peers.known).toBe(2);
  });

  it('are not dialled when nobody can have them', () => {
    const world = new World();
    const hosts = ['0.0.0.0', '0.1.2.3', '224.0.0.1', '239.255.255.250', '255.255.255.255', '::', 'ff02::1'];
    world.peers.add(
      hosts.map((host) => ({ host, port: 80 })),
      world.now,
    );
    expect(world.peers.known).toBe(0);
  });

  it('are dialled at once as far as there is room, and then thirty in a second', () => {
    const world = new World({ peersPerTorrent: 10 });
    world.peers.add(
      Array.from({ length: 200 }, (_, n) => at(n)),
      world.now,
    );
    const counts = [];
    for (let ms = 0; ms <= 1_000; ms += 100, world.now += 100) {
      const dialled = world.dial();
      counts.push(dialled.length);
      for (const n of dialled) {
        const failed = { type: 'connectFailed', torrent: 7, ...at(n), reason: 'refused' } as const;
        world.peers.onConnectFailed(failed, world.now);
      }
    }
    expect(counts).toEqual([10, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
  });

  it('with room for all, they are dialled as they were heard of', () => {
    const world = new World({ peersPerTorrent: 8 });
    world.peers.add([5, 1, 3].map(at), world.now);
    expect(world.dial()).toEqual([5, 1, 3]);
  });
});

describe('in a full torrent', () => {
  let world: World;
  beforeEach(() => {
    world = new World({ turnoverPerMinute: 2 });
    world.peers.add([1, 2, 3].map(at), world.now);
    for (const n of world.dial()) world.connect(n);
  });

  it('a useless peer makes room for addresses that wait, and is dialled again after them', () => {
    world.survey([2]);
    expect([world.peers.makeRoom(false, world.now), world.dropped()]).toEqual([false, []]);
    world.peers.add([at(4)], world.now);
    expect([world.peers.makeRoom(false, world.now), world.dropped()]).toEqual([true, [[2, 'useless']]]);
    // It has not gone yet.
    expect([world.peers.makeRoom(false, world.now), world.dropped(), world.dial()]).toEqual([false, [], []]);
    world.leave(2);
    world.now += 3_600_000;
    expect(world.dial()).toEqual([4]);
  });

  it('peers in use and quiet ones stay, whoever waits', () => {
    world.peers.add([at(4)], world.now);
    world.survey([], [1, 2, 3]);
    expect([world.peers.makeRoom(false, world.now), world.dropped()]).toEqual([false, []]);
  });

  it('useless peers that came in keep no place that could be dialled for', () => {
    world.connect(9, true);
    world.survey([9]);
    world.peers.add([at(4)], world.now);
    expect([world.peers.makeRoom(false, world.now), world.dropped()]).toEqual([false, []]);
    // In a full session they do.
    expect([world.peers.makeRoom(true, world.now), world.dropped()]).toEqual([true, [[9, 'useless']]]);
    expect([world.peers.makeRoom(true, world.now), world.dropped()]).toEqual([true, []]);
  });

  it('a few a minute go, and no more', () => {
    world.peers.add([4, 5, 6].map(at), world.now);
    world.survey([1, 2, 3]);
    const gone = [];
    world.now += 1_000;
    for (let i = 0; i < 60; i++, world.now += 1_000) {
      world.peers.makeRoom(false, world.now);
      for (const [n] of world.dropped()) {
        gone.push(n);
        world.leave(n);
        for (const next of world.dial()) world.connect(next);
      }
    }
    expect(gone).toHaveLength(2);
  });

  it('with room to dial nobody goes', () => {
    world.leave(3);
    world.peers.add([at(4)], world.now);
    world.survey([1]);
    expect([world.peers.makeRoom(false, world.now), world.dropped()]).toEqual([false, []]);
  });
});

describe('at a crowded door', () => {
  let world: World;
  beforeEach(() => {
    world = new World({ turnoverPerMinute: 10 });
    for (const n of [11, 12, 13]) world.connect(n, true);
    expect(world.dropped()).toEqual([]);
  });

  it('a newcomer is turned away while all are of use', () => {
    world.connect(14, true);
    expect(world.dropped()).toEqual([[14, 'full']]);
  });

  it('a useless peer that came in makes room for it; a dialled one would not', () => {
    world.peers.add([at(1)], world.now);
    for (const n of world.dial()) world.connect(n);
    world.survey([1]);
    world.connect(14, true);
    expect(world.dropped()).toEqual([[14, 'full']]);
    world.leave(14);
    world.survey([1, 12]);
    world.connect(15, true);
    expect(world.dropped()).toEqual([[12, 'useless']]);
    world.leave(12);
    world.connect(16, true);
    expect(world.dropped()).toEqual([[16, 'full']]);
  });

  it('a quiet peer makes room for one of higher canonical priority alone', () => {
    const [best, middle, worst] = ranked(17, 20, 21) as [number, number, number];
    world = new World({ peersPerTorrent: 1 });
    world.connect(middle, true);
    world.survey([], [middle]);
    world.connect(worst, true);
    expect(world.dropped()).toEqual([[worst, 'full']]);
    world.leave(worst);
    world.connect(best, true);
    expect(world.dropped()).toEqual([[middle, 'useless']]);
  });

  it('is not let in when the session is full, unless somebody of any kind makes room', () => {
    world = new World({ peersPerTorrent: 80 });
    world.peers.add([at(1)], world.now);
    for (const n of world.dial()) world.connect(n);
    // Another torrent has all the other places.
    world.census.onChange(999, 0);
    world.connect(14, true);
    expect(world.dropped()).toEqual([[14, 'full']]);
    world.leave(14);
    world.survey([1]);
    world.connect(15, true);
    expect(world.dropped()).toEqual([[1, 'useless']]);
  });
});

describe('the session', () => {
  it('counts who is connected and dialled, until they go or their group or the torrent does', () => {
    const world = new World({ peersPerTorrent: 80 });
    const counts = (): [number, number] => [world.census.excess + 1_000 - world.census.dialling, world.census.dialling];
    world.peers.add([1, 2, 3].map(at), world.now);
    expect([world.dial().length, counts()]).toEqual([3, [0, 3]]);
    for (const n of [1, 2]) world.connect(n);
    world.peers.onConnectFailed({ type: 'connectFailed', torrent: 7, ...at(3), reason: 'refused' }, world.now);
    world.connect(9, true, 1);
    expect(counts()).toEqual([3, 0]);
    world.leave(2);
    world.peers.onGroupDeath(1, world.now);
    expect(counts()).toEqual([1, 0]);
    world.peers.leave();
    expect(counts()).toEqual([0, 0]);
  });
});

describe('the peers that others are told of', () => {
  it('are those of all groups, until they leave or their group dies', () => {
    const world = new World({ surveyMs: 10 });
    world.connect(1, false, 0);
    world.connect(2, true, 1);
    world.peers.onListens(1, 2, 51_413, world.now);
    world.peers.onSurvey(0, { type: 'survey', torrent: 7, useless: [], quiet: [], seeds: [1] });
    expect(world.peers.rosterNews(world.now)).toEqual([
      { ...at(1), flags: 0x12 },
      { host: at(2).host, port: 51_413, flags: 0 },
    ]);
    world.leave(1);
    expect(world.peers.rosterNews(world.now + 10)).toHaveLength(1);
    world.peers.onGroupDeath(1, world.now);
    expect(world.peers.rosterNews(world.now + 20)).toEqual([]);
  });

  it('are not those that were turned away', () => {
    const world = new World({ peersPerTorrent: 1, surveyMs: 10 });
    for (const n of [1, 2]) world.connect(n, true);
    expect(world.dropped()).toEqual([[2, 'full']]);
    world.leave(2);
    for (const n of [1, 2]) world.peers.onListens(0, n, 6_000 + n, world.now);
    expect(world.peers.rosterNews(world.now)?.map(({ port }) => port)).toEqual([6_001]);
  });
});

import { describe, expect, it } from 'vitest';
import type { ToGroup, TorrentStats } from '../../src/messages.js';
import type { PieceIndex } from '../../src/torrent/geometry.js';
import { TorrentGroups } from '../../src/torrent-groups.js';

const TORRENT = { infohash: new Uint8Array(20), peerId: new Uint8Array(20), port: 6881 };
const METAINFO = {
  geometry: { length: 10, pieceLength: 10 },
  shared: new SharedArrayBuffer(0),
  private: false,
  metadataSize: 1,
  root: '.',
  files: [],
  have: new Uint8Array(1),
  wanted: new Uint8Array(1),
};

function start(...groups: number[]) {
  const sent: [number, ToGroup][] = [];
  const options = { haveBatchMs: 100, uploadSlots: 8, chokeRoundMs: 10_000 };
  const all = new TorrentGroups(7, options, (group, message) => sent.push([group, message]));
  for (const group of groups) all.add(group, TORRENT, METAINFO);
  const types = () => sent.splice(0).map(([group, { type }]) => `${group} ${type}`);
  return { all, sent, types };
}

const NO_STATS: TorrentStats = {
  torrent: 7,
  downloaded: 0,
  uploaded: 0,
  wasted: 0,
  peers: 0,
  interested: 0,
  working: [],
  active: 0,
};
const statsOf = (stats: Partial<TorrentStats>): TorrentStats => ({ ...NO_STATS, ...stats });

const piece = (index: number): PieceIndex => index as PieceIndex;

describe('TorrentGroups', () => {
  it('tells a group of the torrent once', () => {
    const { all, types } = start(0, 2);
    all.add(2, TORRENT, METAINFO);
    expect(types().filter((type) => !type.endsWith('slots'))).toEqual([
      '0 addTorrent',
      '0 metainfo',
      '2 addTorrent',
      '2 metainfo',
    ]);
    expect(all.all).toEqual([0, 2]);
  });

  it('tells of written pieces in batches', () => {
    const { all, sent, types } = start(0, 1);
    types();
    all.onWritten(piece(3));
    all.onTick(1_000);
    all.onWritten(piece(4));
    all.onWritten(piece(5));
    all.onTick(1_099);
    expect(types()).toEqual(['0 have', '1 have']);
    all.onTick(1_100);
    expect(sent).toEqual([
      [0, { type: 'have', torrent: 7, pieces: [4, 5] }],
      [1, { type: 'have', torrent: 7, pieces: [4, 5] }],
    ]);
  });

  it('has left when every group has answered or died', async () => {
    const { all, types } = start(0, 1);
    types();
    let left = false;
    const leaving = all.leave().then(() => {
      left = true;
    });
    expect(types()).toEqual(['0 removeTorrent', '1 removeTorrent']);
    all.onRemoved(1);
    await Promise.resolve();
    expect(left).toBe(false);
    all.onRemoved(0);
    await leaving;
    expect(all.all).toEqual([]);
  });

  it('has left at once where no group knows the torrent', async () => {
    await start().all.leave();
  });

  it('sums the active peers of the groups that are there', () => {
    const { all } = start(0, 1);
    const stats = (active: number) => statsOf({ peers: active, active });
    all.onStats(0, stats(2));
    all.onStats(1, stats(3));
    all.onStats(5, stats(100));
    expect(all.activePeers).toBe(5);
    all.onRemoved(0);
    expect(all.activePeers).toBe(3);
  });

  it('tells a group that joins later of the peers, and all of them when they change', () => {
    const { all, sent } = start(0);
    const peers = [{ host: '192.0.2.1', port: 1, flags: 0x10 }];
    all.onRoster(peers);
    all.add(1, TORRENT, METAINFO);
    const rosters = sent.filter(([, { type }]) => type === 'roster');
    expect(rosters).toEqual([0, 1].map((group) => [group, { type: 'roster', torrent: 7, peers }]));
  });
});

describe('upload slots', () => {
  const slots = (sent: [number, ToGroup][]) =>
    sent.splice(0).flatMap(([group, message]) => (message.type === 'slots' ? [[group, message.slots]] : []));

  it('are split over the groups, and told where they changed', () => {
    const { all, sent } = start(0, 1);
    expect(slots(sent)).toEqual([
      [0, 8],
      [0, 4],
      [1, 4],
    ]);
    all.onTick(0);
    all.onTick(9_999);
    expect(slots(sent)).toEqual([]);
  });

  it('go at once to a group that has its first interested peer, and follow the others every round', () => {
    const { all, sent } = start(0, 1);
    all.onTick(0);
    slots(sent);
    all.onStats(1, statsOf({ peers: 20, interested: 20 }));
    expect(slots(sent)).toEqual([
      [0, 0],
      [1, 8],
    ]);
    all.onStats(0, statsOf({ peers: 1, interested: 1 }));
    expect(slots(sent)).toEqual([
      [0, 1],
      [1, 7],
    ]);
    all.onStats(0, statsOf({ peers: 20, interested: 20 }));
    all.onTick(9_999);
    expect(slots(sent)).toEqual([]);
    all.onTick(10_000);
    expect(slots(sent)).toEqual([
      [0, 4],
      [1, 4],
    ]);
  });

  it('go round where there are fewer than groups that want one', () => {
    const groups = Array.from({ length: 9 }, (_, group) => group);
    const { all, sent } = start(...groups);
    for (const group of groups) all.onStats(group, statsOf({ peers: 1, interested: 1 }));
    const without = new Set<number>();
    const has = new Map<number, number>();
    for (let round = 0; round < 9; round++) {
      all.onTick(round * 10_000);
      for (const [group, count] of slots(sent) as [number, number][]) has.set(group, count);
      expect([...has.values()].reduce((sum, count) => sum + count)).toBe(8);
      for (const group of groups) if (has.get(group) === 0) without.add(group);
    }
    expect(without.size).toBe(9);
  });

  it('are told anew to a group that died', () => {
    const { all, sent } = start(0, 1);
    slots(sent);
    all.onRemoved(1);
    all.add(1, TORRENT, METAINFO);
    expect(slots(sent)).toEqual([[1, 4]]);
  });
});

describe('a rate limit of the torrent', () => {
  it('is split over its groups, and follows what they use of it', () => {
    const sent: [number, ToGroup][] = [];
    const options = { haveBatchMs: 100, uploadSlots: 8, chokeRoundMs: 10_000 };
    const all = new TorrentGroups(7, options, (group, message) => sent.push([group, message]), 1_000_000);
    const told = () =>
      sent.splice(0).flatMap(([group, message]) => (message.type === 'torrentLimit' ? [[group, message.down]] : []));
    all.add(0, TORRENT, METAINFO);
    expect(told()).toEqual([[0, 1_000_000]]);
    all.add(1, TORRENT, METAINFO);
    expect(told()).toEqual([
      [0, 500_000],
      [1, 500_000],
    ]);
    all.onLoad(1, { peers: 2, bytesPerSecond: 0, waiting: 0 });
    const [[, first], [, second]] = told() as [[number, number], [number, number]];
    expect(first + second).toBe(1_000_000);
    expect(second).toBeGreaterThan(980_000);
    all.onRemoved(0);
    expect(told()).toEqual([[1, 1_000_000]]);
  });

  it('is told to nobody where there is none, nor to groups the torrent leaves', () => {
    const { all, types } = start(0, 1);
    all.onTick(0);
    expect(types().filter((type) => type.endsWith('torrentLimit'))).toEqual([]);
    const sent: string[] = [];
    const limited = new TorrentGroups(
      7,
      { haveBatchMs: 1, uploadSlots: 1, chokeRoundMs: 1 },
      (_, m) => sent.push(m.type),
      9,
    );
    for (const group of [0, 1]) limited.add(group, TORRENT, METAINFO);
    void limited.leave();
    sent.length = 0;
    limited.onRemoved(0);
    limited.onRemoved(1);
    expect(sent).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import type { ToGroup } from '../../src/messages.js';
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
  const all = new TorrentGroups(7, 100, (group, message) => sent.push([group, message]));
  for (const group of groups) all.add(group, TORRENT, METAINFO);
  const types = () => sent.splice(0).map(([group, { type }]) => `${group} ${type}`);
  return { all, sent, types };
}

const piece = (index: number): PieceIndex => index as PieceIndex;

describe('TorrentGroups', () => {
  it('tells a group of the torrent once', () => {
    const { all, types } = start(0, 2);
    all.add(2, TORRENT, METAINFO);
    expect(types()).toEqual(['0 addTorrent', '0 metainfo', '2 addTorrent', '2 metainfo']);
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
    const none = { torrent: 7, downloaded: 0, uploaded: 0, wasted: 0, working: [] };
    const stats = (active: number) => ({ ...none, peers: active, active });
    all.onStats(0, stats(2));
    all.onStats(1, stats(3));
    all.onStats(5, stats(100));
    expect(all.activePeers).toBe(5);
    all.onRemoved(0);
    expect(all.activePeers).toBe(3);
  });
});

import { describe, expect, it } from 'vitest';
import { Pex } from '../../../src/torrent/pex.js';

const peers = (...ports: number[]) => ports.map((port) => ({ host: '192.0.2.1', port, flags: 0 }));

describe('what a peer is told of others', () => {
  it('is what has changed since, no more often than every 65 s', () => {
    const pex = new Pex();
    expect(pex.news([], 0)).toBeUndefined();
    expect(pex.news(peers(1, 2), 0)).toEqual({ added: peers(1, 2), dropped: [] });
    expect(pex.news(peers(2, 3), 64_999)).toBeUndefined();
    expect(pex.news(peers(2, 3), 65_000)).toEqual({ added: peers(3), dropped: peers(1) });
    expect(pex.news(peers(2, 3), 200_000)).toBeUndefined();
    expect(pex.news([], 200_001)).toEqual({ added: [], dropped: peers(2, 3) });
  });

  it('is at most 50 at a time; the rest comes later', () => {
    const pex = new Pex();
    const all = peers(...Array.from({ length: 120 }, (_, i) => i + 1));
    const told = [0, 65_000, 130_000].map((now) => pex.news(all, now)?.added.length);
    expect(told).toEqual([50, 50, 20]);
    expect(pex.news([], 195_000)?.dropped).toHaveLength(50);
  });
});

describe('what a peer tells', () => {
  it('is heard every 30 s at most', () => {
    const pex = new Pex();
    expect([0, 29_999, 30_000, 30_001].map((now) => pex.accepts(now))).toEqual([true, false, true, false]);
  });
});

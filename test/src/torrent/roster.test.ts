import { describe, expect, it } from 'vitest';
import { Roster } from '../../../src/torrent/roster.js';

const at = (n: number) => ({ host: `192.0.2.${n}`, port: 1_000 + n });
const DIALLED = { incoming: false, encrypted: false };
const INCOMING = { incoming: true, encrypted: false };

/** A roster that is told at any time. */
const prompt = (): Roster => new Roster(0);

describe('the peers that others are told of', () => {
  it('are those of every group, with what is known of each', () => {
    const roster = prompt();
    roster.onConnected(0, 1, at(1), DIALLED);
    roster.onConnected(1, 1, at(2), { incoming: false, encrypted: true });
    roster.onConnected(2, 5, { host: '2001:db8::1', port: 9 }, INCOMING);
    roster.onListens(2, 5, 6881);
    roster.onSeeds(1, [1]);
    expect(roster.news(0)).toEqual([
      { ...at(1), flags: 0x10 },
      { ...at(2), flags: 0x13 },
      { host: '2001:db8::1', port: 6881, flags: 0 },
    ]);
  });

  it('are told when they have changed, and no more often than that', () => {
    const roster = new Roster(5_000);
    expect(roster.news(0)).toBeUndefined();
    roster.onConnected(0, 1, at(1), DIALLED);
    expect(roster.news(0)).toHaveLength(1);
    expect(roster.news(60_000)).toBeUndefined();
    roster.onConnected(0, 2, at(2), DIALLED);
    expect(roster.news(60_000)).toHaveLength(2);
    roster.onDisconnected(0, 1);
    expect(roster.news(64_999)).toBeUndefined();
    expect(roster.news(65_000)).toEqual([{ ...at(2), flags: 0x10 }]);
    roster.onSeeds(0, [2]);
    expect(roster.news(70_000)).toEqual([{ ...at(2), flags: 0x12 }]);
    roster.onSeeds(0, [2]);
    expect(roster.news(75_000)).toBeUndefined();
    roster.onSeeds(0, []);
    expect(roster.news(80_000)).toEqual([{ ...at(2), flags: 0x10 }]);
  });

  it('are not those that cannot be dialled', () => {
    const roster = prompt();
    roster.onConnected(0, 1, at(1), INCOMING);
    roster.onConnected(0, 2, { host: 'fe80::1%eth0', port: 2 }, DIALLED);
    roster.onListens(0, 2, 6881);
    roster.onSeeds(0, [1, 2]);
    roster.onDisconnected(0, 7);
    expect(roster.news(0)).toBeUndefined();
    roster.onListens(0, 1, 6881);
    roster.onListens(0, 1, 6882);
    expect(roster.news(0)).toEqual([{ host: '192.0.2.1', port: 6881, flags: 0x02 }]);
  });

  it('are named once, and gone with their group', () => {
    const roster = prompt();
    roster.onConnected(0, 1, at(1), DIALLED);
    roster.onConnected(1, 1, { host: at(1).host, port: 5 }, INCOMING);
    roster.onListens(1, 1, at(1).port);
    roster.onConnected(10, 1, at(3), DIALLED);
    expect(roster.news(0)).toEqual([
      { ...at(1), flags: 0x10 },
      { ...at(3), flags: 0x10 },
    ]);
    roster.onGroupDeath(1);
    roster.onGroupDeath(0);
    expect(roster.news(0)).toEqual([{ ...at(3), flags: 0x10 }]);
  });

  it('are 200 at most, those that have been there longest', () => {
    const roster = prompt();
    for (let n = 0; n < 300; n++) roster.onConnected(0, n, { host: '192.0.2.1', port: n + 1 }, DIALLED);
    const ports = (): number[] => roster.news(0)!.map(({ port }) => port);
    expect(ports()).toEqual(Array.from({ length: 200 }, (_, n) => n + 1));
    roster.onDisconnected(0, 0);
    expect(ports().at(-1)).toBe(201);
  });
});

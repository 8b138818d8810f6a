import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type UsedPeer, UsefulnessWatch } from '../../../src/torrent/usefulness.js';

const OPTIONS = { quietPeerMs: 30_000, unwantedPeerMs: 60_000, idlePeerMs: 300_000 };

const WANTED: UsedPeer = {
  peer: 1,
  bytes: 0,
  connectedAt: 0,
  amInterested: true,
  peerChoking: true,
  peerInterested: false,
  amChoking: true,
};
const UNWANTED: UsedPeer = { ...WANTED, amInterested: false };

/** What is found of one peer that stays as it is, surveyed every 5 s until `now`. */
function watched(peer: UsedPeer, now: number, seeding = false, watch = new UsefulnessWatch(OPTIONS)): string {
  for (let at = peer.connectedAt; at < now; at += 5_000) watch.survey([peer], seeding, at);
  return watch.look(peer, seeding, now);
}

describe('a peer', () => {
  it.each([
    ['that neither wants anything nor is wanted', UNWANTED, 30_000, 60_000],
    ['that is wanted and gives nothing', WANTED, 30_000, 300_000],
    ['that wants and gets nothing', { ...UNWANTED, peerInterested: true }, 30_000, 300_000],
    ['that may ask and does not', { ...UNWANTED, peerInterested: true, amChoking: false }, 30_000, 300_000],
    ['that may be asked and does not answer', { ...WANTED, peerChoking: false }, 30_000, 300_000],
  ])('%s is quiet and then useless', (_, peer, quietAt, uselessAt) => {
    expect([quietAt - 1, quietAt, uselessAt - 1, uselessAt].map((now) => watched(peer, now))).toEqual([
      'used',
      'quiet',
      'quiet',
      'useless',
    ]);
  });

  it('is as old as its connection, not as the watch', () => {
    expect(new UsefulnessWatch(OPTIONS).look({ ...UNWANTED, connectedAt: 100_000 }, false, 159_999)).toBe('quiet');
    expect(new UsefulnessWatch(OPTIONS).look({ ...UNWANTED, connectedAt: 100_000 }, false, 160_000)).toBe('useless');
  });

  it.each([
    ['gives or takes payload', { bytes: 1 }],
    ['lets us ask', { amInterested: true, peerChoking: false }],
    ['may ask us', { peerInterested: true, amChoking: false }],
  ])('is in use again when it %s', (_, change) => {
    const watch = new UsefulnessWatch(OPTIONS);
    expect(watched(WANTED, 400_000, false, watch)).toBe('useless');
    const changed = { ...WANTED, ...change };
    expect(watch.look(changed, false, 400_001)).toBe('used');
    expect(watch.look(changed, false, 430_000)).toBe('used');
    expect(watch.look(changed, false, 430_001)).toBe('quiet');
  });

  it('is in use when it lets us ask, though not time and again while nothing comes of it', () => {
    const watch = new UsefulnessWatch(OPTIONS);
    const turns = (from: number, bytes: number): void => {
      for (let at = from; at < from + 300_000; at += 5_000) {
        watch.survey([{ ...WANTED, bytes, peerChoking: at % 20_000 !== 0 }], false, at);
      }
    };
    turns(0, 0);
    expect(watch.look(WANTED, false, 300_000)).toBe('useless');
    turns(300_000, 1);
    expect(watch.look({ ...WANTED, bytes: 1, peerChoking: false }, false, 600_000)).toBe('useless');
    expect(watch.look({ ...WANTED, bytes: 2, peerChoking: false }, false, 600_001)).toBe('used');
  });

  it('that waits for its turn at a seed is in use, but not one that had it and took nothing', () => {
    const waiting = { ...UNWANTED, peerInterested: true };
    expect(watched(waiting, 10_000_000, true)).toBe('used');
    expect(watched({ ...waiting, amChoking: false }, 300_000, true)).toBe('useless');
    expect(watched(UNWANTED, 60_000, true)).toBe('useless');
  });

  it('that has gone is forgotten', () => {
    const watch = new UsefulnessWatch(OPTIONS);
    watched(WANTED, 400_000, false, watch);
    expect(watch.survey([], false, 400_000)).toEqual({ quiet: [], useless: [] });
    expect(watch.look({ ...WANTED, connectedAt: 400_000 }, false, 400_001)).toBe('used');
  });
});

describe('a survey', () => {
  it('never finds a peer that moved payload a moment ago, and finds every one that long did not', () => {
    const step = fc.record({
      ms: fc.integer({ min: 0, max: 40_000 }),
      peers: fc.array(
        fc.record({
          peer: fc.integer({ min: 1, max: 5 }),
          moved: fc.boolean(),
          amInterested: fc.boolean(),
          peerInterested: fc.boolean(),
        }),
        { maxLength: 5 },
      ),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, seeding) => {
        const watch = new UsefulnessWatch(OPTIONS);
        const states = new Map<number, UsedPeer>();
        const movedAt = new Map<number, number>();
        let now = 0;
        for (let peer = 1; peer <= 5; peer++) {
          states.set(peer, { ...WANTED, peer });
          movedAt.set(peer, 0);
        }
        for (const { ms, peers } of steps) {
          now += ms;
          for (const { peer, moved, ...wants } of peers) {
            const before = states.get(peer)!;
            states.set(peer, { ...before, ...wants, bytes: before.bytes + (moved ? 1 : 0) });
            if (moved) movedAt.set(peer, now);
          }
          const { quiet, useless } = watch.survey(states.values(), seeding, now);
          for (const { peer, peerInterested } of states.values()) {
            const idleMs = now - movedAt.get(peer)!;
            const waits = seeding && peerInterested;
            if (idleMs < OPTIONS.quietPeerMs || waits) expect([...quiet, ...useless]).not.toContain(peer);
            else if (idleMs >= OPTIONS.idlePeerMs) expect(useless).toContain(peer);
            else expect([...quiet, ...useless]).toContain(peer);
          }
        }
      }),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { Route, TrackerState } from '../../../src/discovery/tracker-state.js';
import type { AnnounceAnswer } from '../../../src/protocol/announce.js';

const TIMES = {
  announceMinMs: 30_000,
  announceMaxMs: 3_600_000,
  announceDefaultMs: 1_800_000,
  announceRetryMs: 5_000,
};

function answer(fields: Partial<AnnounceAnswer> = {}): AnnounceAnswer {
  const none = { intervalMs: undefined, minIntervalMs: undefined, trackerId: undefined };
  return { peers: [], names: [], ...none, seeders: undefined, leechers: undefined, warning: undefined, ...fields };
}

const fresh = (): TrackerState => new TrackerState('udp://t:1', [4], TIMES);

describe('the times of a tracker', () => {
  it.each([
    ['names nothing', {}, 1_800_000, 30_000],
    ['names an interval', { intervalMs: 600_000 }, 600_000, 30_000],
    ['names both', { intervalMs: 600_000, minIntervalMs: 120_000 }, 600_000, 120_000],
    ['wants to be asked too often', { intervalMs: 0, minIntervalMs: 0 }, 30_000, 30_000],
    ['wants to be asked next year', { intervalMs: 3e10, minIntervalMs: 3e10 }, 3_600_000, 3_600_000],
    ['contradicts itself', { intervalMs: 60_000, minIntervalMs: 90_000 }, 90_000, 90_000],
  ])('are bounded when it %s', (_, fields, due, earliest) => {
    const tracker = fresh();
    tracker.onAnswer(answer(fields), 1_000);
    expect(tracker.dueAt - 1_000).toBe(due);
    expect(tracker.notBefore - 1_000).toBe(earliest);
  });

  it('allow early announces less and less often, until the next regular one', () => {
    const tracker = fresh();
    const gapAfter = (now: number): number => {
      tracker.onAsked(now > 0, now);
      tracker.onAnswer(answer({ intervalMs: 200_000 }), now);
      return tracker.notBefore - now;
    };
    expect([0, 30_000, 90_000, 210_000, 410_000].map(gapAfter)).toEqual([30_000, 60_000, 120_000, 200_000, 30_000]);
  });

  it('count one announce over two families once, whoever answers last', () => {
    const tracker = new TrackerState('udp://t:1', [4, 6], TIMES);
    tracker.onAsked(false, 0);
    for (const now of [0, 100]) tracker.onAnswer(answer({ intervalMs: 200_000 }), now);
    tracker.onAsked(true, 40_000);
    for (const now of [40_000, 45_000]) tracker.onAnswer(answer({ intervalMs: 200_000 }), now);
    expect(tracker.notBefore).toBe(105_000);
    expect(tracker.dueAt).toBe(245_000);
  });

  it('allow early announces as often as the tracker names, without growing', () => {
    const tracker = fresh();
    for (const now of [0, 60_000, 120_000]) {
      tracker.onAsked(now > 0, now);
      tracker.onAnswer(answer({ intervalMs: 600_000, minIntervalMs: 60_000 }), now);
    }
    expect(tracker.notBefore).toBe(180_000);
  });

  it('back off after failures, doubling up to the longest interval, and start over after an answer', () => {
    const tracker = fresh();
    const waits = Array.from({ length: 12 }, () => {
      tracker.onFailure(0);
      return tracker.notBefore / 1000;
    });
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
    for (let i = 0; i < 2000; i++) tracker.onFailure(0);
    expect(tracker.notBefore).toBe(3_600_000);
    tracker.onAnswer(answer(), 0);
    tracker.onFailure(0);
    expect(tracker.notBefore).toBe(5_000);
  });
});

describe('what a tracker is told over a route', () => {
  it('is `started` until it answers, then nothing, then `completed` once', () => {
    const route = new Route(4);
    expect(route.nextEvent(false)).toBe('started');
    route.onSent('started');
    route.onUnanswered('started');
    expect(route.nextEvent(true)).toBe('started');
    expect(route.isKnown).toBe(false);
    route.onAnswer('started', 1, answer());
    expect(route.isKnown).toBe(true);
    expect(route.nextEvent(false)).toBeUndefined();
    expect(route.nextEvent(true)).toBe('completed');
    route.onSent('completed');
    expect(route.nextEvent(true)).toBeUndefined();
    route.onAnswer('completed', 0, answer());
    expect(route.nextEvent(true)).toBeUndefined();
  });

  it('is `completed` again when that failed or was given up', () => {
    const route = new Route(4);
    route.onAnswer('started', 1, answer());
    route.onSent('completed');
    expect(route.owesCompleted).toBe(false);
    route.onUnanswered('completed');
    expect(route.nextEvent(true)).toBe('completed');
  });

  it('is never `completed` when it saw the download start complete', () => {
    const route = new Route(4);
    route.onAnswer('started', 0, answer());
    expect(route.nextEvent(true)).toBeUndefined();
    expect(route.owesCompleted).toBe(false);
  });

  it('is nothing it must remember after `stopped`', () => {
    const route = new Route(4);
    route.onAnswer('started', 1, answer());
    route.onStopped();
    expect(route.isKnown).toBe(false);
    expect(route.owesCompleted).toBe(false);
  });

  it('includes the latest tracker id', () => {
    const route = new Route(4);
    route.onAnswer('started', 1, answer({ trackerId: Uint8Array.of(1) }));
    route.onAnswer(undefined, 1, answer());
    expect(route.trackerId).toEqual(Uint8Array.of(1));
    route.onAnswer(undefined, 1, answer({ trackerId: Uint8Array.of(2) }));
    expect(route.trackerId).toEqual(Uint8Array.of(2));
  });

  it('is not known over another: each family has its own story', () => {
    const tracker = new TrackerState('udp://t:1', [4, 6], TIMES);
    const [four, six] = tracker.routes as [Route, Route];
    expect([four.family, six.family]).toEqual([4, 6]);
    four.onAnswer('started', 1, answer({ trackerId: Uint8Array.of(4) }));
    expect([tracker.isKnown, four.isKnown, six.isKnown]).toEqual([true, true, false]);
    expect([four.nextEvent(true), six.nextEvent(true)]).toEqual(['completed', 'started']);
    expect(six.trackerId).toBeUndefined();
    four.onStopped();
    expect(tracker.isKnown).toBe(false);
  });
});

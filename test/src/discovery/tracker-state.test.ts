import { describe, expect, it } from 'vitest';
import { TrackerState } from '../../../src/discovery/tracker-state.js';
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

const fresh = (): TrackerState => new TrackerState('udp://t:1', TIMES);

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
    tracker.onAnswer('started', 1, answer(fields), 1_000);
    expect(tracker.dueAt - 1_000).toBe(due);
    expect(tracker.notBefore - 1_000).toBe(earliest);
  });

  it('allow early announces less and less often, until the next regular one', () => {
    const tracker = fresh();
    const gapAfter = (now: number): number => {
      tracker.onAnswer(tracker.isKnown ? undefined : 'started', 1, answer({ intervalMs: 200_000 }), now);
      return tracker.notBefore - now;
    };
    expect([0, 30_000, 90_000, 210_000, 410_001 - 1].map(gapAfter)).toEqual([30_000, 60_000, 120_000, 200_000, 30_000]);
  });

  it('allow early announces as often as the tracker names, without growing', () => {
    const tracker = fresh();
    const named = answer({ intervalMs: 600_000, minIntervalMs: 60_000 });
    tracker.onAnswer('started', 1, named, 0);
    tracker.onAnswer(undefined, 1, named, 60_000);
    tracker.onAnswer(undefined, 1, named, 120_000);
    expect(tracker.notBefore).toBe(180_000);
  });

  it('back off after failures, doubling up to the longest interval, and start over after an answer', () => {
    const tracker = fresh();
    const waits = Array.from({ length: 12 }, () => {
      tracker.onFailure('started', 0);
      return tracker.notBefore / 1000;
    });
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
    for (let i = 0; i < 2000; i++) tracker.onFailure('started', 0);
    expect(tracker.notBefore).toBe(3_600_000);
    tracker.onAnswer('started', 1, answer(), 0);
    tracker.onFailure(undefined, 0);
    expect(tracker.notBefore).toBe(5_000);
  });
});

describe('what a tracker is told', () => {
  it('is `started` until it answers, then nothing, then `completed` once', () => {
    const tracker = fresh();
    expect(tracker.nextEvent(false)).toBe('started');
    tracker.onSent('started');
    tracker.onFailure('started', 0);
    expect(tracker.nextEvent(true)).toBe('started');
    expect(tracker.isKnown).toBe(false);
    tracker.onAnswer('started', 1, answer(), 0);
    expect(tracker.isKnown).toBe(true);
    expect(tracker.nextEvent(false)).toBeUndefined();
    expect(tracker.nextEvent(true)).toBe('completed');
    tracker.onSent('completed');
    expect(tracker.nextEvent(true)).toBeUndefined();
    tracker.onAnswer('completed', 0, answer(), 0);
    expect(tracker.nextEvent(true)).toBeUndefined();
  });

  it('is `completed` again when that failed or was given up', () => {
    const tracker = fresh();
    tracker.onAnswer('started', 1, answer(), 0);
    for (const undo of [() => tracker.onFailure('completed', 0), () => tracker.onAborted('completed')]) {
      tracker.onSent('completed');
      expect(tracker.owesCompleted).toBe(false);
      undo();
      expect(tracker.nextEvent(true)).toBe('completed');
    }
  });

  it('is never `completed` when it saw the download start complete', () => {
    const tracker = fresh();
    tracker.onAnswer('started', 0, answer(), 0);
    expect(tracker.nextEvent(true)).toBeUndefined();
    expect(tracker.owesCompleted).toBe(false);
  });

  it('is nothing it must remember after `stopped`', () => {
    const tracker = fresh();
    tracker.onAnswer('started', 1, answer(), 0);
    tracker.onStopped();
    expect(tracker.isKnown).toBe(false);
    expect(tracker.owesCompleted).toBe(false);
  });

  it('includes the latest tracker id', () => {
    const tracker = fresh();
    tracker.onAnswer('started', 1, answer({ trackerId: Uint8Array.of(1) }), 0);
    tracker.onAnswer(undefined, 1, answer(), 0);
    expect(tracker.trackerId).toEqual(Uint8Array.of(1));
    tracker.onAnswer(undefined, 1, answer({ trackerId: Uint8Array.of(2) }), 0);
    expect(tracker.trackerId).toEqual(Uint8Array.of(2));
  });
});

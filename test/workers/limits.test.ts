// A group's limits on virtual time: blocks are requested as they are allowed, by everybody in turn, every millisecond.
import { describe, expect, it } from 'vitest';
import { Limit } from '../../workers/limits.js';

const BLOCK = 16_384;
const MIB = 1_048_576;

/** Asks for blocks every `everyMs` from `from` on. @returns bytes that each got */
function request(limits: readonly Limit[], from: number, forMs: number, everyMs = 1): number[] {
  const bytes = limits.map(() => 0);
  for (let now = from; now < from + forMs; now += everyMs) {
    for (const [n, limit] of limits.entries()) bytes[n]! += limit.takeBlocks(64, now) * BLOCK;
  }
  return bytes;
}

describe('the limit of a torrent', () => {
  it.each([64 * 1024, 1 * MIB, 20 * MIB, 500 * MIB])('of %d bytes per second is reached within 3%%', (rate) => {
    const limit = new Limit(new Limit());
    limit.set(rate, 0);
    request([limit], 0, 2_000);
    const [bytes] = request([limit], 2_000, 20_000) as [number];
    expect(bytes / 20 / rate).toBeGreaterThan(0.97);
    expect(bytes / 20 / rate).toBeLessThan(1.03);
  });

  it('leaves the others what the session allows', () => {
    const session = new Limit();
    session.set(10 * MIB, 0);
    const [slow, fast] = [new Limit(session), new Limit(session)];
    slow.set(1 * MIB, 0);
    request([slow, fast], 0, 2_000);
    const [slowBytes, fastBytes] = request([slow, fast], 2_000, 10_000) as [number, number];
    expect(slowBytes / 10 / MIB).toBeCloseTo(1, 1);
    expect(fastBytes / 10 / MIB).toBeCloseTo(9, 0);
  });

  it('is no limit when it is lifted, nor before it is set', () => {
    const limit = new Limit(new Limit());
    expect(limit.takeBlocks(1_000, 0)).toBe(1_000);
    limit.set(1, 0);
    expect(limit.takeBlocks(1_000, 1)).toBe(0);
    limit.set(0, 2);
    expect(limit.takeBlocks(1_000, 2)).toBe(1_000);
  });

  it('above that of the session gives way to it', () => {
    const session = new Limit();
    session.set(1 * MIB, 0);
    const limit = new Limit(session);
    limit.set(50 * MIB, 0);
    request([limit], 0, 2_000);
    const [bytes] = request([limit], 2_000, 10_000) as [number];
    expect(bytes / 10 / MIB).toBeCloseTo(1, 1);
  });
});

describe('torrents under the limit of the session', () => {
  it.each([
    // Of 80 ticks of a group: at one it goes short and joins the queue, at the next it has a block set aside.
    [1, 38],
    [10, 7],
  ])('each have a block when it is their turn, however often another asks: %d of them', (count, least) => {
    const session = new Limit();
    session.set(100 * BLOCK, 0);
    const greedy = new Limit(session);
    const patient = Array.from({ length: count }, () => new Limit(session));
    const blocks = patient.map(() => 0);
    for (let now = 0; now < 20_000; now++) {
      greedy.takeBlocks(64, now);
      if (now % 250 === 0) for (const [n, limit] of patient.entries()) blocks[n]! += limit.takeBlocks(1, now);
    }
    for (const each of blocks) expect(each).toBeGreaterThanOrEqual(least);
  });

  it('do not wait for one that has left', () => {
    const session = new Limit();
    session.set(10 * BLOCK, 0);
    const [gone, here] = [new Limit(session), new Limit(session)];
    expect(gone.takeBlocks(1, 0)).toBe(0);
    gone.leave();
    expect(here.takeBlocks(1, 150)).toBe(1);
  });
});

describe('what main is told of a limit', () => {
  it('comes every second, and at once with the first peer', () => {
    const limit = new Limit();
    expect(limit.isLoadDue(0, 0)).toBe(false);
    limit.set(100 * BLOCK, 0);
    expect(limit.isLoadDue(0, 0)).toBe(true);
    limit.load(0, 0);
    expect([limit.isLoadDue(0, 999), limit.isLoadDue(1, 10)]).toEqual([false, true]);
    limit.load(1, 10);
    expect([limit.isLoadDue(2, 1_009), limit.isLoadDue(2, 1_010)]).toEqual([false, true]);
  });

  it('counts what the torrents below it use, and not what was given back', () => {
    const session = new Limit();
    session.set(1_000 * BLOCK, 0);
    const limit = new Limit(session);
    session.load(0, 0);
    const [bytes] = request([limit], 0, 1_000, 10) as [number];
    expect(session.load(1, 1_000)).toMatchObject({ peers: 1, bytesPerSecond: bytes });
    expect(limit.load(1, 1_000).bytesPerSecond).toBe(bytes);
  });
});

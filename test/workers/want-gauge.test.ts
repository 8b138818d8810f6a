import { describe, expect, it } from 'vitest';
import { resolveOptions } from '../../src/options.js';
import { SharedMemory } from '../../src/torrent/shared-memory.js';
import { WantGauge } from '../../workers/want-gauge.js';
import { Conversation, FakeTorrent } from '../helpers/conversation.js';

function gaugeOf(torrent: FakeTorrent): WantGauge {
  const section = SharedMemory.create(new Uint8Array(5 * 20), 1).section(0);
  return new WantGauge(torrent.geometry, section, resolveOptions({ endgameAfterMs: 200 }));
}

describe('a group is starved', () => {
  it('when main has left its want unanswered for long enough, and no longer once main has answered', () => {
    const torrent = new FakeTorrent();
    const { session } = new Conversation(torrent).open();
    const gauge = gaugeOf(torrent);
    expect(gauge.measure([session], torrent.leases, true, 0, 1_000)).toBeDefined();
    expect([1_199, 1_200].map((now) => gauge.isStarved(now))).toEqual([false, true]);
    gauge.onGrant(1);
    expect(gauge.isStarved(5_000)).toBe(false);
  });

  it('not by the time since the last grant: who has not asked since waits for something else', () => {
    const torrent = new FakeTorrent();
    const { session } = new Conversation(torrent).open();
    const gauge = gaugeOf(torrent);
    gauge.measure([session], torrent.leases, true, 0, 1_000);
    gauge.onGrant(1);
    expect(gauge.measure([session], torrent.leases, true, 0, 9_000)).toBeDefined();
    expect([9_000, 9_199, 9_200].map((now) => gauge.isStarved(now))).toEqual([false, false, true]);
  });

  it('as long as it asks again and again, from the first time on', () => {
    const torrent = new FakeTorrent();
    const gauge = gaugeOf(torrent);
    const sessions = [new Conversation(torrent).open().session];
    gauge.measure(sessions, torrent.leases, true, 0, 1_000);
    // Two more peers find nothing: it wants more.
    for (const peer of [2, 3]) sessions.push(new Conversation(torrent, {}, peer).open().session);
    for (const session of sessions) session.fill(1_150);
    expect(gauge.measure(sessions, torrent.leases, true, 0, 1_150)).toBeDefined();
    expect(gauge.isStarved(1_200)).toBe(true);
  });
});

// Endgame: idle peers are asked for what others owe, within the rate limit.
import { describe, expect, it } from 'vitest';
import { Conversation, FakeTorrent } from '../../helpers/conversation.js';

/** A slow peer that owes both whole blocks and the short one of piece 0, and one with nothing to do. */
function twoPeers(): { torrent: FakeTorrent; slow: Conversation; idle: Conversation } {
  const torrent = new FakeTorrent();
  const slow = new Conversation(torrent, {}, 1).open();
  torrent.lease(0);
  slow.session.fill(slow.now);
  const idle = new Conversation(torrent, {}, 2).open();
  return { torrent, slow, idle };
}

describe('an idle peer', () => {
  it('is asked for all that another one owes when there is no limit', () => {
    const { torrent, idle } = twoPeers();
    idle.session.contest(idle.now);
    expect(idle.said()).toBe([0, 1, 2].map((block) => torrent.request(0, block)).join(''));
  });

  it('is asked for no more than the rate limit allows', () => {
    const { torrent, idle } = twoPeers();
    torrent.allowance = 1;
    idle.session.contest(idle.now);
    expect(idle.said()).toBe(torrent.request(0, 0));
    torrent.allowance = 0;
    idle.session.contest(idle.now);
    expect(idle.said()).toBe('');
  });
});

describe('a block that a second peer begins while the first one gives it', () => {
  /** The idle peer has begun block 0, of which the slow one has sent a part. */
  function race() {
    const { torrent, slow, idle } = twoPeers();
    idle.session.contest(idle.now);
    const message = torrent.block(0, 0);
    slow.hear(message.slice(0, 16_000));
    idle.hear(message.slice(0, 200));
    return { torrent, slow, idle, rest: message.slice(16_000), restOfIdle: message.slice(200) };
  }

  it.each([
    ['ends it', ({ slow, rest }: ReturnType<typeof race>) => slow.hear(rest)],
    ['leaves', ({ slow }: ReturnType<typeof race>) => slow.session.onClose()],
  ])('is taken from the second one when the first one %s', (_, act) => {
    const world = race();
    act(world);
    expect(world.torrent.leases.get(0)!.lacks(0)).toBe(true);
    world.idle.hear(world.restOfIdle);
    expect(world.torrent.leases.get(0)!.lacks(0)).toBe(false);
  });

  it('is missing again when the second one leaves after the first one has ended it, which was waste', () => {
    const { torrent, slow, idle, rest } = race();
    slow.hear(rest);
    expect([torrent.waste, torrent.leases.missingBlocks]).toEqual([16_384, 0]);
    idle.session.onClose();
    // The others are owed by the first one.
    expect(torrent.leases.missingBlocks).toBe(1);
  });

  it('is missing again when both leave', () => {
    const { torrent, slow, idle } = race();
    slow.session.onClose();
    expect(torrent.leases.missingBlocks).toBe(0);
    idle.session.onClose();
    expect(torrent.leases.missingBlocks).toBe(3);
  });
});

// Endgame: idle peers are asked for what others owe, within the rate limit.
import { describe, expect, it } from 'vitest';
import { Conversation, FakeTorrent } from '../../helpers/conversation.js';

/** A slow peer that owes both whole blocks and the short one of piece 0, and one with nothing to do. */
function twoPeers(): { torrent: FakeTorrent; idle: Conversation } {
  const torrent = new FakeTorrent();
  const slow = new Conversation(torrent, {}, 1).open();
  torrent.lease(0);
  slow.session.fill(slow.now);
  const idle = new Conversation(torrent, {}, 2).open();
  return { torrent, idle };
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

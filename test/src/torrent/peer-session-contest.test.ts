// Endgame: idle peers are asked for what others owe. And the rate limit: what it lets us ask for, and what it has back.
import { describe, expect, it } from 'vitest';
import { CHOKE, Conversation, FAST, FakeTorrent, PLAIN } from '../../helpers/conversation.js';

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

  const isGiven = ({ torrent }: ReturnType<typeof race>): boolean => {
    const lease = torrent.leases.get(0)!;
    return !lease.lacks(0) && Buffer.compare(lease.bytes.subarray(0, 16_384), torrent.payload(0, 0)) === 0;
  };

  it('is taken from the first one when that ends it first, and the second one gives waste', () => {
    const world = race();
    world.slow.hear(world.rest);
    expect([isGiven(world), world.torrent.leases.get(0)!.givers()[0]]).toEqual([true, 1]);
    world.idle.hear(world.restOfIdle);
    expect([isGiven(world), world.torrent.waste]).toEqual([true, 16_384]);
  });

  it('is taken from the second one when that ends it first, and the first one gives waste', () => {
    const world = race();
    world.idle.hear(world.restOfIdle);
    expect([isGiven(world), world.torrent.leases.get(0)!.givers()[0]]).toEqual([true, 2]);
    world.slow.hear(world.rest);
    expect([isGiven(world), world.torrent.waste]).toEqual([true, 16_384]);
  });

  it('is taken from the second one when the first one leaves', () => {
    const world = race();
    world.slow.session.onClose(world.slow.now);
    expect(isGiven(world)).toBe(false);
    world.idle.hear(world.restOfIdle);
    expect(isGiven(world)).toBe(true);
  });

  it('is not spoilt by what the first one sends in between', () => {
    const { torrent, slow, idle } = twoPeers();
    idle.session.contest(idle.now);
    const [bad, good] = [torrent.block(0, 0, 99), torrent.block(0, 0)];
    slow.hear(bad.slice(0, 16_000));
    idle.hear(good.slice(0, 200));
    slow.hear(bad.slice(16_000, 20_000));
    idle.hear(good.slice(200));
    slow.hear(bad.slice(20_000));
    expect(torrent.leases.get(0)!.bytes.subarray(0, 16_384)).toEqual(torrent.payload(0, 0));
  });

  it('is missing again when both leave', () => {
    const { torrent, slow, idle } = race();
    slow.session.onClose(slow.now);
    expect(torrent.leases.missingBlocks).toBe(0);
    idle.session.onClose(idle.now);
    expect(torrent.leases.missingBlocks).toBe(3);
  });
});

describe('what the rate limit let us ask for', () => {
  /** A peer that was asked for three blocks, and has been silent for so long. */
  function asked(features = PLAIN, silentMs = 0): { torrent: FakeTorrent; peer: Conversation } {
    const torrent = new FakeTorrent();
    const peer = new Conversation(torrent, { requestTimeoutMs: 20_000 }, 1, features).open();
    torrent.lease(0);
    peer.session.fill(peer.now);
    peer.now += silentMs;
    peer.session.downloads.onTick(peer.now);
    return { torrent, peer };
  }

  it.each([
    ['a choke', (peer: Conversation) => peer.hear(CHOKE)],
    ['the end of the connection', (peer: Conversation) => peer.session.onClose(peer.now)],
  ])('is given back after %s, but for what has come', (_, act) => {
    for (const silentMs of [0, 20_000]) {
      const { torrent, peer } = asked(PLAIN, silentMs);
      // As long as it may be answered it is taken, also of a snubbed peer.
      expect(torrent.taken).toBe(3);
      peer.hear(torrent.block(0, 0));
      act(peer);
      expect(torrent.taken).toBe(1);
    }
  });

  it('is given back for each block that is rejected', () => {
    for (const silentMs of [0, 20_000]) {
      const { torrent, peer } = asked(FAST, silentMs);
      peer.hear(CHOKE);
      expect(torrent.taken).toBe(3);
      // What nobody has asked for is not.
      for (const index of [0, 0, 1]) peer.hear(torrent.request(0, index).replace('0000000d06', '0000000d10'));
      expect(torrent.taken).toBe(1);
    }
  });

  it('is given back when the peer has been silent for so long that nothing is waited for', () => {
    const { torrent, peer } = asked(PLAIN, 20_000);
    peer.now += 20_000;
    peer.session.downloads.onTick(peer.now);
    expect(torrent.taken).toBe(0);
  });
});

it('the bytes of a block that arrive are progress of its piece', () => {
  const { torrent, slow } = twoPeers();
  slow.now += 25_000;
  slow.hear(torrent.block(0, 0).slice(0, 200));
  expect(torrent.leases.get(0)!.progressAt).toBe(slow.now);
});

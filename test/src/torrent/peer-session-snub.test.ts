import { describe, expect, it } from 'vitest';
import { bitfield, CHOKE, Conversation, FakeTorrent, isEmpty, UNCHOKE } from '../../helpers/conversation.js';

const BLOCK = 16_384;
const NARROW = { requestsAtStart: 3, requestsMin: 2, requestTimeoutMs: 20_000 };

/** Two peers that have everything, the first of which has been asked for all of piece 0. */
function pair(extra: { exclusive?: boolean } = {}) {
  const torrent = new FakeTorrent();
  const [slow, good] = [new Conversation(torrent, NARROW), new Conversation(torrent, NARROW, 2)];
  const lease = torrent.lease(0, extra);
  slow.open();
  good.open();
  const pass = (ms: number): void => {
    for (const peer of [slow, good]) {
      peer.now += ms;
      peer.session.downloads.onTick(peer.now);
    }
    // As a group does: those that are not snubbed come first.
    for (const peer of [good, slow]) peer.session.fill(peer.now);
  };
  return { torrent, slow, good, lease, pass };
}

describe('a peer that owes blocks and is silent', () => {
  it('is snubbed after the time-out, and another is asked', () => {
    const { torrent, slow, good, pass } = pair();
    pass(19_999);
    expect([slow.session.downloads.pipeline.snubbed, good.said()]).toEqual([false, '']);
    pass(1);
    expect(slow.session.downloads.pipeline.snubbed).toBe(true);
    expect(good.said()).toBe([0, 1, 2].map((block) => torrent.request(0, block)).join(''));
    expect(slow.said()).toBe('');
  });

  it('has as long again after every block', () => {
    const { torrent, slow, pass } = pair();
    pass(19_000);
    slow.hear(torrent.block(0, 0));
    pass(19_999);
    expect(slow.session.downloads.pipeline.snubbed).toBe(false);
    pass(1);
    expect(slow.session.downloads.pipeline.snubbed).toBe(true);
  });

  it('is not asked for the same blocks again while it may answer', () => {
    const { torrent, slow, good, pass } = pair();
    good.hear(CHOKE);
    pass(20_000);
    pass(10_000);
    expect([slow.said(), torrent.leases.missingBlocks]).toEqual(['', 3]);
    // Another time-out later its requests are lost, and one block is tried.
    pass(10_000);
    expect(slow.said()).toBe(torrent.request(0, 0));
    pass(20_000);
    expect(slow.said()).toBe(torrent.request(0, 0));
  });

  it('is welcome when it answers late: the rest of what it owes is not asked for twice', () => {
    const { torrent, slow, good, pass } = pair();
    good.hear(CHOKE);
    pass(25_000);
    slow.hear(torrent.block(0, 0));
    expect([slow.session.downloads.pipeline.snubbed, slow.said()]).toEqual([false, '']);
    slow.hear(torrent.block(0, 1));
    slow.hear(torrent.block(0, 2));
    expect([torrent.complete.length, torrent.waste]).toEqual([1, 0]);
    expect(slow.session.downloads.requests.size).toBe(0);
  });

  it('has answered when it has ended a block, not when it begins one', () => {
    const { torrent, slow, good, pass } = pair();
    good.hear(CHOKE);
    pass(20_000);
    const block = torrent.block(0, 0);
    slow.hear(block.slice(0, 200));
    expect([slow.session.downloads.pipeline.snubbed, torrent.leases.missingBlocks]).toEqual([true, 2]);
    slow.hear(block.slice(200));
    expect([slow.session.downloads.pipeline.snubbed, torrent.leases.missingBlocks]).toEqual([false, 0]);
  });

  it('wastes what another has given meanwhile', () => {
    const { torrent, slow, good, pass } = pair();
    pass(20_000);
    good.hear(torrent.block(0, 0));
    slow.hear(torrent.block(0, 0, 99));
    expect(torrent.waste).toBe(BLOCK);
    good.hear(torrent.block(0, 1), torrent.block(0, 2));
    expect(torrent.complete[0]!.bytes[0]).toBe(torrent.payload(0, 0)[0]);
    slow.hear(torrent.block(0, 1), torrent.block(0, 2));
    expect([torrent.complete.length, torrent.waste]).toEqual([1, 40_000]);
  });

  it('does not hold the last block of a torrent while another peer could give it', () => {
    const { torrent, slow, good, pass } = pair();
    good.hear(CHOKE);
    slow.hear(torrent.block(0, 0), torrent.block(0, 1));
    good.hear(UNCHOKE);
    pass(20_000);
    expect(good.said()).toBe(torrent.request(0, 2));
    good.hear(torrent.block(0, 2));
    expect(torrent.complete.length).toBe(1);
  });

  it('starts afresh after a choke and an unchoke', () => {
    const { torrent, slow, good, pass } = pair();
    good.hear(CHOKE);
    pass(20_000);
    slow.hear(CHOKE, UNCHOKE);
    expect(slow.said()).toBe(torrent.request(0, 0));
    slow.hear(torrent.block(0, 0));
    expect(slow.said()).toBe(torrent.request(0, 1) + torrent.request(0, 2));
  });
});

describe('a peer that owes nothing', () => {
  it('is never snubbed', () => {
    const { torrent, slow, good, pass } = pair();
    pass(1_000_000);
    expect(good.session.downloads.pipeline.snubbed).toBe(false);
    const idle = new Conversation(torrent);
    idle.session.downloads.onTick(1_000_000);
    expect(idle.session.downloads.pipeline.snubbed).toBe(false);
    expect(slow.session.downloads.pipeline.snubbed).toBe(true);
  });

  it('has the whole time-out when it is asked after a long pause', () => {
    const torrent = new FakeTorrent();
    const peer = new Conversation(torrent, NARROW).open();
    peer.now += 1_000_000;
    torrent.lease(0);
    peer.session.fill(peer.now);
    peer.now += 19_999;
    peer.session.downloads.onTick(peer.now);
    expect(peer.session.downloads.pipeline.snubbed).toBe(false);
  });
});

describe('a block that stops half way', () => {
  it('is asked for elsewhere, and still taken when it goes on first', () => {
    const { torrent, slow, good, pass } = pair();
    good.hear(bitfield('00'));
    const message = torrent.block(0, 0);
    slow.hear(message.slice(0, 9_000));
    pass(20_000);
    expect(good.said()).toContain(torrent.request(0, 0));
    slow.hear(message.slice(9_000));
    expect(slow.session.downloads.downloaded).toBe(BLOCK);
    expect(torrent.leases.get(0)!.lacks(0)).toBe(false);
  });

  it('cannot be spoilt by its first giver once another gives it', () => {
    const { torrent, slow, good, lease, pass } = pair();
    const [bad, right] = [torrent.block(0, 0, 99), torrent.block(0, 0)];
    slow.hear(bad.slice(0, 9_000));
    pass(20_000);
    good.hear(right.slice(0, 20_000));
    slow.hear(bad.slice(9_000, 19_000));
    good.hear(right.slice(20_000), torrent.block(0, 1), torrent.block(0, 2));
    slow.hear(bad.slice(19_000));
    expect(torrent.complete[0]).toBe(lease);
    expect(lease.givers()).toEqual(Uint32Array.of(2, 2, 2));
    expect(Buffer.compare(lease.bytes.subarray(0, BLOCK), torrent.payload(0, 0))).toBe(0);
    expect(torrent.waste).toBe(BLOCK);
  });

  it('stays with the peer that was asked instead when its first giver leaves', () => {
    const { torrent, slow, good, pass } = pair();
    slow.hear(torrent.block(0, 0).slice(0, 9_000));
    pass(20_000);
    expect(torrent.leases.missingBlocks).toBe(0);
    slow.session.onClose(slow.now);
    expect(torrent.leases.missingBlocks).toBe(0);
    good.hear(torrent.block(0, 0), torrent.block(0, 1), torrent.block(0, 2));
    expect(torrent.complete.length).toBe(1);
  });

  it('that was late stays with the peer that was asked instead when its giver leaves', () => {
    const { torrent, slow, pass } = pair();
    pass(20_000);
    slow.hear(torrent.block(0, 1).slice(0, 9_000));
    slow.session.onClose(slow.now);
    expect(torrent.leases.missingBlocks).toBe(0);
  });
});

describe('a piece for one peer alone', () => {
  it('is asked of one peer, and starts again with another when that one fails', () => {
    const { torrent, slow, good, lease, pass } = pair({ exclusive: true });
    slow.hear(torrent.block(0, 0));
    expect(good.said()).toBe('');
    pass(20_000);
    expect(isEmpty(lease)).toBe(true);
    expect(good.said()).toBe([0, 1, 2].map((block) => torrent.request(0, block)).join(''));
    // What the first one gives now is of no use.
    slow.hear(torrent.block(0, 1, 99), torrent.block(0, 2, 99));
    good.hear(torrent.block(0, 0), torrent.block(0, 1), torrent.block(0, 2));
    expect(torrent.complete[0]!.givers()).toEqual(Uint32Array.of(2, 2, 2));
  });

  it('takes nothing from a block that was half way when another was asked', () => {
    const { torrent, slow, good, lease, pass } = pair({ exclusive: true });
    const bad = torrent.block(0, 0, 99);
    slow.hear(bad.slice(0, 9_000));
    pass(20_000);
    slow.hear(bad.slice(9_000));
    expect(isEmpty(lease)).toBe(true);
    good.hear(torrent.block(0, 0), torrent.block(0, 1), torrent.block(0, 2));
    expect([lease.givers(), torrent.complete[0]]).toEqual([Uint32Array.of(2, 2, 2), lease]);
  });

  it('has one giver even when a late block comes before anybody else is asked', () => {
    const { torrent, slow, good, lease, pass } = pair({ exclusive: true });
    good.hear(CHOKE);
    pass(20_000);
    // Nothing more can be asked of it, and nobody else goes on with what it gave.
    slow.hear(torrent.block(0, 1), CHOKE);
    good.hear(UNCHOKE);
    good.hear(torrent.block(0, 0), torrent.block(0, 1), torrent.block(0, 2));
    expect(torrent.complete[0]).toBe(lease);
    expect(lease.givers()).toEqual(Uint32Array.of(2, 2, 2));
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/protocol/wire.js';
import { Geometry } from '../../../src/torrent/geometry.js';
import {
  bitfield,
  blockOf,
  CHOKE,
  Conversation,
  FAST,
  FakeTorrent,
  have,
  INTERESTED,
  isEmpty,
  NOT_INTERESTED,
  UNCHOKE,
} from '../../helpers/conversation.js';

const BLOCK = 16_384;
/** Everything in one or two requests at a time, so that each can be seen. */
const NARROW = { requestsAtStart: 3, requestsMin: 2, requestTimeoutMs: 20_000 };

/** The message of the `WireError` that the peer's words must end in. */
function refusal(conversation: Conversation, ...messages: readonly string[]): string {
  try {
    conversation.hear(...messages);
  } catch (error) {
    if (error instanceof WireError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('what the peer has', () => {
  it('is nothing at first, and HAVEs add to it', () => {
    const peer = new Conversation(new FakeTorrent());
    expect([...peer.session.has]).toEqual([]);
    peer.hear(have(3), have(0), have(3));
    expect([...peer.session.has]).toEqual([0, 3]);
    expect(peer.torrent.events).toEqual(['peer 1: piece 3', 'peer 1: piece 0']);
  });

  it('is its bitfield', () => {
    const peer = new Conversation(new FakeTorrent());
    peer.hear(bitfield('a8'));
    expect([...peer.session.has]).toEqual([0, 2, 4]);
    expect(peer.torrent.events).toEqual(['peer 1: 0 -> 3 pieces']);
    expect(peer.session.isSeed).toBe(false);
  });

  it('makes it a seed when HAVEs complete a lazy bitfield, and all seeds share one bitfield', () => {
    const torrent = new FakeTorrent();
    const [lazy, frank] = [new Conversation(torrent), new Conversation(torrent, {}, 2)];
    lazy.hear(bitfield('d8'), have(2));
    frank.hear(bitfield('f8'));
    expect([lazy.session.isSeed, frank.session.isSeed]).toEqual([true, true]);
    expect(lazy.session.has).toBe(torrent.full);
    expect(frank.session.has).toBe(torrent.full);
    lazy.hear(have(2), bitfield('00'));
    expect([lazy.session.isSeed, torrent.full.count]).toEqual([true, 5]);
  });

  it('grows with a bitfield that comes late or again, and never shrinks', () => {
    const peer = new Conversation(new FakeTorrent());
    // The second and the last one say nothing new.
    peer.hear(have(4), UNCHOKE, bitfield('80'), bitfield('80'), bitfield('20'), bitfield('a8'));
    expect([...peer.session.has]).toEqual([0, 2, 4]);
    expect(peer.torrent.events).toEqual(['peer 1: piece 4', 'peer 1: 1 -> 2 pieces', 'peer 1: 2 -> 3 pieces']);
  });

  it.each([
    [bitfield(''), 'bitfield of 0 bytes does not fit 5 pieces'],
    [bitfield('f800'), 'message 5 of 3 bytes, at most 2 are taken'],
    [bitfield('fc'), 'bitfield of 1 bytes does not fit 5 pieces'],
    [have(5), 'have for piece 5 of 5'],
    [have(0xffffffff), 'have for piece 4294967295 of 5'],
  ])('is refused when it cannot be: %s', (message, why) => {
    const peer = new Conversation(new FakeTorrent());
    expect(refusal(peer, message)).toBe(why);
    expect(peer.torrent.events).toEqual([]);
  });
});

describe('interest', () => {
  it('is told once the peer has something that is needed', () => {
    const peer = new Conversation(new FakeTorrent());
    peer.torrent.needs.clear(1);
    peer.hear(have(1));
    expect(peer.said()).toBe('');
    peer.hear(have(2), have(3));
    expect(peer.said()).toBe(INTERESTED);
    expect(peer.session.amInterested).toBe(true);
  });

  it('follows bitfields, and ends when nothing is needed any more', () => {
    const peer = new Conversation(new FakeTorrent());
    peer.hear(bitfield('00'));
    expect(peer.said()).toBe('');
    peer.hear(bitfield('10'));
    expect(peer.said()).toBe(INTERESTED);
    for (let piece = 0; piece < 5; piece++) peer.torrent.needs.clear(piece);
    peer.session.updateInterest();
    peer.session.updateInterest();
    expect(peer.said()).toBe(NOT_INTERESTED);
  });

  it('is there as long as the peer has anything that is needed, in whatever order pieces come and go', () => {
    const piece = fc.nat({ max: 39 });
    const step = fc.record({ piece, what: fc.constantFrom('have', 'bitfield', 'written', 'written') });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const torrent = new FakeTorrent(new Geometry({ length: 40 * BLOCK, pieceLength: BLOCK }));
        const peer = new Conversation(torrent);
        for (const { piece, what } of steps) {
          if (what === 'have') peer.hear(have(piece));
          if (what === 'bitfield') peer.hear(bitfield((1n << BigInt(piece)).toString(16).padStart(10, '0')));
          if (what === 'written' && torrent.needs.clear(piece)) peer.session.updateInterest();
          const wanted = [...peer.session.has].some((index) => torrent.needs.has(index));
          expect(peer.session.amInterested).toBe(wanted);
        }
      }),
    );
  });

  it('comes before any request, and requests wait for the unchoke', () => {
    const peer = new Conversation(new FakeTorrent(), NARROW);
    peer.torrent.lease(0);
    peer.hear(UNCHOKE);
    expect(peer.said()).toBe('');
    peer.hear(CHOKE, bitfield('80'));
    expect(peer.said()).toBe(INTERESTED);
    expect(peer.session.askable).toBeUndefined();
    peer.hear(UNCHOKE);
    expect(peer.said()).toBe(
      '0000000d06000000000000000000004000' +
        '0000000d06000000000000400000004000' +
        '0000000d06000000000000800000001c40',
    );
  });

  it('of the peer is passed on', () => {
    const peer = new Conversation(new FakeTorrent());
    peer.hear(INTERESTED);
    expect(peer.session.peerInterested).toBe(true);
    peer.hear(NOT_INTERESTED);
    expect(peer.session.peerInterested).toBe(false);
    expect(peer.torrent.events).toEqual(['peer 1: interested', 'peer 1: not interested']);
  });
});

describe('requests', () => {
  it('are for leased pieces that the peer has, as many as the window holds', () => {
    const peer = new Conversation(new FakeTorrent(), NARROW);
    const { torrent } = peer;
    for (const piece of [3, 0, 1]) torrent.lease(piece);
    peer.hear(bitfield('48'), UNCHOKE);
    expect(peer.said()).toBe(INTERESTED + torrent.request(1, 0) + torrent.request(1, 1) + torrent.request(1, 2));
    expect(peer.session.downloads.shortage).toBe(0);
    peer.hear(have(3));
    expect(peer.said()).toBe('');
    peer.hear(torrent.block(1, 0));
    expect(peer.said()).toBe(torrent.request(3, 0));
  });

  it('note how much more could have been asked for', () => {
    const peer = new Conversation(new FakeTorrent(), { requestsAtStart: 10 });
    peer.torrent.lease(4);
    peer.open();
    expect(peer.session.downloads.shortage).toBe(8);
    peer.hear(CHOKE);
    expect(peer.session.downloads.shortage).toBe(0);
  });

  it('are topped up in one write when a quarter of the window is free', () => {
    const peer = new Conversation(new FakeTorrent(), { requestsAtStart: 8, requestTimeoutMs: 20_000 });
    const { torrent } = peer;
    for (const piece of [0, 1, 2, 3]) torrent.lease(piece);
    peer.open();
    peer.hear(torrent.block(0, 0));
    expect(peer.said()).toBe('');
    peer.hear(torrent.block(0, 1));
    expect(peer.said()).toBe(torrent.request(2, 2) + torrent.request(3, 0));
  });

  it('are topped up by 64 of a long window: a peer far away would wait for a quarter of it', () => {
    const geometry = new Geometry({ length: 512 * BLOCK, pieceLength: 256 * BLOCK });
    const peer = new Conversation(new FakeTorrent(geometry), { requestsAtStart: 400, requestTimeoutMs: 20_000 });
    const { torrent } = peer;
    for (const piece of [0, 1]) torrent.lease(piece);
    peer.hear(bitfield('c0'), UNCHOKE);
    peer.said();
    for (let block = 0; block < 63; block++) peer.hear(torrent.block(0, block));
    expect(peer.said()).toBe('');
    peer.hear(torrent.block(0, 63));
    expect(peer.said()).toBe(Array.from({ length: 64 }, (_, i) => torrent.request(1, 400 - 256 + i)).join(''));
  });

  it('bring blocks into the lease whole, wherever reads are cut', () => {
    const { torrent } = new Conversation(new FakeTorrent());
    const stream = Buffer.from([0, 1, 2].map((block) => torrent.block(0, block)).join(''), 'hex');
    const expected = Buffer.concat([0, 1, 2].map((block) => torrent.payload(0, block)));
    for (const size of [1, 13, 1_000, 16_397, 40_000, 65_536]) {
      const peer = new Conversation(new FakeTorrent());
      peer.torrent.lease(0);
      peer.open();
      for (let at = 0; at < stream.length; at += size) peer.hear(stream.subarray(at, at + size).toString('hex'));
      expect(Buffer.compare(peer.torrent.complete[0]!.bytes, expected)).toBe(0);
      expect(peer.torrent.complete[0]!.givers()).toEqual(Uint32Array.of(1, 1, 1));
      expect([peer.session.downloads.downloaded, peer.session.downloads.recent, peer.torrent.waste]).toEqual([
        40_000, 40_000, 0,
      ]);
      expect(peer.torrent.events.slice(1)).toEqual([
        'block of piece 0: 16384',
        'block of piece 0: 16384',
        'block of piece 0: 7232',
      ]);
    }
  });

  it('take blocks in any order', () => {
    const peer = new Conversation(new FakeTorrent());
    const { torrent } = peer;
    torrent.lease(4);
    peer.open();
    peer.hear(torrent.block(4, 1), torrent.block(4, 0));
    expect(torrent.complete[0]!.bytes).toEqual(new Uint8Array([...torrent.payload(4, 0), ...torrent.payload(4, 1)]));
  });

  it('are dropped by a choke and made again, of anybody, after it', () => {
    const torrent = new FakeTorrent();
    const [first, second] = [new Conversation(torrent, NARROW), new Conversation(torrent, NARROW, 2)];
    torrent.lease(0);
    first.open();
    second.open();
    expect(second.session.downloads.requests.size).toBe(0);
    first.hear(torrent.block(0, 0), CHOKE);
    second.session.fill(2_000);
    expect(second.said()).toBe(torrent.request(0, 1) + torrent.request(0, 2));
    // Nothing is owed any more: a block that comes all the same is waste.
    first.hear(torrent.block(0, 1));
    expect(torrent.waste).toBe(BLOCK);
    second.hear(CHOKE);
    first.hear(UNCHOKE);
    expect(first.said()).toBe(torrent.request(0, 1) + torrent.request(0, 2));
  });

  it('wait a while after the second choke in a row that came instead of a block', () => {
    const peer = new Conversation(new FakeTorrent(), NARROW);
    const { torrent } = peer;
    for (const piece of [0, 1]) torrent.lease(piece);
    peer.open();
    peer.hear(CHOKE, UNCHOKE);
    expect(peer.said()).not.toBe('');
    // It gives: what comes now is the first one again.
    peer.hear(torrent.block(0, 0), CHOKE, UNCHOKE);
    expect(peer.said()).not.toBe('');
    peer.hear(CHOKE, UNCHOKE);
    expect(peer.said()).toBe('');
    peer.now += 500;
    peer.session.fill(peer.now);
    expect(peer.said()).not.toBe('');
  });

  it('are not made of a peer whose connection has closed', () => {
    const peer = new Conversation(new FakeTorrent(), NARROW);
    peer.torrent.lease(0);
    peer.open();
    peer.session.onClose(peer.now);
    expect(peer.torrent.leases.missingBlocks).toBe(3);
    peer.session.fill(2_000);
    expect(peer.torrent.leases.missingBlocks).toBe(3);
  });

  it('are not made of a closed one for allowed fast pieces either', () => {
    const peer = new Conversation(new FakeTorrent(), NARROW, 1, FAST);
    peer.torrent.lease(0);
    peer.hear(bitfield('f8'), '000000051100000000');
    expect(peer.torrent.leases.missingBlocks).toBe(0);
    peer.session.onClose(peer.now);
    peer.session.fill(2_000);
    expect(peer.torrent.leases.missingBlocks).toBe(3);
  });

  it('keep up with a window that arrives in one read', () => {
    const peer = new Conversation(new FakeTorrent(), { requestsAtStart: 3 });
    const { torrent } = peer;
    let lease = torrent.lease(0);
    peer.open();
    for (let round = 0; round < 20; round++) {
      peer.now += 10;
      const blocks = [0, 1, 2].map((block) => torrent.block(lease.piece, block));
      lease = torrent.lease(1 - lease.piece);
      peer.hear(...blocks);
    }
    expect(torrent.waste).toBe(0);
    expect(torrent.complete).toHaveLength(20);
  });
});

describe('blocks that nobody waits for', () => {
  it.each([
    ['of a piece that is not leased', (torrent: FakeTorrent) => torrent.block(1, 0), BLOCK],
    ['of a lease, but not asked for', (torrent: FakeTorrent) => torrent.block(0, 2), 7_232],
    ['shorter than what was asked for', () => blockOf(0, 0, new Uint8Array(100)), 100],
    ['that reach over the end of the piece', () => blockOf(0, 2 * BLOCK, new Uint8Array(BLOCK)), BLOCK],
    ['that begin between two blocks', () => blockOf(0, 1, new Uint8Array(BLOCK)), BLOCK],
    ['that begin at the end of the piece', () => blockOf(0, 40_000, new Uint8Array(1)), 1],
    ['that begin far behind the piece', () => blockOf(0, 0xffffc000, new Uint8Array(BLOCK)), BLOCK],
  ])('are thrown away: %s', (_, message, waste) => {
    const peer = new Conversation(new FakeTorrent(), { requestsAtStart: 2 });
    const lease = peer.torrent.lease(0);
    peer.open();
    peer.hear(message(peer.torrent));
    expect(peer.torrent.waste).toBe(waste);
    expect([isEmpty(lease), Math.max(...lease.bytes), peer.session.downloads.downloaded]).toEqual([true, 0, 0]);
    // What was asked for is still owed, and still welcome.
    expect(peer.session.downloads.requests.size).toBe(2);
    peer.hear(peer.torrent.block(0, 0));
    expect(peer.session.downloads.downloaded).toBe(BLOCK);
  });

  it('are thrown away when they come a second time', () => {
    const peer = new Conversation(new FakeTorrent());
    peer.torrent.lease(0);
    peer.open();
    peer.hear(peer.torrent.block(0, 0), peer.torrent.block(0, 0, 99));
    expect([peer.session.downloads.downloaded, peer.torrent.waste]).toEqual([BLOCK, BLOCK]);
    expect(peer.torrent.leases.get(0)!.bytes[0]).toBe(peer.torrent.payload(0, 0)[0]);
  });

  it('end the conversation when their piece does not exist', () => {
    expect(refusal(new Conversation(new FakeTorrent()).open(), blockOf(5, 0, new Uint8Array(1)))).toBe(
      'piece for piece 5 of 5',
    );
  });

  it('are thrown away when their lease has gone home', () => {
    const peer = new Conversation(new FakeTorrent());
    const { torrent } = peer;
    const lease = torrent.lease(0);
    peer.open();
    torrent.leases.remove(lease);
    peer.hear(torrent.block(0, 0));
    expect([torrent.waste, isEmpty(lease), Math.max(...lease.bytes)]).toEqual([BLOCK, true, 0]);
    expect(peer.session.downloads.requests.size).toBe(2);
  });

  it('are thrown away when their lease goes home half way, even if the piece comes again', () => {
    const peer = new Conversation(new FakeTorrent());
    const { torrent } = peer;
    const lease = torrent.lease(0);
    peer.open();
    const message = torrent.block(0, 0);
    peer.hear(message.slice(0, 2_000));
    torrent.leases.remove(lease);
    // As a transfer does: a write to it would throw.
    structuredClone(lease.buffer, { transfer: [lease.buffer] });
    const again = torrent.lease(0);
    peer.hear(message.slice(2_000));
    expect([torrent.waste, isEmpty(again), Math.max(...again.bytes)]).toEqual([BLOCK, true, 0]);
  });

  it('are taken when the piece was leased again before they came', () => {
    const peer = new Conversation(new FakeTorrent(), { requestsAtStart: 3 });
    const { torrent } = peer;
    torrent.leases.remove(torrent.lease(1));
    torrent.lease(0);
    peer.open();
    torrent.leases.remove(torrent.leases.get(0)!);
    torrent.lease(0);
    peer.hear(torrent.block(0, 0));
    expect([torrent.waste, peer.session.downloads.downloaded]).toEqual([0, BLOCK]);
  });
});

describe('a disconnect', () => {
  it('gives back everything the peer owes, with the block that was half way', () => {
    const peer = new Conversation(new FakeTorrent(), NARROW);
    const { torrent } = peer;
    const lease = torrent.lease(0);
    peer.open();
    peer.hear(torrent.block(0, 0), torrent.block(0, 1).slice(0, 5_000));
    expect(lease.missing).toBe(0);
    peer.session.onClose(peer.now);
    expect([torrent.leases.missingBlocks, lease.presence()]).toEqual([2, Uint8Array.of(1, 0, 0)]);
    expect(torrent.waste).toBe(0);
  });

  it('stops the reading of what else has come', () => {
    const peer = new Conversation(new FakeTorrent());
    peer.torrent.onPeerInterest = () => peer.session.onClose(peer.now);
    peer.hear(INTERESTED, have(1), have(77));
    expect(peer.torrent.events).toEqual([]);
  });
});

describe('an empty block, as BitComet rejects a request', () => {
  it('makes the block free for another peer, and rests the one that rejects', () => {
    const torrent = new FakeTorrent();
    const [bad, good] = [new Conversation(torrent, NARROW), new Conversation(torrent, NARROW, 2)];
    torrent.lease(0);
    bad.open();
    good.open();
    bad.hear(blockOf(0, 0, new Uint8Array(0)));
    expect([bad.session.downloads.requests.size, bad.said()]).toEqual([2, '']);
    good.session.fill(good.now);
    expect(good.said()).toBe(torrent.request(0, 0));
    bad.hear(torrent.block(0, 1), torrent.block(0, 2));
    good.hear(torrent.block(0, 0));
    expect(torrent.complete[0]!.givers()).toEqual(Uint32Array.of(2, 1, 1));
    expect(torrent.waste).toBe(0);
  });

  it('does not make the client ask and be rejected for ever', () => {
    const peer = new Conversation(new FakeTorrent(), { ...NARROW, unaskedBlocks: 3_000 });
    const { torrent } = peer;
    torrent.lease(0);
    peer.open();
    let requests = 0;
    for (let round = 0; round < 1_000; round++) {
      peer.now += 10;
      peer.hear(...[0, 1, 2].map((block) => blockOf(0, block * BLOCK, new Uint8Array(0))));
      peer.session.downloads.onTick(peer.now);
      requests += peer.said().length / 34;
    }
    expect(torrent.leases.missingBlocks).toBe(3);
    // Within 10 s: at 0, 0.5, 1.5, 3.5 and 7.5 s, and soon one at a time.
    expect(requests).toBeLessThan(10);
    peer.now += 20_000;
    peer.session.fill(peer.now);
    expect(peer.said()).not.toBe('');
  });

  it('means nothing when nothing was asked for', () => {
    const peer = new Conversation(new FakeTorrent(), NARROW);
    peer.torrent.lease(0);
    peer.open();
    peer.hear(blockOf(1, 0, new Uint8Array(0)), blockOf(0, 40_000, new Uint8Array(0)));
    expect([peer.session.downloads.requests.size, peer.torrent.waste]).toEqual([3, 0]);
  });
});

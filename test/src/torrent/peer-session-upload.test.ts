import { describe, expect, it } from 'vitest';
import { encodeHaves, WireError } from '../../../src/protocol/wire.js';
import {
  bitfield,
  CHOKE,
  Conversation,
  cancel,
  FakeTorrent,
  have,
  request,
  UNCHOKE,
} from '../../helpers/conversation.js';

const BLOCK = 16_384;

/** A client that has pieces 0 and 4, and a peer that it has unchoked. */
function unchoked(overrides: Record<string, number> = {}): Conversation {
  const torrent = new FakeTorrent();
  for (const piece of [0, 4]) torrent.have.set(piece);
  const peer = new Conversation(torrent, overrides);
  peer.session.uploads.unchoke();
  peer.said();
  return peer;
}

describe('the first message', () => {
  it('is a bitfield, where there is something to say', () => {
    const torrent = new FakeTorrent();
    const peer = new Conversation(torrent);
    peer.session.start();
    expect(peer.said()).toBe('');
    torrent.have.set(0);
    torrent.have.set(4);
    peer.session.start();
    expect(peer.said()).toBe('000000020588');
  });
});

describe('choking', () => {
  it('is said once', () => {
    const peer = new Conversation(new FakeTorrent());
    peer.session.uploads.choke();
    expect(peer.said()).toBe('');
    peer.session.uploads.unchoke();
    peer.session.uploads.unchoke();
    expect([peer.said(), peer.session.uploads.amChoking]).toEqual([UNCHOKE, false]);
    peer.session.uploads.choke();
    peer.session.uploads.choke();
    expect([peer.said(), peer.session.uploads.amChoking]).toEqual([CHOKE, true]);
  });

  it('drops what the peer has asked for', () => {
    const peer = unchoked();
    peer.hear(request(0, 0));
    peer.session.uploads.choke();
    expect(peer.session.uploads.queue.size).toBe(0);
  });
});

describe('requests of the peer', () => {
  it('are queued for any range of a piece that we have', () => {
    const peer = unchoked();
    peer.hear(request(0, 0), request(0, 3, 5), request(4, 19_999, 1), request(0, 0, 40_000));
    expect(peer.served).toBe(4);
    expect(peer.session.uploads.queue.takeRun(1)).toEqual([{ piece: 0, begin: 0, length: BLOCK }]);
    expect(peer.session.uploads.queue.takeRun(1)).toEqual([{ piece: 0, begin: 3, length: 5 }]);
    expect(peer.session.uploads.queue.takeRun(1)).toEqual([{ piece: 4, begin: 19_999, length: 1 }]);
    expect(peer.session.uploads.queue.takeRun(1)).toEqual([{ piece: 0, begin: 0, length: 40_000 }]);
    expect(peer.said()).toBe('');
  });

  it('are ignored while it is choked', () => {
    const peer = unchoked();
    peer.session.uploads.choke();
    peer.hear(request(0, 0));
    expect([peer.session.uploads.queue.size, peer.served]).toEqual([0, 0]);
  });

  it('are ignored for a piece that we lack', () => {
    const peer = unchoked();
    peer.hear(request(1, 0));
    expect([peer.session.uploads.queue.size, peer.served]).toEqual([0, 0]);
  });

  it('beyond the length of the queue are kept when they have come, and no more is read for a while', () => {
    const peer = unchoked({ uploadQueue: 2 });
    peer.hear(request(0, 0));
    expect(peer.held).toBe(0);
    peer.hear(request(0, BLOCK), request(4, 0));
    expect([peer.session.uploads.queue.size, peer.served, peer.held]).toEqual([3, 3, 2]);
  });

  it('are taken back by a cancel that says the same', () => {
    const peer = unchoked();
    peer.hear(request(0, 0), request(0, BLOCK), cancel(0, 0), cancel(0, BLOCK, 5), cancel(0xffffffff, 1, 2));
    expect(peer.session.uploads.queue.takeRun(1e9)).toEqual([{ piece: 0, begin: BLOCK, length: BLOCK }]);
  });

  it.each([
    [request(5, 0), 'request for piece 5 of 5'],
    [request(0xffffffff, 0), 'request for piece 4294967295 of 5'],
    [request(0, 40_000, 1), 'request for 1 bytes at 40000 of piece 0 is out of range'],
    [request(0, 0, 40_001), 'request for 40001 bytes at 0 of piece 0 is out of range'],
    [request(4, 19_999, 2), 'request for 2 bytes at 19999 of piece 4 is out of range'],
    [request(0, 0, 0), 'request for 0 bytes at 0 of piece 0 is out of range'],
    [request(0, 0xffffffff, 0xffffffff), 'request for 4294967295 bytes at 4294967295 of piece 0 is out of range'],
    // Even of a piece that we lack, and while choked.
    [request(1, 0, 40_001), 'request for 40001 bytes at 0 of piece 1 is out of range'],
  ])('end the conversation when they are out of range: %s', (message, why) => {
    const peer = unchoked();
    expect(() => peer.hear(message)).toThrow(new WireError(why));
    peer.session.uploads.choke();
    expect(() => peer.hear(message)).toThrow(WireError);
    expect(peer.session.uploads.queue.size).toBe(0);
  });

  it('end the conversation when they are longer than what is served', () => {
    const peer = unchoked({ uploadRequestBytes: 20_000 });
    peer.hear(request(0, 0, 20_000));
    expect(() => peer.hear(request(0, 0, 20_001))).toThrow('request for 20001 bytes at 0 of piece 0 is out of range');
  });

  it('are forgotten when the connection closes', () => {
    const peer = unchoked();
    peer.hear(request(0, 0));
    peer.session.onClose(peer.now);
    expect(peer.session.uploads.queue.size).toBe(0);
  });
});

describe('our HAVEs', () => {
  it('leave out what the peer has', () => {
    const peer = new Conversation(new FakeTorrent());
    const pieces = [0, 1, 2].map((piece) => peer.torrent.piece(piece));
    const encoded = encodeHaves(pieces);
    peer.session.sendHaves(pieces, encoded);
    expect(peer.said()).toBe(have(0) + have(1) + have(2));
    peer.torrent.needs.clear(1);
    peer.hear(have(1));
    peer.session.sendHaves(pieces, encoded);
    expect(peer.said()).toBe(have(0) + have(2));
    peer.session.sendHaves(pieces.slice(1, 2), encodeHaves([1]));
    expect(peer.said()).toBe('');
    peer.hear(bitfield('f8'));
    peer.said();
    peer.session.sendHaves(pieces, encoded);
    expect(peer.said()).toBe('');
  });
});

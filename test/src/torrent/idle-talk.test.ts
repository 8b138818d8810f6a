import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/protocol/wire.js';
import { Geometry } from '../../../src/torrent/geometry.js';
import { IdleTalk } from '../../../src/torrent/idle-talk.js';
import {
  bitfield,
  CHOKE,
  Conversation,
  cancel,
  FAST,
  FakeTorrent,
  have,
  INTERESTED,
  NOT_INTERESTED,
  request,
  UNCHOKE,
} from '../../helpers/conversation.js';

const LITTLE = { idleTalk: 100, idleTalkPerSecond: 10 };
const times = (count: number, message: string): string[] => Array.from({ length: count }, () => message);

describe('talk of no use', () => {
  it('is borne up to its bound at once, and a message more is one too many', () => {
    const talk = new IdleTalk(LITTLE);
    for (let i = 0; i < 100; i++) talk.onMessage(0);
    expect(() => talk.onMessage(0)).toThrow(new WireError('more than 100 messages of no use'));
  });

  it('is borne for ever at its rate', () => {
    const talk = new IdleTalk(LITTLE);
    for (let now = 0; now < 1_000_000; now += 100) talk.onMessage(now);
    for (let i = 0; i < 100; i++) talk.onMessage(1_000_000);
    expect(() => talk.onMessage(1_000_000)).toThrow(WireError);
  });

  it('is not saved up by silence', () => {
    const talk = new IdleTalk(LITTLE);
    expect(() => talk.onMessage(1e9, 101)).toThrow(WireError);
  });

  it.each([
    ['keep-alive', '00000000'],
    ['choke', CHOKE],
    ['unchoke', UNCHOKE],
    ['interested', INTERESTED],
    ['not interested', NOT_INTERESTED],
    ['HAVE of a piece it has', have(0)],
    ['request of what we lack', request(0, 0)],
    ['cancel of what it never asked for', cancel(0, 0)],
    ['reject of what it was not asked for', '0000000d10000000000000000000004000'],
    ['allowed fast piece', '000000051100000000'],
    ['suggestion', '000000050d00000000'],
    ['port', '00000003091ae1'],
    ['message nobody knows', '0000000164'],
  ])('ends a conversation when it is the same %s over and over', (_what, message) => {
    const peer = new Conversation(new FakeTorrent(), LITTLE, 1, FAST);
    peer.hear(...times(100, message));
    expect(() => peer.hear(message, message)).toThrow(WireError);
  });

  it('weighs more in bitfields but the first', () => {
    const peer = new Conversation(new FakeTorrent(), LITTLE);
    peer.hear(...times(5, bitfield('80')));
    expect(() => peer.hear(bitfield('80'))).toThrow(WireError);
  });

  it('weighs as much in bitfields as they have bytes, whether they say anything new or not', () => {
    const geometry = new Geometry({ length: 100_000, pieceLength: 1 });
    const peer = new Conversation(new FakeTorrent(geometry));
    const bits = Buffer.alloc(12_500);
    const says = (news: boolean): void => {
      if (news) bits[0] = (bits[0]! << 1) | 1;
      peer.hear(bitfield(bits.toString('hex')));
    };
    // Of 10,000 short messages each takes 145.
    for (let i = 0; i < 69; i++) says(i < 8);
    expect(() => says(false)).toThrow(new WireError('more than 10000 messages of no use'));
    expect(peer.torrent.events).toHaveLength(8);
  });

  it.each([
    ['messages nobody knows', 'f4'],
    ['peer exchange that comes too soon', '1401'],
  ])('weighs as much in %s as they have bytes', (_, start) => {
    const peer = new Conversation(new FakeTorrent(), {}, 1, FAST);
    peer.hear('0000000414016465', '0000000164');
    const long = `000f4240${start.padEnd(2_000_000, '0')}`;
    expect(() => peer.hear(long)).toThrow(WireError);
  });

  it('is a request, too, that is taken back', () => {
    const torrent = new FakeTorrent();
    torrent.have.set(torrent.piece(0));
    const peer = new Conversation(torrent, LITTLE, 1, FAST);
    peer.session.uploads.unchoke();
    peer.hear(...times(100, request(0, 0) + cancel(0, 0)));
    expect(() => peer.hear(request(0, 0) + cancel(0, 0))).toThrow(WireError);
  });

  it('is borne of a peer that sends the longest bitfield there can be again', () => {
    const geometry = new Geometry({ length: 6_000_000, pieceLength: 1 });
    const peer = new Conversation(new FakeTorrent(geometry));
    peer.hear(...times(2, bitfield('00'.repeat(750_000))));
    expect(peer.session.has.count).toBe(0);
  });

  it('is no talk of a peer that names new pieces, however little is borne', () => {
    const peer = new Conversation(new FakeTorrent(), LITTLE);
    peer.hear(...times(100, CHOKE), have(0), have(1), have(2), have(3), have(4));
    expect(peer.session.isSeed).toBe(true);
  });
});

describe('blocks that were never asked for', () => {
  it('are borne up to their bound, which those that were asked for do not use up', () => {
    const torrent = new FakeTorrent();
    torrent.lease(0);
    const peer = new Conversation(torrent, { unaskedBlocks: 3 }).open();
    peer.hear(torrent.block(0, 0), torrent.block(0, 1), torrent.block(0, 2));
    expect(torrent.complete).toHaveLength(1);
    peer.hear(...times(3, torrent.block(1, 0)));
    expect(() => peer.hear(torrent.block(1, 0))).toThrow(new WireError('more blocks than were asked for'));
  });

  it('count when they are empty or out of place, too', () => {
    const peer = new Conversation(new FakeTorrent(), { unaskedBlocks: 3 }).open();
    const empty = '00000009070000000000000000';
    peer.hear(...times(3, empty));
    expect(() => peer.hear(empty)).toThrow(WireError);
  });
});

import { describe, expect, it } from 'vitest';
import { WireError } from '../../../src/protocol/wire.js';
import {
  bitfield,
  CHOKE,
  Conversation,
  FAST,
  FakeTorrent,
  have,
  INTERESTED,
  request,
  UNCHOKE,
} from '../../helpers/conversation.js';

const HAVE_ALL = '000000010e';
const HAVE_NONE = '000000010f';
const u32 = (value: number): string => value.toString(16).padStart(8, '0');
const reject = (piece: number, begin: number, length = 16_384): string =>
  `0000000d10${u32(piece)}${u32(begin)}${u32(length)}`;
const allowedFast = (piece: number): string => `0000000511${u32(piece)}`;
const suggest = (piece: number): string => `000000050d${u32(piece)}`;
const BLOCK = 16_384;

const fast = (torrent = new FakeTorrent(), overrides = {}): Conversation =>
  new Conversation(torrent, { requestsAtStart: 3, ...overrides }, 1, FAST);

describe('the fast extension', () => {
  it('says what we have in one byte where that is all or nothing', () => {
    const torrent = new FakeTorrent();
    const first = (): string => {
      const peer = fast(torrent);
      peer.session.start();
      return peer.said();
    };
    expect(first()).toBe(HAVE_NONE);
    torrent.have.set(2);
    expect(first()).toBe('000000020520');
    for (const piece of [0, 1, 3, 4]) torrent.have.set(piece);
    expect(first()).toBe(HAVE_ALL);
  });

  it('hears have-all', () => {
    const peer = fast();
    peer.hear(HAVE_ALL);
    expect([peer.session.isSeed, peer.said()]).toEqual([true, INTERESTED]);
  });

  it.each([
    ['have-all', HAVE_ALL],
    ['have-none', HAVE_NONE],
    ['suggest', suggest(0)],
    ['reject', reject(0, 0)],
    ['allowed fast', allowedFast(0)],
  ])('is over with a peer that says %s and never negotiated it', (name, message) => {
    const plain = new Conversation(new FakeTorrent());
    expect(() => plain.hear(message)).toThrow(`${name} without the fast extension`);
  });

  it('keeps requests through a choke until each is answered', () => {
    const peer = fast();
    peer.torrent.lease(0);
    peer.hear(HAVE_ALL, UNCHOKE);
    expect(peer.session.downloads.requests.size).toBe(3);
    peer.hear(CHOKE);
    expect(peer.session.downloads.requests.size).toBe(3);
    peer.hear(peer.torrent.block(0, 0), reject(0, BLOCK), reject(0, 2 * BLOCK, 7_232));
    expect(peer.session.downloads.requests.size).toBe(0);
    expect([peer.session.downloads.downloaded, peer.torrent.leases.missingBlocks]).toEqual([BLOCK, 2]);
    peer.said();
    peer.hear(UNCHOKE);
    expect(peer.said()).toBe(peer.torrent.request(0, 1) + peer.torrent.request(0, 2));
  });

  it('leaves a peer alone for a while that rejects without choking', () => {
    const peer = fast();
    peer.torrent.lease(0);
    peer.hear(HAVE_ALL, UNCHOKE);
    peer.said();
    peer.hear(reject(0, 0));
    expect(peer.said()).toBe('');
    peer.hear(peer.torrent.block(0, 1), peer.torrent.block(0, 2));
    expect(peer.said()).toBe('');
    peer.now += 500;
    peer.session.fill(peer.now);
    expect(peer.said()).toBe(peer.torrent.request(0, 0));
  });

  it('passes on what the peer suggests, if it has the piece and we need it, sixteen times', () => {
    const suggested = ({ torrent }: Conversation): string[] =>
      torrent.events.filter((event) => event.startsWith('suggested'));
    const peer = fast();
    peer.torrent.needs.clear(peer.torrent.piece(3));
    peer.hear(bitfield('70'), suggest(1), suggest(0), suggest(3), suggest(2));
    expect(suggested(peer)).toEqual(['suggested 1', 'suggested 2']);
    for (let i = 0; i < 20; i++) peer.hear(suggest(1));
    expect(suggested(peer)).toHaveLength(16);
    expect(() => peer.hear(suggest(5))).toThrow(WireError);
  });

  it('requests the allowed fast pieces that the peer has while it chokes us, and no others', () => {
    const peer = fast();
    for (const piece of [0, 1, 2]) peer.torrent.lease(piece);
    peer.hear(bitfield('60'), allowedFast(1), allowedFast(0));
    expect(peer.said()).toBe(INTERESTED + [0, 1, 2].map((block) => peer.torrent.request(1, block)).join(''));
    peer.hear(reject(1, 0));
    expect(peer.said()).toBe('');
    expect(() => peer.hear(allowedFast(5))).toThrow(WireError);
  });

  it.each([
    ['have', have(0)],
    ['bitfield', bitfield('80')],
    ['have-all', HAVE_ALL],
  ])('asks for what the peer granted before it had it once it has, by its %s', (_, gains) => {
    const peer = fast();
    peer.torrent.lease(0);
    peer.hear(HAVE_NONE, allowedFast(0));
    expect(peer.said()).toBe('');
    peer.hear(gains);
    expect(peer.said()).toBe(INTERESTED + [0, 1, 2].map((block) => peer.torrent.request(0, block)).join(''));
  });

  it('gives a choked peer each block of an allowed fast piece three times at most', () => {
    const torrent = new FakeTorrent();
    torrent.have.set(0);
    torrent.fastSet = [0];
    const peer = fast(torrent);
    peer.session.start();
    let given = 0;
    for (let n = 0; n < 100; n++) {
      peer.hear(request(0, 0));
      given += peer.session.uploads.queue.takeRun(1e9).length;
    }
    expect(given).toBe(9);
    expect(peer.said().endsWith(reject(0, 0))).toBe(true);
    peer.session.uploads.unchoke();
    peer.hear(request(0, 0));
    expect(peer.session.uploads.queue.size).toBe(1);
  });

  it('answers every request, with a reject if need be', () => {
    const torrent = new FakeTorrent();
    torrent.have.set(0);
    torrent.fastSet = [0, 3];
    const peer = fast(torrent, { uploadQueue: 2 });
    peer.session.start();
    expect(peer.said()).toBe(`000000020580${allowedFast(0)}${allowedFast(3)}`);
    // Choked: allowed fast and there; allowed fast and not there.
    peer.hear(request(0, 0), request(3, 0));
    expect([peer.said(), peer.session.uploads.queue.size]).toEqual([reject(3, 0), 1]);
    peer.session.uploads.unchoke();
    peer.hear(request(0, BLOCK), request(0, 2 * BLOCK, 100));
    expect(peer.said()).toBe(UNCHOKE + reject(0, 2 * BLOCK, 100));
    // A CANCEL is answered too.
    peer.hear(`0000000d08${u32(0)}${u32(BLOCK)}${u32(BLOCK)}`);
    expect(peer.said()).toBe(reject(0, BLOCK));
    peer.session.uploads.choke();
    expect([peer.said(), peer.session.uploads.queue.size]).toEqual([CHOKE, 1]);
  });
});

describe('the extension protocol', () => {
  const extended = (id: number, body: string): string =>
    `${u32(2 + body.length)}14${id.toString(16).padStart(2, '0')}${Buffer.from(body, 'latin1').toString('hex')}`;
  const speaking = (overrides = {}): Conversation =>
    new Conversation(new FakeTorrent(), overrides, 1, { fast: false, extended: true });

  it('comes before the bitfield', () => {
    const torrent = new FakeTorrent();
    torrent.have.set(0);
    const peer = new Conversation(torrent, {}, 1, { fast: true, extended: true });
    peer.session.start();
    const said = Buffer.from(peer.said(), 'hex').toString('latin1');
    expect(said).toMatch(/^\0\0\0.\x14\0d1:md.*e\0\0\0\x02\x05\x80$/s);
  });

  it('bounds the window by the reqq that the peer names', () => {
    const peer = speaking({ requestsAtStart: 32 });
    peer.hear(extended(0, 'd4:reqqi5ee'));
    expect(peer.session.downloads.pipeline.window).toBe(5);
  });

  it('tells the torrent of the port and the peers that it hears of', () => {
    const peer = speaking();
    peer.hear(extended(0, 'd1:pi7e1:v5:othere'), extended(1, 'd5:added6:\xc0\0\x02\x01\0\x09e'));
    peer.hear(extended(1, 'd5:added6:\xc0\0\x02\x01\0\x0ae'));
    expect(peer.torrent.events).toEqual(['peer 1: listens on 7', 'discovered 192.0.2.1:9']);
    expect(peer.session.extensions?.theirs?.client).toBe('other');
  });

  it('hears that a piece is lost, of a seed and of another', () => {
    const peer = speaking();
    peer.hear(bitfield('f8'));
    peer.hear(extended(7, '\0\0\0\x02'));
    expect([...peer.session.has]).toEqual([0, 1, 3, 4]);
    expect(peer.torrent.full.isFull).toBe(true);
    peer.hear(extended(7, '\0\0\0\x02'), extended(7, '\0\0\0\x04'));
    expect([...peer.session.has]).toEqual([0, 1, 3]);
    expect(peer.torrent.events.slice(1)).toEqual(['peer 1: 5 -> 4 pieces', 'lost piece 4']);
    expect(() => peer.hear(extended(7, '\0\0\0\x05'))).toThrow(WireError);
  });

  it('parts with a seed that loses and finds a piece for ever', () => {
    const peer = speaking();
    peer.hear(bitfield('f8'));
    const toAndFro = (): void => {
      for (let i = 0; i < 17; i++) peer.hear(extended(7, '\0\0\0\x02'), have(2));
    };
    expect(toAndFro).toThrow('a seed that loses pieces 17 times');
  });

  it('ignores ids that nobody named', () => {
    const peer = speaking();
    peer.hear(extended(200, 'anything'));
    expect([peer.said(), peer.torrent.events]).toEqual(['', []]);
  });

  it('is upload-only when it says so', () => {
    const peer = speaking();
    expect(peer.session.isUploadOnly).toBe(false);
    peer.hear(extended(0, 'd11:upload_onlyi1ee'));
    expect(peer.session.isUploadOnly).toBe(true);
  });

  it('is told once what address a peer sees us at, whatever it says later', () => {
    const peer = speaking();
    peer.hear(extended(0, 'd6:yourip4:abcde'), extended(0, 'd6:yourip4:xxxxe'));
    expect(peer.torrent.events.filter((event) => event.includes('sees'))).toEqual(['peer 1: sees us at 97.98.99.100']);
  });

  it('tells of the other peers when the peer wants to know', () => {
    const peer = speaking();
    const others = [{ host: '192.0.2.9', port: 9, flags: 0x10 }];
    peer.session.extensions?.exchange(others, 0);
    expect([peer.said(), peer.session.extensions?.wantsPeers(0)]).toEqual(['', false]);
    peer.hear(extended(0, 'd1:md6:ut_pexi4eee'));
    expect(peer.session.extensions?.wantsPeers(0)).toBe(true);
    peer.session.extensions?.exchange(others, 0);
    expect([64_999, 65_000].map((now) => peer.session.extensions?.wantsPeers(now))).toEqual([false, true]);
    expect(Buffer.from(peer.said(), 'hex').toString('latin1')).toContain('\x14\x04d5:added6:\xc0\0\x02\x09\0\x09');
  });
});

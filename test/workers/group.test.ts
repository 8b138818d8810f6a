import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Options } from '../../src/options.js';
import type { PieceIndex } from '../../src/torrent/geometry.js';
import { GroupHarness, OUR_ID } from '../helpers/group-harness.js';
import * as raw from '../helpers/scripted-peer.js';
import { RawPeer, ScriptedPeer, ScriptedSeed } from '../helpers/scripted-peer.js';
import { type SmallTorrent, smallTorrent } from '../helpers/small-torrent.js';

const BLOCK = 16_384;
/** 5 pieces of 3 blocks, the last piece one short block. */
const torrent = smallTorrent(4 * 3 * BLOCK + 1000, 3 * BLOCK);

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function start(options: Partial<Options> = {}): GroupHarness {
  const group = new GroupHarness(options);
  closers.push(() => group.close());
  return group;
}

async function seedOf(of: SmallTorrent, script: raw.SeedScript = {}): Promise<ScriptedSeed> {
  const seed = await ScriptedSeed.listen(of, script);
  closers.push(() => seed.close());
  return seed;
}

async function scripted(script: (peer: RawPeer) => Promise<void> | void): Promise<ScriptedPeer> {
  const peer = await ScriptedPeer.listen(script);
  closers.push(() => peer.close());
  return peer;
}

const pieceOf = (piece: number): Buffer =>
  torrent.payload.subarray(piece * torrent.pieceLength, (piece + 1) * torrent.pieceLength);

describe('a group that downloads', () => {
  it('asks for work once a peer unchokes it and brings leased pieces home verified', async () => {
    const group = start();
    const memory = group.add(torrent);
    const seed = await seedOf(torrent);
    group.connect(seed.port);
    expect(await group.next('connected')).toMatchObject({
      host: '127.0.0.1',
      port: seed.port,
      incoming: false,
      peer: 1,
    });
    const want = await group.next('want');
    expect(want.count).toBeGreaterThanOrEqual(2);
    expect(want.leased).toBe(0);
    expect(memory.section(0).anyPiece).toBe(true);
    expect(memory.section(0).seeds).toBe(1);
    const [first, second] = group.lease(torrent, [4, 1]);
    const verified = [...(await group.next('verified')).leases];
    if (verified.length < 2) verified.push(...(await group.next('verified')).leases);
    expect(verified.map(({ lease, piece }) => [lease, piece])).toEqual([
      [first, 4],
      [second, 1],
    ]);
    expect(Buffer.from(verified[0]!.buffer, 0, 1000)).toEqual(pieceOf(4));
    expect(Buffer.from(verified[1]!.buffer)).toEqual(pieceOf(1));
    expect(seed.requests).toEqual([
      { piece: 4, begin: 0, length: 1000 },
      { piece: 1, begin: 0, length: BLOCK },
      { piece: 1, begin: BLOCK, length: BLOCK },
      { piece: 1, begin: 2 * BLOCK, length: BLOCK },
    ]);
  });

  it('names the giver and the digest of each block of a piece that fails its hash, and gives the buffer back', async () => {
    const group = start();
    group.add(torrent);
    const seed = await seedOf(torrent, {
      answer: (piece, begin, length) => raw.block(piece, begin, Buffer.alloc(length)),
    });
    group.connect(seed.port);
    const { peer } = await group.next('connected');
    await group.next('want');
    const [lease] = group.lease(torrent, [2]);
    const corrupt = await group.next('corrupt');
    expect(corrupt).toMatchObject({ lease, piece: 2, givers: Uint32Array.of(peer, peer, peer) });
    const digest = createHash('sha1').update(Buffer.alloc(BLOCK)).digest();
    expect(Buffer.from(corrupt.digests)).toEqual(Buffer.concat([digest, digest, digest]));
    expect(corrupt.buffer.byteLength).toBe(torrent.pieceLength);
  });

  it('sends a piece whose peer left home with the blocks it has, and goes on from there later', async () => {
    const group = start();
    group.add(torrent);
    const quitter = await seedOf(torrent, {
      answer: (piece, begin, length, peer) => {
        if (begin === 2 * BLOCK) peer.socket.destroy();
        return begin === 2 * BLOCK ? undefined : quitter.blockOf(piece, begin, length);
      },
    });
    group.connect(quitter.port);
    await group.next('connected');
    await group.next('want');
    group.lease(torrent, [0]);
    const returned = await group.next('returned');
    expect([...returned.present]).toEqual([1, 1, 0]);

    const seed = await seedOf(torrent, { peerId: '-XX0001-another-one-' });
    group.connect(seed.port);
    await group.next('connected');
    let home: Awaited<ReturnType<typeof group.next<'verified' | 'returned'>>> = returned;
    // Before the unchoke it goes home again at the next tick.
    while (home.type === 'returned') {
      const { buffer, present } = home;
      group.send({ type: 'lease', torrent: 1, leases: [{ lease: 77, piece: 0 as PieceIndex, buffer, present }] });
      home = await group.next('verified', 'returned');
    }
    const [verified] = home.leases;
    expect(verified?.lease).toBe(77);
    expect(Buffer.from(verified!.buffer)).toEqual(pieceOf(0));
    expect(seed.requests).toEqual([{ piece: 0, begin: 2 * BLOCK, length: BLOCK }]);
  });

  it('asks another peer for what a silent one owes', async () => {
    const group = start({ requestTimeoutMs: 50 });
    group.add(torrent);
    const silent = await seedOf(torrent, { answer: () => undefined });
    group.connect(silent.port);
    await group.next('connected');
    await group.next('want');
    group.lease(torrent, [0]);
    const seed = await seedOf(torrent, { peerId: '-XX0001-another-one-' });
    group.connect(seed.port);
    const [verified] = (await group.next('verified')).leases;
    expect(Buffer.from(verified!.buffer)).toEqual(pieceOf(0));
    expect(silent.requests.length).toBeGreaterThan(0);
  });

  it('asks an idle peer for what a slow one owes when nothing new comes, and cancels there', async () => {
    const group = start({ endgameAfterMs: 30 });
    group.add(torrent);
    const cancelled: number[] = [];
    const slow = await scripted(async (peer) => {
      await peer.bytes(68);
      peer.send(raw.handshakeOf(torrent.infohash), raw.bitfield(raw.fullBitfield(5)), raw.UNCHOKE);
      for (;;) cancelled.push((await peer.nextOf(8)).body.readUInt32BE(4));
    });
    group.connect(slow.port);
    await group.next('connected');
    await group.next('want');
    group.lease(torrent, [0]);
    const seed = await seedOf(torrent, { peerId: '-XX0001-another-one-' });
    group.connect(seed.port);
    const [verified] = (await group.next('verified')).leases;
    expect(Buffer.from(verified!.buffer)).toEqual(pieceOf(0));
    while (cancelled.length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(cancelled).toEqual([0, BLOCK, 2 * BLOCK]);
  });

  it('starts a piece for one peer alone again with an idle one when the first one is too slow, and cancels there', async () => {
    let later = 0;
    const now = performance.now.bind(performance);
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + later);
    closers.push(async () => clock.mockRestore());
    const group = start();
    group.add(torrent);
    const asked = new Set<number>();
    const cancelled: number[] = [];
    let slow: RawPeer | undefined;
    const listener = await scripted(async (peer) => {
      slow = peer;
      await peer.bytes(68);
      peer.send(raw.handshakeOf(torrent.infohash), raw.bitfield(raw.fullBitfield(5)), raw.UNCHOKE);
      for (;;) {
        const { id, body } = await peer.next();
        if (id === 6) asked.add(body.readUInt32BE(4));
        if (id === 8) cancelled.push(body.readUInt32BE(4));
      }
    });
    const until = async (isSo: () => boolean): Promise<void> => {
      while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
    };
    group.connect(listener.port);
    await group.next('want');
    const buffer = new ArrayBuffer(torrent.pieceLength);
    const lease = { lease: 1, piece: 0 as PieceIndex, buffer, exclusive: true, suspect: true };
    group.send({ type: 'lease', torrent: 1, leases: [lease] });
    await until(() => asked.size === 3);
    const give = async (index: number): Promise<void> => {
      const begin = index * BLOCK;
      slow!.send(raw.block(0, begin, torrent.payload.subarray(begin, begin + BLOCK)));
      for (let downloaded = 0; downloaded < BLOCK; ) {
        for (const stats of (await group.next('stats')).torrents) downloaded += stats.downloaded;
      }
    };
    // With the statistics a tick has gone by, which sees who has the piece.
    await give(0);
    const seed = await seedOf(torrent, { peerId: '-XX0001-another-one-' });
    group.connect(seed.port);
    await group.next('connected');
    // A block just inside the time-out: it is not snubbed, and the lease is not idle.
    later = 19_000;
    await give(1);
    expect(seed.requests).toEqual([]);
    later = 31_000;
    const [verified] = (await group.next('verified')).leases;
    expect(Buffer.from(verified!.buffer)).toEqual(pieceOf(0));
    expect(seed.requests.map(({ begin }) => begin)).toEqual([0, BLOCK, 2 * BLOCK]);
    await until(() => cancelled.length === 1);
    expect(cancelled).toEqual([2 * BLOCK]);
  });

  it('copies a lease for another group and goes on with it', async () => {
    const group = start();
    group.add(torrent);
    let answering = true;
    const seed = await seedOf(torrent, {
      answer: (piece, begin, length) => {
        if (begin > 0) answering = false;
        return answering ? seed.blockOf(piece, begin, length) : undefined;
      },
    });
    group.connect(seed.port);
    await group.next('connected');
    await group.next('want');
    const [lease] = group.lease(torrent, [1]);
    for (let downloaded = 0; downloaded < BLOCK; ) {
      for (const stats of (await group.next('stats')).torrents) downloaded += stats.downloaded;
    }
    group.send({ type: 'share', torrent: 1, lease: lease!, buffer: new ArrayBuffer(torrent.pieceLength) });
    const { present = [], buffer } = await group.next('shared');
    expect([...present]).toEqual([1, 0, 0]);
    expect(Buffer.from(buffer, 0, BLOCK)).toEqual(pieceOf(1).subarray(0, BLOCK));
    group.send({ type: 'share', torrent: 1, lease: 4711, buffer });
    expect((await group.next('shared')).present).toBeUndefined();
    group.send({ type: 'recall', torrent: 1, lease: lease! });
    expect(await group.next('returned')).toMatchObject({ lease, piece: 1 });
  });

  it('drops outstanding requests on a choke and repeats them after the unchoke', async () => {
    const group = start();
    group.add(torrent);
    let choked = false;
    const moody = await seedOf(torrent, {
      answer: (piece, begin, length) => {
        if (choked) return moody.blockOf(piece, begin, length);
        choked = true;
        return Buffer.concat([raw.CHOKE, raw.UNCHOKE]);
      },
    });
    group.connect(moody.port);
    await group.next('want');
    group.lease(torrent, [3]);
    const [verified] = (await group.next('verified')).leases;
    expect(Buffer.from(verified!.buffer)).toEqual(pieceOf(3));
    expect(moody.requests.length).toBeGreaterThan(3);
  });

  it('asks its peers by turns under a rate limit, and does not wait for its next tick', async () => {
    const group = start({ tickMs: 10_000 });
    group.add(torrent);
    group.send({ type: 'limits', down: 256 * 1024, up: 0 });
    const seeds = [await seedOf(torrent), await seedOf(torrent)] as const;
    for (const { port } of seeds) group.connect(port);
    for (const _ of seeds) await group.next('connected');
    await group.next('want');
    group.lease(torrent, [0, 1, 2, 3, 4]);
    for (let pieces = 0; pieces < 5; ) pieces += (await group.next('verified')).leases.length;
    for (const { requests } of seeds) expect(requests.length).toBeGreaterThan(2);
  });

  it('gives a recalled lease back and ignores a recall of one it does not hold', async () => {
    const group = start();
    group.add(torrent);
    const silent = await seedOf(torrent, { answer: () => undefined });
    group.connect(silent.port);
    await group.next('connected');
    await group.next('want');
    const [lease] = group.lease(torrent, [0]);
    group.send({ type: 'recall', torrent: 1, lease: 4711 });
    group.send({ type: 'recall', torrent: 1, lease: lease! });
    expect(await group.next('returned')).toMatchObject({ lease, piece: 0 });
  });

  it('gives a lease without progress back unasked', async () => {
    const group = start({ leaseIdleMs: 100 });
    group.add(torrent);
    const silent = await seedOf(torrent, { answer: () => undefined });
    group.connect(silent.port);
    await group.next('connected');
    await group.next('want');
    const [lease] = group.lease(torrent, [0]);
    expect(await group.next('returned')).toMatchObject({ lease, piece: 0 });
  });

  it('wants nothing of a peer once all that it has is there, and says so', async () => {
    const group = start();
    group.add(torrent);
    const heard: number[] = [];
    const peer = await scripted(async (link) => {
      await link.bytes(68);
      link.send(raw.handshakeOf(torrent.infohash), raw.bitfield(Buffer.from([0b1100_0000])));
      const hears = async (id: number): Promise<void> => {
        while (heard.at(-1) !== id) heard.push((await link.next()).id);
      };
      await hears(2);
      for (const piece of [0, 4]) group.send({ type: 'have', torrent: 1, pieces: [piece as PieceIndex] });
      await hears(4);
      group.send({ type: 'have', torrent: 1, pieces: [1 as PieceIndex] });
      await hears(3);
      link.send(raw.have(2));
      await hears(2);
      link.socket.destroy();
    });
    group.connect(peer.port);
    await group.next('disconnected');
    expect(heard).toEqual([2, 4, 3, 2]);
  });

  it('counts what its peers have by what is new in a bitfield, and by nothing when they have gone', async () => {
    const group = start();
    const memory = group.add(torrent, { have: Buffer.from([0b1110_0000]) });
    const section = memory.section(0);
    const counted: number[] = [];
    const peer = await scripted(async (link) => {
      await link.bytes(68);
      const bitfields = [0x80, 0xc0, 0x80, 0xc0, 0xd0].map((byte) => raw.bitfield(Buffer.from([byte])));
      link.send(raw.handshakeOf(torrent.infohash), ...bitfields);
      // Of these only the last one names a piece that is not there.
      await link.nextOf(2);
      counted.push(...section.availability, section.version);
      link.send(raw.bitfield(Buffer.from([0xf8])));
      link.socket.end();
    });
    group.connect(peer.port);
    await group.next('disconnected');
    expect(counted).toEqual([1, 1, 0, 1, 0, 3]);
    expect([...section.availability, section.seeds]).toEqual([0, 0, 0, 0, 0, 0]);
    expect(section.version).toBeGreaterThan(3);
  });

  it('answers the removal of a torrent after its last buffer', async () => {
    const group = start();
    group.add(torrent);
    const silent = await seedOf(torrent, { answer: () => undefined });
    group.connect(silent.port);
    await group.next('connected');
    await group.next('want');
    group.lease(torrent, [0, 1, 2]);
    group.send({ type: 'removeTorrent', torrent: 1, reason: 'removed' });
    await group.next('removed');
    const returned = group.inbox.filter(({ type }) => type === 'returned');
    expect(returned).toHaveLength(3);
    expect(group.inbox.find(({ type }) => type === 'disconnected')).toMatchObject({ reason: 'removed' });
  });
});

describe('a group facing peers that misbehave', () => {
  const cases: readonly [string, string, (peer: RawPeer) => Promise<void> | void][] = [
    ['speaks something else', 'protocol', (peer) => peer.send(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))],
    ['names another torrent', 'infohash', (peer) => peer.send(raw.handshakeOf(Buffer.alloc(20, 7)))],
    ['is ourselves', 'self', (peer) => peer.send(raw.handshakeOf(torrent.infohash, Buffer.from(OUR_ID).toString()))],
    ['says nothing', 'silent', () => {}],
    [
      'stops in the middle of its handshake',
      'silent',
      (peer) => peer.send(raw.handshakeOf(torrent.infohash).subarray(0, 50)),
    ],
    ['hangs up', 'closed', (peer) => peer.socket.end()],
  ];
  it.each(cases)('drops a peer that %s', async (_what, reason, script) => {
    const group = start({ handshakeTimeoutMs: 60 });
    group.add(torrent);
    const peer = await scripted(script);
    group.connect(peer.port);
    const failed = await group.next('connectFailed');
    expect(failed.port).toBe(peer.port);
    expect(reason === 'closed' ? ['closed', 'refused'] : [reason]).toContain(failed.reason);
  });

  it('reports a dial that is refused', async () => {
    const group = start();
    group.add(torrent);
    const gone = await ScriptedPeer.listen(() => {});
    const { port } = gone;
    await gone.close();
    group.connect(port);
    expect(await group.next('connectFailed')).toMatchObject({ port, reason: 'refused' });
  });

  const rude: readonly [string, Buffer][] = [
    ['a message of 1 GiB', Buffer.from([0x40, 0, 0, 0, 5])],
    ['a bitfield that is too long', raw.bitfield(Buffer.alloc(2))],
    ['a bitfield with spare bits', raw.bitfield(Buffer.from([0xff]))],
    ['a HAVE out of range', raw.have(5)],
    ['a request out of range', raw.request(4, 0, BLOCK)],
    ['a request that is too long', raw.request(0, 0, 1_000_000)],
    ['a block of a piece that is not there', raw.block(9, 0, Buffer.alloc(1))],
    ['a choke with a body', raw.message(0, 1)],
  ];
  it.each(rude)('drops a peer that sends %s', async (_what, bytes) => {
    const group = start();
    group.add(torrent);
    const peer = await scripted((it) => it.send(raw.handshakeOf(torrent.infohash), bytes));
    group.connect(peer.port);
    await group.next('connected');
    expect(await group.next('disconnected')).toMatchObject({ reason: 'protocol', downloaded: 0 });
  });

  it('ignores messages nobody negotiated and blocks nobody asked for', async () => {
    const group = start();
    group.add(torrent);
    const seed = await seedOf(torrent, {
      answer: (piece, begin, length) =>
        Buffer.concat([
          raw.message(20, Buffer.from('\x00de')),
          raw.message(200, Buffer.alloc(100_000)),
          raw.block(1, 0, Buffer.alloc(BLOCK, 1)),
          raw.block(piece, begin, Buffer.alloc(5)),
          seed.blockOf(piece, begin, length),
        ]),
    });
    group.connect(seed.port);
    await group.next('connected');
    await group.next('want');
    group.lease(torrent, [3, 0]);
    const verified = [...(await group.next('verified')).leases];
    if (verified.length < 2) verified.push(...(await group.next('verified')).leases);
    for (const { piece, buffer } of verified) expect(Buffer.from(buffer)).toEqual(pieceOf(piece));
    let wasted = 0;
    while (wasted === 0) for (const stats of (await group.next('stats')).torrents) wasted += stats.wasted;
  });

  it('drops a peer that has been silent for too long and keeps the line alive meanwhile', async () => {
    const group = start({ idleTimeoutMs: 300, keepAliveMs: 20 });
    group.add(torrent);
    const keepAlives: number[] = [];
    const peer = await scripted(async (it) => {
      await it.bytes(68);
      it.send(raw.handshakeOf(torrent.infohash));
      for (;;) keepAlives.push((await it.next()).id);
    });
    group.connect(peer.port);
    await group.next('connected');
    expect(await group.next('disconnected')).toMatchObject({ reason: 'timeout' });
    expect(keepAlives.length).toBeGreaterThanOrEqual(2);
    expect(new Set(keepAlives)).toEqual(new Set([-1]));
  });
});

describe('the door', () => {
  async function listening(group: GroupHarness): Promise<number> {
    group.send({ type: 'listen', port: 0 });
    return (await group.next('listening')).port;
  }

  it('parks a peer that asks for an unknown torrent until main adds it', async () => {
    const group = start();
    const port = await listening(group);
    const peer = await RawPeer.dial(port);
    peer.send(raw.handshakeOf(torrent.infohash), raw.bitfield(raw.fullBitfield(5)), raw.UNCHOKE);
    expect(Buffer.from((await group.next('incoming')).infohash)).toEqual(torrent.infohash);
    group.add(torrent);
    expect(await peer.bytes(68)).toEqual(
      raw.handshakeOf(torrent.infohash, Buffer.from(OUR_ID).toString(), raw.FAST_AND_EXTENDED),
    );
    expect(await group.next('connected')).toMatchObject({ incoming: true });
    expect((await peer.next()).id).toBe(2);
    await group.next('want');
  });

  it('answers a handshake of 48 bytes before the peer id comes', async () => {
    const group = start();
    const port = await listening(group);
    group.add(torrent);
    const peer = await RawPeer.dial(port);
    const handshake = raw.handshakeOf(torrent.infohash);
    peer.send(handshake.subarray(0, 48));
    await peer.bytes(68);
    peer.send(handshake.subarray(48));
    expect(await group.next('connected')).toMatchObject({ incoming: true });
  });

  it('closes a parked peer when main refuses its torrent, and one that main never answers', async () => {
    const group = start({ parkMs: 100 });
    const port = await listening(group);
    const peer = await RawPeer.dial(port);
    peer.send(raw.handshakeOf(Buffer.alloc(20, 9)));
    const { infohash } = await group.next('incoming');
    group.send({ type: 'refuse', infohash });
    await peer.closed;
    const forgotten = await RawPeer.dial(port);
    forgotten.send(raw.handshakeOf(Buffer.alloc(20, 8)));
    await group.next('incoming');
    await forgotten.closed;
  });

  it('says so when the port is taken', async () => {
    const taken = await ScriptedPeer.listen(() => {});
    closers.push(() => taken.close());
    const group = start();
    group.send({ type: 'listen', port: taken.port });
    expect((await group.next('listenFailed')).message).toContain('EADDRINUSE');
  });
});

describe('a group that uploads', () => {
  async function seeding(options: Partial<Options> = {}): Promise<{ group: GroupHarness; port: number }> {
    const root = await mkdtemp(join(tmpdir(), 'spate-group-'));
    closers.push(() => rm(root, { recursive: true }));
    await writeFile(join(root, torrent.name), torrent.payload);
    const group = start(options);
    group.send({ type: 'listen', port: 0 });
    const { port } = await group.next('listening');
    // Piece 2 is not there yet.
    group.add(torrent, { root, have: Buffer.from([0b1101_1000]) });
    return { group, port };
  }

  async function leecher(port: number): Promise<RawPeer> {
    const peer = await RawPeer.dial(port);
    peer.send(raw.handshakeOf(torrent.infohash, `-XX0001-${String(Math.random()).slice(2, 14).padEnd(12, '0')}`));
    await peer.bytes(68);
    peer.send(raw.INTERESTED);
    return peer;
  }

  it('serves any range of the pieces that are written, and those only', async () => {
    const { group, port } = await seeding();
    const peer = await leecher(port);
    expect((await peer.nextOf(5)).body).toEqual(Buffer.from([0b1101_1000]));
    await peer.nextOf(1);
    peer.send(
      raw.request(2, 0, BLOCK),
      raw.request(0, 0, BLOCK),
      raw.request(0, BLOCK, BLOCK),
      raw.request(1, 77, 1001),
    );
    const bodies = [await peer.nextOf(7), await peer.nextOf(7), await peer.nextOf(7)].map(({ body }) => body);
    expect(bodies[0]).toEqual(raw.block(0, 0, pieceOf(0).subarray(0, BLOCK)).subarray(5));
    expect(bodies[1]).toEqual(raw.block(0, BLOCK, pieceOf(0).subarray(BLOCK, 2 * BLOCK)).subarray(5));
    expect(bodies[2]).toEqual(raw.block(1, 77, pieceOf(1).subarray(77, 77 + 1001)).subarray(5));

    group.send({ type: 'have', torrent: 1, pieces: [2 as PieceIndex] });
    expect((await peer.nextOf(4)).body.readUInt32BE()).toBe(2);
    peer.send(raw.request(2, 0, 100));
    expect((await peer.nextOf(7)).body).toEqual(raw.block(2, 0, pieceOf(2).subarray(0, 100)).subarray(5));
  });

  it('unchokes as many interested peers as there are slots, and the next one when one leaves', async () => {
    const { group, port } = await seeding({ uploadSlots: 2 });
    const first = await leecher(port);
    const second = await leecher(port);
    await first.nextOf(1);
    await second.nextOf(1);
    const third = await leecher(port);
    for (let i = 0; i < 3; i++) await group.next('connected');
    first.send(raw.NOT_INTERESTED);
    await first.nextOf(0);
    await third.nextOf(1);
    third.send(raw.request(3, 0, 16));
    expect((await third.next()).body.readUInt32BE()).toBe(3);
  });

  it.each([
    [8, 7],
    [0, 16],
  ])(
    'gives allowed fast pieces (BEP 6) to a choked peer, but nothing without upload slots: %d, message %d',
    async (uploadSlots, answer) => {
      const { group, port } = await seeding({ uploadSlots });
      group.send({ type: 'slots', torrent: 1, slots: 0 });
      const peer = await RawPeer.dial(port);
      peer.send(raw.handshakeOf(torrent.infohash, '-XX0001-speaks-fast!', raw.FAST_AND_EXTENDED));
      await peer.bytes(68);
      for (const piece of [0, 1, 3]) peer.send(raw.request(piece, 0, 16));
      const ids: number[] = [];
      while (ids.filter((id) => id === 7 || id === 16).length < 3) ids.push((await peer.next()).id);
      expect(ids).toContain(answer);
      expect(ids.includes(17)).toBe(uploadSlots > 0);
      expect(ids.includes(7)).toBe(uploadSlots > 0);
    },
  );

  it('unchokes as many as main lets it, from the moment main says so', async () => {
    const { group, port } = await seeding();
    group.send({ type: 'slots', torrent: 1, slots: 0 });
    const peers = [await leecher(port), await leecher(port)] as const;
    for (const _ of peers) await group.next('connected');
    let interested = 0;
    while (interested < 2) ({ interested } = (await group.next('stats')).torrents[0]!);
    group.send({ type: 'slots', torrent: 1, slots: 1 });
    await Promise.race(peers.map((peer) => peer.nextOf(1)));
    group.send({ type: 'slots', torrent: 1, slots: 0 });
    await Promise.race(peers.map((peer) => peer.nextOf(0)));
  });

  it('serves its peers by turns when a rate limit holds it back', async () => {
    const { group, port } = await seeding();
    group.send({ type: 'limits', down: 0, up: 256 * 1024 });
    const asks = [0, 1, 3].flatMap((piece) => [0, 1, 2].map((block) => raw.request(piece, block * BLOCK, BLOCK)));
    const peers = [await leecher(port), await leecher(port)] as const;
    const had = [0, 0];
    // Who is served first and when is not ours to say: both wait at the same time.
    await Promise.all(peers.map((peer) => peer.nextOf(1)));
    for (const peer of peers) peer.send(...asks);
    const others: number[] = [];
    await Promise.all(
      peers.map(async (peer, n) => {
        for (; had[n]! < asks.length; had[n]!++) {
          await peer.nextOf(7);
          if (had[n] === 0) others.push(had[1 - n]!);
        }
      }),
    );
    expect(Math.max(...others)).toBeLessThan(asks.length / 2);
  });

  it('answers a flood of requests as the peer takes the answers, keeping few of them in mind', async () => {
    const { port } = await seeding({ uploadQueue: 10 });
    const peer = await leecher(port);
    await peer.nextOf(1);
    peer.send(...Array.from({ length: 5_000 }, () => raw.request(0, 5, 16)), raw.request(4, 0, 1000));
    for (let i = 0; i < 5_000; i++) await peer.nextOf(7);
    expect((await peer.nextOf(7)).body.subarray(8)).toEqual(pieceOf(4));
  });

  it.each([
    ['wants none of it any more', [raw.NOT_INTERESTED]],
    ['cancels it', Array.from({ length: 12 }, (_, n) => raw.message(8, 0, n, 16))],
  ])('reads on from a peer that asks for too much and %s', async (_what, after) => {
    const { port } = await seeding({ uploadQueue: 8 });
    const peer = await leecher(port);
    await peer.nextOf(1);
    peer.send(...Array.from({ length: 12 }, (_, n) => raw.request(0, n, 16)), ...after);
    if (after.length === 1) {
      await peer.nextOf(0);
      peer.send(raw.INTERESTED);
      await peer.nextOf(1);
    }
    peer.send(raw.request(4, 0, 1000));
    let answer: Buffer;
    do answer = (await peer.nextOf(7)).body.subarray(8);
    while (answer.length === 16);
    expect(answer).toEqual(pieceOf(4));
  });

  it('reports a file that has gone instead of serving something else', async () => {
    const { group, port } = await seeding();
    group.send({ type: 'removeTorrent', torrent: 1, reason: 'removed' });
    await group.next('removed');
    group.add(torrent, { key: 2, root: '/nonexistent', have: Buffer.from([0b1111_1000]) });
    const peer = await leecher(port);
    await peer.nextOf(1);
    peer.send(raw.request(0, 0, BLOCK));
    expect((await group.next('readFailed')).message).toContain('/nonexistent');
  });
});

describe('a group of a torrent that wants nothing more', () => {
  const leecher = (name: string, ...first: Buffer[]) => [
    raw.handshakeOf(torrent.infohash, `-XX0001-${name.padEnd(12, '-')}`, raw.FAST_AND_EXTENDED),
    ...first,
  ];

  it.each([
    ['has all', raw.message(14)],
    ['only uploads', Buffer.concat([raw.message(20, Buffer.from('\0d11:upload_onlyi1ee')), raw.message(15)])],
  ])('leaves a peer that %s', async (_, first) => {
    const group = start();
    group.add(torrent, { have: Buffer.from(raw.fullBitfield(torrent.pieceCount)) });
    group.send({ type: 'listen', port: 0 });
    const peer = await RawPeer.dial((await group.next('listening')).port);
    peer.send(...leecher('seed', first));
    expect(await group.next('disconnected')).toMatchObject({ reason: 'both-seeds' });
    await peer.closed;
  });

  it('says so to the peers that are there, where it is not all of it (BEP 21)', async () => {
    const group = start();
    group.add(torrent, { wanted: Buffer.of(0b1000_0000) });
    group.send({ type: 'listen', port: 0 });
    const peer = await RawPeer.dial((await group.next('listening')).port);
    closers.push(async () => void peer.socket.destroy());
    peer.send(...leecher('leecher', raw.message(20, Buffer.from('\0d1:mdee')), raw.message(15)));
    await peer.bytes(68);
    expect((await peer.nextOf(20)).body.toString('latin1')).not.toContain('upload_only');
    await group.next('connected');
    group.send({ type: 'have', torrent: 1, pieces: [0 as PieceIndex] });
    expect((await peer.nextOf(20)).body.toString('latin1')).toContain('11:upload_onlyi1e');
  });
});

describe('a group looks over its peers', () => {
  const OPTIONS = { surveyMs: 10, quietPeerMs: 0, unwantedPeerMs: 1, idlePeerMs: 3_600_000 };
  /** Says what an extended handshake is for, with peer exchange as id 9, and the port it listens on. */
  const speaks = (port: number): Buffer =>
    raw.message(20, Buffer.from(`\0d1:md6:ut_pexi9ee1:pi${port}e6:yourip4:\xcb\0\x71\x05e`, 'latin1'));

  async function stranger(port: number, name: string, ...first: Buffer[]): Promise<RawPeer> {
    const peer = await RawPeer.dial(port);
    closers.push(async () => {
      peer.socket.destroy();
    });
    peer.send(raw.handshakeOf(torrent.infohash, `-XX0001-${name.padEnd(12, '-')}`, raw.FAST_AND_EXTENDED), ...first);
    await peer.bytes(68);
    return peer;
  }

  async function listening(options: Partial<Options> = {}) {
    const group = start({ ...OPTIONS, ...options });
    group.add(torrent);
    group.send({ type: 'listen', port: 0 });
    return { group, port: (await group.next('listening')).port };
  }

  it('and tells main who is of no use and who is a seed, when that has changed', async () => {
    const { group, port } = await listening();
    await stranger(port, 'idle');
    let survey = await group.next('survey');
    while (survey.useless.length === 0) survey = await group.next('survey');
    expect(survey).toEqual({ type: 'survey', torrent: 1, useless: [1], quiet: [], seeds: [] });
    await stranger(port, 'seed', raw.message(14));
    // It was met before it said what it has.
    while (survey.seeds.length === 0) survey = await group.next('survey');
    expect(survey).toMatchObject({ useless: [1], quiet: [2], seeds: [2] });
  });

  it('and drops one for others only as long as it is of no use', async () => {
    const { group, port } = await listening({ quietPeerMs: 3_600_000, unwantedPeerMs: 3_600_000 });
    const peer = await stranger(port, 'of-use');
    await group.next('connected');
    group.send({ type: 'drop', peers: [1], reason: 'useless' });
    group.send({ type: 'roster', torrent: 1, peers: [{ host: '192.0.2.1', port: 7, flags: 2 }] });
    peer.send(speaks(6881));
    // Still there.
    while ((await peer.nextOf(20)).body[0] !== 9);

    const idle = await listening({ idlePeerMs: 0 });
    const useless = await stranger(idle.port, 'useless');
    await idle.group.next('connected');
    idle.group.send({ type: 'drop', peers: [1], reason: 'useless' });
    await useless.closed;
    expect(await idle.group.next('disconnected')).toMatchObject({ peer: 1, reason: 'useless' });
  });

  it('and tells each of them of the others in all groups, with what is known of them', async () => {
    const { group, port } = await listening();
    const itself = { host: '127.0.0.1', port: 6881, flags: 0 };
    group.send({ type: 'roster', torrent: 1, peers: [itself, { host: '192.0.2.1', port: 0x0102, flags: 0x12 }] });
    const peer = await stranger(port, 'curious', speaks(6881));
    let { body } = await peer.nextOf(20);
    while (body[0] !== 9) ({ body } = await peer.nextOf(20));
    expect(body.subarray(1).toString('latin1')).toBe(
      'd5:added6:\xc0\0\x02\x01\x01\x027:added.f1:\x126:added60:8:added6.f0:7:dropped0:8:dropped60:e',
    );
    expect(await group.next('seenAs')).toEqual({ type: 'seenAs', torrent: 1, peer: 1, host: '203.0.113.5' });
  });

  it('and passes on what one of them suggests', async () => {
    const { group, port } = await listening();
    await stranger(port, 'seed', raw.message(14), raw.message(13, Buffer.from([0, 0, 0, 2])));
    expect(await group.next('suggested')).toEqual({ type: 'suggested', torrent: 1, piece: 2 });
  });

  it('and tells none of them anything of a private torrent', async () => {
    const { group, port } = await listening();
    group.send({ type: 'removeTorrent', torrent: 1, reason: 'removed' });
    await group.next('removed');
    group.add(torrent, { key: 2, isPrivate: true });
    group.send({ type: 'roster', torrent: 2, peers: [{ host: '192.0.2.1', port: 1, flags: 0 }] });
    const peer = await stranger(port, 'curious', speaks(6881));
    // By the second survey it would have been told.
    await group.next('survey');
    await stranger(port, 'another');
    await group.next('survey');
    peer.socket.end();
    await peer.closed;
    await expect(
      (async () => {
        for (;;) expect((await peer.nextOf(20)).body[0]).toBe(0);
      })(),
    ).rejects.toThrow('closed');
  });

  it('at its door: who says nothing keeps the next ones out for a second at most', async () => {
    const { group, port } = await listening({ strangers: 2 });
    const silent = [await RawPeer.dial(port), await RawPeer.dial(port)];
    for (const each of silent) closers.push(async () => void each.socket.destroy());
    let attempts = 0;
    for (let isIn = false; !isIn; attempts++) {
      isIn = await stranger(port, 'third').then(
        () => true,
        () => false,
      );
    }
    expect(attempts).toBeGreaterThan(1);
    await silent[0]!.closed;
    expect(await group.next('connected')).toMatchObject({ incoming: true });
  });
});

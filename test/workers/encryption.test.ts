import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Options, resolveOptions } from '../../src/options.js';
import { Peers } from '../../src/peers.js';
import type { EncryptionMode } from '../../src/protocol/mse.js';
import { Census } from '../../src/torrent/census.js';
import { ExternalAddress } from '../../src/torrent/external-address.js';
import type { PieceIndex } from '../../src/torrent/geometry.js';
import { Encryption } from '../../workers/encryption.js';
import { GroupHarness, OUR_ID } from '../helpers/group-harness.js';
import { type Agreement, answerOf, HandMadeEnd, offerOf, sha1 } from '../helpers/mse-by-hand.js';
import * as raw from '../helpers/scripted-peer.js';
import { RawPeer, ScriptedPeer, ScriptedSeed } from '../helpers/scripted-peer.js';
import { smallTorrent } from '../helpers/small-torrent.js';

const BLOCK = 16_384;
/** 5 pieces of 3 blocks, the last piece one short block. */
const torrent = smallTorrent(4 * 3 * BLOCK + 1000, 3 * BLOCK);
const NAME = Buffer.from('BitTorrent protocol');

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function start(mode: EncryptionMode, options: Partial<Options> = {}): GroupHarness {
  const group = new GroupHarness(options, mode);
  closers.push(() => group.close());
  return group;
}

async function listening(group: GroupHarness): Promise<number> {
  group.send({ type: 'listen', port: 0 });
  return (await group.next('listening')).port;
}

/** A group that has every piece and listens. */
async function seeding(mode: EncryptionMode): Promise<{ group: GroupHarness; port: number }> {
  const root = await mkdtemp(join(tmpdir(), 'spate-encryption-'));
  closers.push(() => rm(root, { recursive: true }));
  await writeFile(join(root, torrent.name), torrent.payload);
  const group = start(mode);
  const port = await listening(group);
  group.add(torrent, { root, have: Buffer.from([0b1111_1000]), peerId: Buffer.from('-SP0000-the-seeder-1') });
  return { group, port };
}

/** A wire on the way to a port, and what went over it. */
class Tap {
  readonly port: number;
  /** Both directions, chunk by chunk. */
  readonly #chunks: { fromDialler: boolean; bytes: Buffer }[] = [];

  private constructor(port: number) {
    this.port = port;
  }

  static async on(target: number): Promise<Tap> {
    const server = createServer((near) => {
      const far = connect(target, '127.0.0.1');
      tap.#join(near, far, true);
      tap.#join(far, near, false);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const tap = new Tap((server.address() as AddressInfo).port);
    closers.push(async () => {
      server.close();
    });
    return tap;
  }

  #join(from: Socket, to: Socket, fromDialler: boolean): void {
    from.on('data', (bytes) => {
      this.#chunks.push({ fromDialler, bytes });
      to.write(bytes);
    });
    from.on('error', () => {});
    from.on('close', () => to.destroy());
  }

  sent(fromDialler: boolean): Buffer {
    return Buffer.concat(this.#chunks.filter((chunk) => chunk.fromDialler === fromDialler).map(({ bytes }) => bytes));
  }
}

/** Fetches the whole torrent through a group that has dialled. */
async function fetchAll(group: GroupHarness): Promise<void> {
  await group.next('want');
  group.lease(torrent, [0, 1, 2, 3, 4]);
  const payload = Buffer.alloc(torrent.payload.length);
  for (let count = 0; count < 5; ) {
    for (const { piece, buffer } of (await group.next('verified')).leases) {
      Buffer.from(buffer).copy(payload, piece * torrent.pieceLength);
      count++;
    }
  }
  expect(payload.equals(torrent.payload)).toBe(true);
}

/** A peer by hand that speaks RC4: A when it has dialled, B when it was. */
class Rc4Peer {
  readonly raw: RawPeer;
  readonly #encrypt: Agreement['a'];
  readonly #decrypt: Agreement['a'];

  private constructor(peer: RawPeer, encrypt: Agreement['a'], decrypt: Agreement['a']) {
    this.raw = peer;
    this.#encrypt = encrypt;
    this.#decrypt = decrypt;
  }

  /** Dials and goes as far as the offer of RC4; `payload` goes with it. */
  static async dial(
    port: number,
    payload: Buffer,
    { infohash = torrent.infohash, key = 12_345 } = {},
  ): Promise<Rc4Peer> {
    const peer = await RawPeer.dial(port);
    const hand = new HandMadeEnd(raw.message(0, key).subarray(4));
    await sendSingly(peer, hand.publicKey);
    peer.send(Buffer.alloc(33, 0xaa));
    const { req1, name, a, b } = hand.agree(await peer.bytes(96), infohash);
    peer.send(req1, name, a(offerOf(2, 11, payload)));
    return new Rc4Peer(peer, a, b);
  }

  /** The other end of `dial`: reads pads of any length, selects RC4. */
  static async accept(peer: RawPeer): Promise<Rc4Peer> {
    const hand = new HandMadeEnd(Buffer.from('54321'));
    peer.send(hand.publicKey, Buffer.alloc(512, 0xbb));
    const { req1, name, a, b } = hand.agree(await peer.bytes(96), torrent.infohash);
    await passTo(peer, req1);
    expect(await peer.bytes(20)).toEqual(name);
    expect(a(await peer.bytes(16 + 68))).toEqual(offerOf(3, 0, handshakeOfUs()));
    peer.send(b(answerOf(2, 7)));
    return new Rc4Peer(peer, b, a);
  }

  /** Reads the answer to the offer, up to its payload. */
  async answered(): Promise<void> {
    await passTo(this.raw, this.#decrypt(Buffer.alloc(8)));
    expect(this.#decrypt(await this.raw.bytes(6))).toEqual(answerOf(2, 0).subarray(8));
  }

  send(...parts: Buffer[]): void {
    this.raw.send(this.#encrypt(Buffer.concat(parts)));
  }

  async bytes(length: number): Promise<Buffer> {
    return this.#decrypt(await this.raw.bytes(length));
  }

  async nextOf(id: number): Promise<Buffer> {
    for (;;) {
      const body = await this.bytes((await this.bytes(4)).readUInt32BE());
      if (body[0] === id) return body.subarray(1);
    }
  }
}

/** Sends parts so that the group, which shares our loop, most likely reads them one by one. */
async function sendApart(peer: RawPeer, parts: readonly Buffer[]): Promise<void> {
  for (const part of parts) {
    peer.send(part);
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

const sendSingly = (peer: RawPeer, bytes: Buffer): Promise<void> =>
  sendApart(
    peer,
    [...bytes].map((byte) => Buffer.from([byte])),
  );

/** Reads until the last bytes are these. */
async function passTo(peer: RawPeer, pattern: Buffer): Promise<void> {
  let window = await peer.bytes(pattern.length);
  while (!window.equals(pattern)) window = Buffer.concat([window.subarray(1), await peer.bytes(1)]);
}

const handshakeOfUs = (): Buffer =>
  raw.handshakeOf(torrent.infohash, Buffer.from(OUR_ID).toString(), raw.FAST_AND_EXTENDED);

describe('two groups', () => {
  it('exchange everything in RC4 when the accepting one requires encryption', async () => {
    const { port } = await seeding('require');
    const tap = await Tap.on(port);
    const group = start('prefer');
    group.add(torrent);
    group.connect(tap.port, 1, true);
    await fetchAll(group);
    for (const sent of [tap.sent(true), tap.sent(false)]) expect(sent.includes(NAME)).toBe(false);
    expect(tap.sent(false).length).toBeGreaterThan(torrent.payload.length);
    for (let at = 0; at + 16 <= torrent.payload.length; at += 1000) {
      expect(tap.sent(false).includes(torrent.payload.subarray(at, at + 16))).toBe(false);
    }
  });

  it('exchange everything in RC4 when the dialling one requires encryption, whatever main says', async () => {
    const { port } = await seeding('prefer');
    const tap = await Tap.on(port);
    const group = start('require');
    group.add(torrent);
    group.connect(tap.port, 1, false);
    await fetchAll(group);
    for (const sent of [tap.sent(true), tap.sent(false)]) expect(sent.includes(NAME)).toBe(false);
  });

  it('encrypt the handshake and exchange plaintext payload when neither requires more', async () => {
    const { port } = await seeding('prefer');
    const tap = await Tap.on(port);
    const group = start('prefer');
    group.add(torrent);
    group.connect(tap.port, 1, true);
    await fetchAll(group);
    expect(tap.sent(true).includes(NAME)).toBe(false);
    expect(tap.sent(true).length).toBeGreaterThan(96);
    expect(tap.sent(false).includes(torrent.payload.subarray(0, BLOCK))).toBe(true);
  });

  it('speak plaintext when nobody asks for encryption', async () => {
    const { port } = await seeding('prefer');
    const tap = await Tap.on(port);
    const group = start('prefer');
    group.add(torrent);
    group.connect(tap.port, 1, false);
    await fetchAll(group);
    expect(tap.sent(true).subarray(0, 68)).toEqual(handshakeOfUs());
  });

  it('do not connect in plaintext when one requires encryption', async () => {
    const { port } = await seeding('require');
    const group = start('prefer');
    group.add(torrent);
    group.connect(port, 1, false);
    expect(await group.next('connectFailed')).toMatchObject({ port, reason: 'closed' });
  });

  it('count a reset after the connection as hanging up, as a close with our handshake unread makes one', async () => {
    const peer = await ScriptedPeer.listen(async (it) => {
      await it.bytes(1);
      it.socket.resetAndDestroy();
    });
    closers.push(() => peer.close());
    const group = start('prefer');
    group.add(torrent);
    group.connect(peer.port, 1, false);
    expect(await group.next('connectFailed')).toMatchObject({ reason: 'closed' });
  });

  it('do not connect when one requires encryption and the other has it off', async () => {
    const { port } = await seeding('off');
    const group = start('require');
    group.add(torrent);
    group.connect(port, 1, true);
    expect(await group.next('connectFailed')).toMatchObject({ port, reason: 'closed' });
  });

  it('speak plaintext when the dialling one has encryption off, whatever main says', async () => {
    const { port } = await seeding('prefer');
    const tap = await Tap.on(port);
    const group = start('off');
    group.add(torrent);
    group.connect(tap.port, 1, true);
    await fetchAll(group);
    expect(tap.sent(true).subarray(0, 68)).toEqual(handshakeOfUs());
  });
});

describe('a group and the peers of main', () => {
  /** Main's swarm side, with a group of its own; `connects` is what it has said. */
  function swarm(mode: EncryptionMode): { group: GroupHarness; peers: Peers; connects: boolean[] } {
    const group = start(mode);
    group.add(torrent);
    const connects: boolean[] = [];
    const options = resolveOptions({ reconnectMs: 3_600_000 });
    const peers = new Peers(
      {
        torrent: 1,
        ownId: OUR_ID,
        options,
        encryption: mode,
        families: [4, 6],
        port: 6881,
        external: new ExternalAddress(),
        census: new Census(100),
        send: (_group, message) => {
          if (message.type === 'connect') connects.push(message.encrypted);
          group.send(message);
        },
      },
      { onCanDial: () => peers.dial([0], 10, 0), onDial: () => {}, onPeer: () => {}, onWarning: () => {} },
    );
    return { group, peers, connects };
  }

  it('dial in plaintext first and encrypted at once when the peer hangs up', async () => {
    const { port } = await seeding('require');
    const { group, peers, connects } = swarm('prefer');
    peers.add([{ host: '127.0.0.1', port }], 0);
    peers.onConnectFailed(await group.next('connectFailed'), 0);
    peers.onConnected(0, await group.next('connected'), 0);
    expect(connects).toEqual([false, true]);
    expect(peers.connected).toBe(1);
    await fetchAll(group);
  });

  it('give up for the time being when the peer hangs up on both', async () => {
    const rude = await ScriptedPeer.listen((peer) => {
      peer.socket.end();
    });
    closers.push(() => rude.close());
    const { group, peers, connects } = swarm('prefer');
    peers.add([{ host: '127.0.0.1', port: rude.port }], 0);
    peers.onConnectFailed(await group.next('connectFailed'), 0);
    peers.onConnectFailed(await group.next('connectFailed'), 0);
    expect(connects).toEqual([false, true]);
    expect(peers.dialling).toBe(0);
  });

  it('offer nothing but encryption where it is required, and none where it is off', async () => {
    const { port } = await seeding('require');
    const strict = swarm('require');
    strict.peers.add([{ host: '127.0.0.1', port }], 0);
    strict.peers.onConnected(0, await strict.group.next('connected'), 0);
    expect(strict.connects).toEqual([true]);

    const open = swarm('off');
    open.peers.add([{ host: '127.0.0.1', port }], 0);
    open.peers.onConnectFailed(await open.group.next('connectFailed'), 0);
    expect(open.connects).toEqual([false]);
  });
});

describe('the layer of a connection', () => {
  /** Two layers whose bytes reach one another at once; `read` decrypts what the other sends. */
  function pair(modes: readonly [EncryptionMode, EncryptionMode]) {
    const handshake = handshakeOfUs();
    const toB: Buffer[] = [];
    const toA: Buffer[] = [];
    const link = (wire: Buffer[]) => ({
      agreed: false,
      write: (bytes: Uint8Array) => wire.push(Buffer.from(bytes)),
      onAgreed() {
        this.agreed = true;
      },
    });
    const links = [link(toB), link(toA)] as const;
    const a = Encryption.dial(modes[0], links[0], torrent.infohash, handshake);
    const b = Encryption.accept(modes[1], links[1]);
    const read = (layer: Encryption, wire: Buffer[]): Buffer => {
      const bytes = Buffer.concat(wire.splice(0));
      let at = layer.open(bytes, 0, bytes.length);
      if (layer.name !== undefined) {
        layer.answer(torrent.infohash);
        at = layer.open(bytes, at, bytes.length);
      }
      return bytes.subarray(at);
    };
    return { a, b, links, readA: () => read(a, toA), readB: () => read(b, toB) };
  }

  it('is over once plaintext is selected and the encrypted handshake has come', () => {
    const { a, b, links, readA, readB } = pair(['prefer', 'prefer']);
    readB();
    readA();
    expect([b.isOver, links[1].agreed, links[0].agreed]).toEqual([false, false, false]);
    expect(readB()).toEqual(handshakeOfUs());
    expect([b.isOver, links[1].agreed]).toEqual([true, true]);
    expect(a.isOver).toBe(false);
    readA();
    expect([a.isOver, links[0].agreed]).toEqual([true, true]);
    expect([a.seal(NAME), b.seal(NAME)]).toEqual([NAME, NAME]);
  });

  it('stays as long as RC4 is spoken', () => {
    const { a, b, readA, readB } = pair(['require', 'prefer']);
    readB();
    readA();
    readB();
    readA();
    expect([a.isOver, b.isOver]).toEqual([false, false]);
    const sealed = Buffer.from(a.seal(NAME));
    expect(sealed.equals(NAME)).toBe(false);
    expect(b.open(sealed, 0, sealed.length)).toBe(0);
    expect(sealed).toEqual(NAME);
  });

  it('is over with the first 20 bytes of a plaintext handshake', () => {
    const layer = Encryption.accept('prefer', { write: () => {}, onAgreed: () => {} });
    const bytes = handshakeOfUs();
    expect([layer.open(bytes, 0, 19), layer.isOver]).toEqual([0, false]);
    expect([layer.open(bytes, 19, 68), layer.isOver]).toEqual([19, true]);
    expect(bytes).toEqual(handshakeOfUs());
  });
});

describe('a group that is dialled by hand', () => {
  it('speaks RC4 to a peer that offers nothing else, and keeps what it shares with others unencrypted', async () => {
    const root = await mkdtemp(join(tmpdir(), 'spate-encryption-'));
    closers.push(() => rm(root, { recursive: true }));
    await writeFile(join(root, torrent.name), torrent.payload);
    const group = start('prefer');
    const port = await listening(group);
    group.add(torrent, { root, have: Buffer.from([0b1101_1000]) });
    const handshake = raw.handshakeOf(torrent.infohash);
    // The first bytes after the handshake come as initial payload, the rest as stream.
    const encrypted = await Rc4Peer.dial(port, Buffer.concat([handshake, raw.INTERESTED.subarray(0, 3)]));
    await encrypted.answered();
    encrypted.send(raw.INTERESTED.subarray(3));
    expect(await encrypted.bytes(68)).toEqual(handshakeOfUs());
    expect(await encrypted.nextOf(5)).toEqual(Buffer.from([0b1101_1000]));
    await encrypted.nextOf(1);
    const plain = await RawPeer.dial(port);
    plain.send(raw.handshakeOf(torrent.infohash, '-XX0001-in-plaintext'), raw.INTERESTED);
    expect(await plain.bytes(68)).toEqual(handshakeOfUs());
    await plain.nextOf(1);

    group.send({ type: 'have', torrent: 1, pieces: [2 as PieceIndex] });
    expect((await encrypted.nextOf(4)).readUInt32BE()).toBe(2);
    expect((await plain.nextOf(4)).body.readUInt32BE()).toBe(2);
    for (const peer of [encrypted, plain]) peer.send(raw.request(3, 100, 5000));
    const at = 3 * torrent.pieceLength + 100;
    const expected = raw.block(3, 100, torrent.payload.subarray(at, at + 5000)).subarray(5);
    expect(await encrypted.nextOf(7)).toEqual(expected);
    expect((await plain.nextOf(7)).body).toEqual(expected);
  });

  it.each([0, 1, 40, 67, 68, 69, 73])(
    'takes plaintext behind its encrypted handshake, split at byte %d',
    async (cut) => {
      const { port } = await seeding('prefer');
      const peer = await RawPeer.dial(port);
      const hand = new HandMadeEnd(Buffer.from('7654321'));
      peer.send(hand.publicKey);
      const { req1, name, a, b } = hand.agree(await peer.bytes(96), torrent.infohash);
      const offer = a(offerOf(3, 0, raw.handshakeOf(torrent.infohash)));
      const payload = Buffer.concat([offer.subarray(16), raw.INTERESTED]);
      await sendApart(peer, [req1, name, offer.subarray(0, 16), payload.subarray(0, cut), payload.subarray(cut)]);
      await passTo(peer, b(Buffer.alloc(8)));
      expect(b(await peer.bytes(6))).toEqual(answerOf(1, 0).subarray(8));
      expect((await peer.bytes(68)).subarray(1, 20)).toEqual(NAME);
      expect((await peer.nextOf(5)).body).toEqual(raw.fullBitfield(5));
      await peer.nextOf(1);
    },
  );

  it('recognises a public key that starts like the name of the protocol', async () => {
    let key = 1;
    while (new HandMadeEnd(raw.message(0, key).subarray(4)).publicKey[0] !== 0x13) key++;
    const { group, port } = await seeding('prefer');
    const peer = await Rc4Peer.dial(port, raw.handshakeOf(torrent.infohash), { key });
    await peer.answered();
    await peer.bytes(68);
    expect(await group.next('connected')).toMatchObject({ incoming: true });
  });

  it('still takes a plaintext handshake byte by byte', async () => {
    const { group, port } = await seeding('prefer');
    const peer = await RawPeer.dial(port);
    await sendSingly(peer, raw.handshakeOf(torrent.infohash));
    await peer.bytes(68);
    expect(await group.next('connected')).toMatchObject({ incoming: true });
  });

  it('parks a peer whose torrent it does not know under the hash it gives, until main adds it', async () => {
    const group = start('prefer');
    const port = await listening(group);
    const peer = await Rc4Peer.dial(port, raw.handshakeOf(torrent.infohash));
    expect(Buffer.from((await group.next('incoming')).infohash)).toEqual(sha1('req2', torrent.infohash));
    group.add(torrent);
    await peer.answered();
    expect(await peer.bytes(68)).toEqual(handshakeOfUs());
    expect(await group.next('connected')).toMatchObject({ incoming: true });
  });

  it('closes a parked peer when main refuses what it named', async () => {
    const group = start('prefer');
    const port = await listening(group);
    const peer = await Rc4Peer.dial(port, raw.handshakeOf(torrent.infohash));
    const { infohash } = await group.next('incoming');
    group.send({ type: 'refuse', infohash });
    await peer.raw.closed;
  });

  it('closes on a handshake for another torrent than the encryption is for', async () => {
    const { group, port } = await seeding('prefer');
    const peer = await Rc4Peer.dial(port, raw.handshakeOf(Buffer.alloc(20, 9)));
    await peer.raw.closed;
    expect(group.inbox.filter(({ type }) => type === 'connected' || type === 'incoming')).toEqual([]);
  });

  const endings: readonly [string, EncryptionMode, (peer: RawPeer) => void][] = [
    ['stops in the middle of its key', 'prefer', (peer) => peer.send(Buffer.alloc(50, 0xee))],
    ['says nothing after its key', 'prefer', (peer) => peer.send(new HandMadeEnd(Buffer.from('1')).publicKey)],
    ['sends noise without end', 'prefer', (peer) => peer.send(Buffer.alloc(2000, 0xee))],
    ['speaks plaintext where encryption is required', 'require', (peer) => peer.send(handshakeOfUs())],
    ['offers encryption where it is off', 'off', (peer) => peer.send(new HandMadeEnd(Buffer.from('1')).publicKey)],
  ];
  it.each(endings)('closes a peer that %s', async (_what, mode, script) => {
    const group = start(mode, { handshakeTimeoutMs: 60 });
    const port = await listening(group);
    group.add(torrent);
    const peer = await RawPeer.dial(port);
    script(peer);
    await peer.closed;
    expect(group.inbox.filter(({ type }) => type === 'connected' || type === 'incoming')).toEqual([]);
  });
});

describe('a group that dials by hand', () => {
  it('downloads from a peer that selects RC4', async () => {
    const seed = await ScriptedSeed.listen(torrent);
    closers.push(() => seed.close());
    const encrypted = await ScriptedPeer.listen(async (it) => {
      const peer = await Rc4Peer.accept(it);
      peer.send(raw.handshakeOf(torrent.infohash), raw.bitfield(raw.fullBitfield(5)));
      await peer.nextOf(2);
      peer.send(raw.UNCHOKE);
      for (;;) {
        const body = await peer.nextOf(6);
        peer.send(seed.blockOf(body.readUInt32BE(0), body.readUInt32BE(4), body.readUInt32BE(8)));
      }
    });
    closers.push(() => encrypted.close());
    const group = start('prefer');
    group.add(torrent);
    group.connect(encrypted.port, 1, true);
    await fetchAll(group);
  });

  it('does not wait for ever for a peer that stops after its key', async () => {
    const silent = await ScriptedPeer.listen((peer) => peer.send(new HandMadeEnd(Buffer.from('1')).publicKey));
    closers.push(() => silent.close());
    const group = start('prefer', { handshakeTimeoutMs: 60 });
    group.add(torrent);
    group.connect(silent.port, 1, true);
    expect(await group.next('connectFailed')).toMatchObject({ reason: 'silent' });
  });

  it('closes a peer that answers an offer of encryption with something else', async () => {
    const odd = await ScriptedPeer.listen((peer) => peer.send(Buffer.alloc(2000, 0xee)));
    closers.push(() => odd.close());
    const group = start('prefer');
    group.add(torrent);
    group.connect(odd.port, 1, true);
    expect(await group.next('connectFailed')).toMatchObject({ reason: 'protocol' });
  });
});

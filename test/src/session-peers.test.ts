// Sessions with real worker threads and more peers than they may have, or peers in more groups than one.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Options } from '../../src/options.js';
import { announceUrl } from '../../src/protocol/tracker-http.js';
import { startTracker } from '../../src/swarm/tracker.js';
import {
  FAST_AND_EXTENDED,
  handshakeOf,
  INTERESTED,
  message,
  type RawMessage,
  RawPeer,
  request,
  ScriptedPeer,
  ScriptedSeed,
} from '../helpers/scripted-peer.js';
import { atEnd, emptyFolder, ending, openSession } from '../helpers/session-harness.js';
import { smallTorrent } from '../helpers/small-torrent.js';

const BLOCK = 16_384;
const torrent = smallTorrent(10 * 4 * BLOCK, 4 * BLOCK);

/** Everything soon: a peer is of no use after 50 ms. */
const HASTY: Partial<Options> = { surveyMs: 20, quietPeerMs: 20, unwantedPeerMs: 50, tickMs: 20 };

const at = (...ports: number[]) => ports.map((port) => ({ host: '127.0.0.1', port }));
const compact = (...ports: number[]): Buffer =>
  Buffer.concat(ports.map((port) => Buffer.from([127, 0, 0, 1, port >> 8, port & 0xff])));
const extended = (id: number, body: Buffer | string): Buffer =>
  message(20, Buffer.from([id]), typeof body === 'string' ? Buffer.from(body) : body);
/** Wants to be told of others, as message 9. */
const EXCHANGES = extended(0, 'd1:md6:ut_pexi9eee');
/** Tells of others, by the id that the client gives. */
const tellsOf = (...ports: number[]): Buffer => {
  const peers = compact(...ports);
  return extended(1, Buffer.concat([Buffer.from(`d5:added${peers.length}:`), peers, Buffer.from('e')]));
};

/** A peer is announced, as it would do itself. */
async function announceTo(tracker: string, infohash: Uint8Array, port: number): Promise<void> {
  const request = {
    infohash,
    peerId: new Uint8Array(20),
    port,
    uploaded: 0,
    downloaded: 0,
    left: 0,
    numwant: 0,
    key: 1,
  };
  await (await fetch(announceUrl(tracker, request))).arrayBuffer();
}

async function exchanged(peer: RawPeer): Promise<RawMessage> {
  for (;;) {
    const received = await peer.nextOf(20);
    if (received.body[0] === 9) return received;
  }
}

describe('peers in two groups', () => {
  it('are told of one another', async () => {
    const told: { port: number; body: Buffer }[] = [];
    let onTold: () => void = () => {};
    const both = new Promise<void>((resolve) => {
      onTold = () => {
        if (told.length === 2) resolve();
      };
    });
    const peers = await Promise.all(
      [1, 2].map((n) =>
        ending(
          ScriptedPeer.listen(async (peer) => {
            await peer.bytes(68);
            peer.send(handshakeOf(torrent.infohash, `-XX0001-peer-no-${n}---`, FAST_AND_EXTENDED), EXCHANGES);
            const { body } = await exchanged(peer);
            told.push({ port: peer.socket.localPort!, body });
            onTold();
          }),
        ),
      ),
    );
    const session = await openSession(HASTY);
    const [one, other] = peers.map(({ port }) => port) as [number, number];
    session.add(torrent.bytes, { out: await emptyFolder(), peers: at(one, other) });
    await both;
    for (const { port, body } of told) {
      const expected = compact(port === one ? other : one);
      // Dialled, in plaintext, and no seed.
      expect(body.subarray(1).toString('latin1')).toContain(`5:added6:${expected.toString('latin1')}7:added.f1:\x10`);
    }
  });
});

describe('a full house', () => {
  it.each([
    ['torrent', { peersPerTorrent: 2 }],
    ['session', { maxPeers: 2 }],
  ])('of useless peers makes room for one that is of use (%s)', async (_, limits) => {
    const seed = await ending(ScriptedSeed.listen(torrent));
    const idlers = await Promise.all(
      [1, 2].map((n) =>
        ending(
          ScriptedPeer.listen(async (peer) => {
            await peer.bytes(68);
            peer.send(handshakeOf(torrent.infohash, `-XX0001-idler-no-${n}--`, FAST_AND_EXTENDED), EXCHANGES);
            while (idlers.some(({ connections }) => connections === 0)) await peer.next();
            peer.send(tellsOf(seed.port));
            await peer.closed;
          }),
        ),
      ),
    );
    const session = await openSession({ ...HASTY, ...limits });
    const out = await emptyFolder();
    const download = session.add(torrent.bytes, { out, peers: at(...idlers.map(({ port }) => port)) });
    await download.done;
    expect(download.stats().have).toBe(torrent.payload.length);
  });

  it('of useless peers at the door of a seed makes room for one that wants something', async () => {
    const [session, out] = [await openSession({ ...HASTY, peersPerTorrent: 1 }), await emptyFolder()];
    await writeFile(join(out, torrent.name), torrent.payload);
    const seeding = session.add(torrent.bytes, { out, fetch: false, seed: true });
    await seeding.done;
    const dial = async (name: string): Promise<RawPeer> => {
      const peer = await RawPeer.dial(session.port);
      atEnd(async () => peer.socket.destroy());
      peer.send(handshakeOf(torrent.infohash, `-XX0001-${name.padEnd(12, '-')}`));
      await peer.bytes(68);
      return peer;
    };
    const idler = await dial('idler');
    while (seeding.connected === 0) await new Promise((resolve) => setImmediate(resolve));
    const madeRoom = idler.closed.then(() => true);
    let newcomer: RawPeer;
    let attempt = 0;
    do {
      newcomer = await dial(`newcomer${attempt++}`);
      newcomer.send(INTERESTED);
      // Turned away as long as nobody has looked over the peers.
    } while (!(await Promise.race([madeRoom, newcomer.closed.then(() => false)])));
    await newcomer.nextOf(1);
    newcomer.send(request(3, 0, 100));
    const { body } = await newcomer.nextOf(7);
    expect(body.subarray(8)).toEqual(torrent.payload.subarray(3 * 4 * BLOCK, 3 * 4 * BLOCK + 100));
  });
});

describe('a download that starves', () => {
  /** Claims everything and gives nothing. */
  const liar = (of = torrent, ...words: Buffer[]) =>
    ending(
      ScriptedPeer.listen(async (peer) => {
        await peer.bytes(68);
        const name = String(peer.socket.localPort).padStart(12, '-');
        peer.send(handshakeOf(of.infohash, `-XX0001-${name}`, FAST_AND_EXTENDED), message(14), ...words);
        await peer.closed;
      }),
    );

  it('asks its trackers for others, though somebody is connected', async () => {
    const [silent, seed, tracker] = [await liar(), await ending(ScriptedSeed.listen(torrent)), await startTracker()];
    atEnd(() => tracker.close());
    const session = await openSession({ ...HASTY, announceMinMs: 50 });
    const answers: number[] = [];
    const download = session.add(torrent.bytes, {
      out: await emptyFolder(),
      peers: at(silent.port),
      trackers: [tracker.httpUrl],
      onEvent: (event) => {
        if (event.type !== 'tracker') return;
        // The second answer has one to dial.
        if (answers.push(event.status.peers) === 1) void announceTo(tracker.httpUrl, torrent.infohash, seed.port);
      },
    });
    await download.done;
    expect(answers[0]).toBe(0);
    expect(answers.length).toBeGreaterThan(1);
  });

  it('tries all it has heard of, though everybody it is connected to says it has everything', async () => {
    const liars = await Promise.all(Array.from({ length: 12 }, () => liar()));
    const seed = await ending(ScriptedSeed.listen(torrent));
    const session = await openSession({ ...HASTY, idlePeerMs: 3_600_000, peersPerTorrent: 2 });
    const download = session.add(torrent.bytes, {
      out: await emptyFolder(),
      peers: at(...liars.map(({ port }) => port), seed.port),
    });
    await download.done;
    expect(download.stats().have).toBe(torrent.payload.length);
  });

  it('is none under a limit so low that a silence says nothing', async () => {
    const slow = smallTorrent(BLOCK, BLOCK);
    const other = await liar(slow);
    const [seed, silent] = [await ending(ScriptedSeed.listen(slow)), await liar(slow, EXCHANGES, tellsOf(other.port))];
    const session = await openSession({ ...HASTY, idlePeerMs: 3_600_000, peersPerTorrent: 2 }, { maxDown: 16_384 });
    const download = session.add(slow.bytes, { out: await emptyFolder(), peers: at(seed.port, silent.port) });
    await download.done;
    expect(download.stats().knownPeers).toBe(3);
    expect([silent.connections, other.connections]).toEqual([1, 0]);
  });
});

// Sessions among peers that mean harm: whatever they do, the honest one's bytes arrive, no thread dies, memory stays bounded.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DownloadEvent, DownloadStats } from '../../src/api.js';
import type { Options } from '../../src/options.js';
import { BUILT } from '../../src/package.js';
import type { Session, SessionSettings } from '../../src/session.js';
import * as hostile from '../helpers/hostile-peers.js';
import {
  bitfield,
  block,
  CHOKE,
  FAST_AND_EXTENDED,
  fullBitfield,
  handshakeOf,
  INTERESTED,
  RawPeer,
  request,
  ScriptedPeer,
  UNCHOKE,
} from '../helpers/scripted-peer.js';
import { atEnd, emptyFolder, ending, openSession } from '../helpers/session-harness.js';
import { type SmallTorrent, smallTorrent } from '../helpers/small-torrent.js';

const BLOCK = 16_384;
const MIB = 1_048_576;
/** 40 pieces of 4 blocks and a short one. */
const torrent = smallTorrent(40 * 4 * BLOCK + 777, 4 * BLOCK);
const privateTorrent = hostile.privateOf(torrent, (info) => createHash('sha1').update(info).digest());

/** Deadlines a test can wait for. */
const HASTY: Partial<Options> = { requestTimeoutMs: 300, handshakeTimeoutMs: 500, endgameAfterMs: 50, tickMs: 50 };
/** What any of this may cost in memory beside what the session needs: worker heaps grow by themselves. */
const MAX_GROWTH = 100 * MIB;
const MAX_CLOSE_MS = 5_000;

const at = (...ports: number[]) => ports.map((port) => ({ host: '127.0.0.1', port }));

/** A session of two workers that counts the threads it starts. */
async function watchedSession(
  overrides: Partial<Options> = {},
  settings: SessionSettings = {},
): Promise<{ session: Session; starts: () => Promise<number> }> {
  const file = join(await emptyFolder(), 'counted.mjs');
  await writeFile(
    file,
    `import { appendFileSync } from 'node:fs';
     import { peerGroup as uncounted } from ${JSON.stringify(BUILT.peerGroup)};
     export function peerGroup(start) {
       appendFileSync(${JSON.stringify(`${file}.starts`)}, '!');
       return uncounted(start);
     }`,
  );
  const workerUrl = new URL(`file://${file}`);
  const session = await openSession({ ...HASTY, ...overrides }, { workerUrl, ...settings });
  return { session, starts: async () => (await readFile(`${file}.starts`)).length };
}

/** @returns a function that ends the watch and says how far the peak was above the start, bytes */
function watchMemory(): () => number {
  const before = process.memoryUsage().rss;
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss);
  }, 20);
  return () => {
    clearInterval(timer);
    return Math.max(peak, process.memoryUsage().rss) - before;
  };
}

async function closesSoon(session: Session): Promise<void> {
  const started = performance.now();
  await session.close();
  expect(performance.now() - started).toBeLessThan(MAX_CLOSE_MS);
}

interface Outcome {
  readonly stats: DownloadStats;
  readonly events: readonly DownloadEvent[];
}

/** Downloads from one honest seed beside a hostile peer that has its way first, and checks all that must hold. */
async function survives(
  script: hostile.HostileScript,
  {
    of = torrent,
    options = {},
    isCutShort = false,
  }: { of?: SmallTorrent; options?: Partial<Options>; isCutShort?: boolean } = {},
): Promise<Outcome> {
  const bad = await ending(hostile.hostilePeer(of, script));
  const good = await ending(hostile.patientSeed(of, bad.deed));
  const { session, starts } = await watchedSession(options);
  const [out, events, growth] = [await emptyFolder(), [] as DownloadEvent[], watchMemory()];
  const onEvent = (event: DownloadEvent) => events.push(event);
  const download = session.add(of.bytes, { out, peers: at(bad.port, good.port), onEvent });
  const deed = isCutShort ? bad.deed.catch(() => {}) : bad.deed;
  await Promise.all([deed, download.done]);
  expect((await readFile(join(out, of.name))).equals(of.payload)).toBe(true);
  expect(growth()).toBeLessThan(MAX_GROWTH);
  expect(await starts()).toBe(2);
  expect(events.filter(({ type }) => type === 'warning')).toEqual([]);
  const stats = download.stats();
  await closesSoon(session);
  return { stats, events };
}

describe('a download completes beside a peer that', () => {
  const scripts: readonly [string, hostile.HostileScript][] = [
    ['never answers', hostile.neverAnswers],
    ['answers a byte at a time', hostile.answersAByteAtATime],
    ['answers a byte a second', hostile.answersAByteASecond],
    ['answers from the wrong place', hostile.answersFromTheWrongPlace],
    ['chokes and unchokes all the time', hostile.chokesAndUnchokes],
    ['chokes and unchokes twenty times a second', hostile.chokesTwentyTimesASecond],
    ['rejects what it claims to have', hostile.rejectsWhatItClaims],
    ['answers with empty blocks', hostile.sendsEmptyBlocks],
    ['uses ids that were never negotiated', hostile.usesIdsNeverNegotiated],
    ['uses extensions that were never negotiated', hostile.usesExtensionsNeverNegotiated],
  ];
  it.each(scripts)('%s', async (_what, script) => {
    await survives(script);
  });

  // None of these gets to its end.
  const floods: readonly [string, hostile.HostileScript][] = [
    ['floods requests', hostile.floodsRequests],
    ['floods HAVEs', hostile.floodsHaves],
    ['floods chokes and unchokes', hostile.floodsChokes],
    ['repeats its extended handshake', hostile.shakesHandsAllTheTime],
    ['floods allowed fast pieces, rejects and suggestions', hostile.floodsAllowedFastAndRejects],
  ];
  it.each(floods)('%s, and hangs up on it', async (_what, script) => {
    const { events } = await survives(script, { isCutShort: true });
    expect(events.filter((event) => event.type === 'peer' && event.what === 'disconnected: protocol')).toHaveLength(1);
  });

  const wasteful: readonly [string, hostile.HostileScript][] = [
    ['sends poison unasked', hostile.sendsPoisonUnasked],
    ['answers for the wrong piece', hostile.answersForTheWrongPiece],
    ['answers twice', hostile.answersTwice],
    ['answers twice, and rightly', hostile.answersRightTwice],
  ];
  it.each(wasteful)('%s, and keeps none of it', async (_what, script) => {
    const { stats } = await survives(script);
    expect(stats.wasted).toBeGreaterThan(0);
  });

  // Each of these waits until the client has hung up.
  const cutOff: readonly [string, hostile.HostileScript][] = [
    ['announces a message of 1 GiB', hostile.announcesAGibibyte],
    ['announces a bitfield of 1 MiB', hostile.announcesABitfieldOfAMebibyte],
    ['sends a short bitfield', hostile.sendsAShortBitfield],
    ['sends a bitfield with spare bits', hostile.sendsSpareBits],
    ['names a piece beyond the last', hostile.namesAPieceBeyondTheLast],
    ['talks before the handshake', hostile.talksBeforeTheHandshake],
    ['shakes hands slowly', hostile.shakesHandsSlowly],
    ['sends 10,000 addresses in one message', hostile.exchangesManyPeersAtOnce],
    ['nests lists deeply in its extended handshake', hostile.nestsDeeply],
    ['nests dictionaries deeply in its extended handshake', hostile.nestsDictionaries],
    ['sends 64 KiB of tokens in its extended handshake', hostile.sendsManyTokens],
    ['sends 8,000 tokens in its extended handshake', hostile.sendsManyTokensInBounds],
    ['announces a string of 2 GiB in its extended handshake', hostile.announcesALongString],
    ['claims all in a word of the fast extension that was never negotiated', hostile.claimsAllInAWordNeverNegotiated],
    ['names the prototype in its extended handshake', hostile.namesThePrototype],
    ['ends its extended handshake in the middle', hostile.endsInTheMiddle],
  ];
  it.each(cutOff)('%s, and cuts it off', async (_what, script) => {
    await survives(script);
  });

  it('exchanges 10,000 peers, of which it takes those of one message', async () => {
    const { stats } = await survives(hostile.exchangesPeersAllTheTime);
    expect(stats.knownPeers).toBe(2 + 50);
  });

  it('exchanges peers of a private torrent, and takes none', async () => {
    const { stats } = await survives(hostile.exchangesPeersAllTheTime, { of: privateTorrent });
    expect(stats.knownPeers).toBe(2);
  });
});

describe('a download among ten peers of which three send poison', () => {
  const all = fullBitfield(41);
  const most = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0]);
  const rest = [32, 33, 34, 35, 36, 37, 38, 39, 40];
  const LIARS = ['127.0.0.10', '127.0.0.11', '127.0.0.12'];

  type Poisons = (asked: { begin: number }, liar: number) => boolean;

  interface Ways {
    readonly options?: Partial<Options>;
    /** Whether each of the three gives something bad for certain. */
    readonly isCertain?: boolean;
    /** Blocks after which a liar hangs up, and comes back. */
    readonly staysFor?: number;
  }

  /** @param poisons what each of the three poisons @returns what became of it */
  async function downloads(poisons: Poisons, { options = {}, isCertain = true, staysFor }: Ways = {}) {
    // What only the poisoners claim makes each of them give something, however quick the others are.
    const peers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => {
        const isLiar = n < LIARS.length;
        const lies = (asked: { begin: number }): boolean => isLiar && poisons(asked, n);
        const script = [isLiar || !isCertain ? all : most, lies, `127.0.0.${10 + n}`] as const;
        return ending(hostile.oneOfMany(torrent, `-XX0001-peer-no-${n}---`, ...script, isLiar ? staysFor : undefined));
      }),
    );
    const { session, starts } = await watchedSession(options);
    const [out, banned, warned, lost] = [await emptyFolder(), new Set<string>(), [] as string[], [] as string[]];
    const onEvent = (event: DownloadEvent) => {
      if (event.type === 'warning') warned.push(event.message);
      if (event.type !== 'peer') return;
      if (event.what === 'disconnected: banned') banned.add(event.address.host);
      else if (event.what.startsWith('disconnected') && event.what !== 'disconnected: removed')
        lost.push(event.address.host);
      if (banned.size === LIARS.length) for (const peer of peers.slice(LIARS.length)) peer.announce(rest);
    };
    const addresses = peers.map(({ host, port }) => ({ host, port }));
    const download = session.add(torrent.bytes, { out, peers: addresses, onEvent });
    await download.done;
    expect((await readFile(join(out, torrent.name))).equals(torrent.payload)).toBe(true);
    const guilty = isCertain ? LIARS : LIARS.filter((host) => warned.some((text) => text.includes(host)));
    expect(lost.filter((host) => staysFor === undefined || !LIARS.includes(host))).toEqual([]);
    if (staysFor === undefined) expect([...banned].sort()).toEqual(guilty);
    expect(warned.sort()).toEqual(guilty.map((host) => `peer ${host} is banned: it sent bad data`));
    expect(await starts()).toBe(2);
    const { wasted } = download.stats();
    await closesSoon(session);
    return { wasted };
  }

  it('bans these three, keeps the others and completes', async () => {
    await downloads(() => true);
  });

  it('does so when they poison one block in four, and wastes less than the payload', async () => {
    const { wasted } = await downloads(({ begin }) => begin === 2 * BLOCK);
    expect(wasted).toBeGreaterThan(0);
    expect(wasted).toBeLessThan(torrent.payload.length);
  });

  it('does so when there are more of them than times that a piece may fail', async () => {
    await downloads(() => true, { options: { corruptPieceLimit: 2 } });
  });

  it('completes when they poison a block now and then, and bans nobody else', async () => {
    let answers = 0;
    await downloads(() => ++answers % 5 === 0, { isCertain: false });
  });

  it('completes when each poisons another block of every piece, and bans nobody else', async () => {
    await downloads(({ begin }, liar) => begin === liar * BLOCK, { isCertain: false });
  });

  it('completes when they hang up after a few blocks and come back, and bans nobody else', async () => {
    await downloads(() => true, { isCertain: false, staysFor: 3, options: { reconnectMs: 50 } });
  });
});

/** Deadlines that no test waits for: what depends on one is not done in time. */
const PATIENT: Partial<Options> = { requestTimeoutMs: 120_000, leaseIdleMs: 120_000 };

describe('a seed beside peers that claim everything, unchoke and never answer', () => {
  const all = fullBitfield(41);

  it('gives what twenty of them have been asked for', async () => {
    const silent = await Promise.all(
      Array.from({ length: 20 }, (_, n) => ending(hostile.silentClaimer(torrent, n, `127.0.2.${n + 1}`))),
    );
    const good = await ending(hostile.patientSeed(torrent, Promise.all(silent.map(({ asked }) => asked))));
    const { session } = await watchedSession(PATIENT);
    const out = await emptyFolder();
    const peers = [...silent.map(({ host, port }) => ({ host, port })), ...at(good.port)];
    await session.add(torrent.bytes, { out, peers }).done;
    expect((await readFile(join(out, torrent.name))).equals(torrent.payload)).toBe(true);
  });

  it('gives a piece that has failed though the silent one of another group has it', async () => {
    const silent = await ending(hostile.silentClaimer(torrent, 0, '127.0.0.2'));
    const good = await ending(hostile.oneOfMany(torrent, '-XX0001-honest-peer-', all, () => false, '127.0.0.3'));
    // It has the first piece alone.
    const first = Buffer.from([0x80, 0, 0, 0, 0, 0]);
    const liar = await ending(hostile.oneOfMany(torrent, '-XX0001-a-true-liar-', first, () => true, '127.0.0.4'));
    const { session } = await watchedSession(PATIENT);
    const out = await emptyFolder();
    const peers = [silent, liar, good].map(({ host, port }) => ({ host, port }));
    await session.add(torrent.bytes, { out, peers }).done;
    expect((await readFile(join(out, torrent.name))).equals(torrent.payload)).toBe(true);
  });
});

describe('a silent peer that has stolen the id of a seed', () => {
  const STOLEN = '-XX0001-a-true-owner';

  it('keeps it out no longer than a silent connection is believed', async () => {
    let arrive = (): void => {};
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    // It answers no handshake until the thief is there.
    const owner = await ending(
      ScriptedPeer.listen(async (peer) => {
        await arrived;
        await hostile.serveHonestly(peer, torrent, STOLEN);
      }, '127.0.0.2'),
    );
    const { session } = await watchedSession({ silentMs: 400, reconnectMs: 50, handshakeTimeoutMs: 10_000 });
    const events: string[] = [];
    const download = session.add(torrent.bytes, {
      out: await emptyFolder(),
      peers: [{ host: owner.host, port: owner.port }],
      onEvent: (event) => event.type === 'peer' && events.push(`${event.address.host} ${event.what}`),
    });
    while (download.state !== 'downloading') await new Promise((resolve) => setImmediate(resolve));
    const thief = await RawPeer.dial(session.port, '127.0.0.3');
    atEnd(async () => thief.socket.destroy());
    thief.send(handshakeOf(torrent.infohash, STOLEN));
    await thief.bytes(68);
    while (download.connected < 1) await new Promise((resolve) => setImmediate(resolve));
    const keepingAlive = setInterval(() => thief.send(Buffer.alloc(4)), 20);
    atEnd(async () => clearInterval(keepingAlive));
    arrive();
    await download.done;
    await thief.closed;
    expect(events).toContain('127.0.0.3 disconnected: duplicate');
  });
});

describe('the door', () => {
  it('takes 500 connections that say nothing, lets them go and still serves who comes after', async () => {
    let release = (): void => {};
    const emptied = new Promise<void>((resolve) => {
      release = resolve;
    });
    const good = await ending(hostile.patientSeed(torrent, emptied));
    const { session, starts } = await watchedSession();
    const [out, growth] = [await emptyFolder(), watchMemory()];
    const download = session.add(torrent.bytes, { out, peers: at(good.port) });
    const crowd = await Promise.all(Array.from({ length: 500 }, () => RawPeer.dial(session.port)));
    const late = await RawPeer.dial(session.port);
    atEnd(async () => late.socket.destroy());
    late.send(handshakeOf(torrent.infohash));
    expect((await late.bytes(68)).subarray(28, 48).equals(torrent.infohash)).toBe(true);
    await Promise.all(crowd.map(({ closed }) => closed));
    release();
    await download.done;
    expect((await readFile(join(out, torrent.name))).equals(torrent.payload)).toBe(true);
    expect(growth()).toBeLessThan(MAX_GROWTH);
    expect(await starts()).toBe(1);
    await closesSoon(session);
  });

  it('has 5,000 connections at once, many times what it takes, and the download goes on', async () => {
    let begin = (): void => {};
    const crowded = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const good = await ending(hostile.patientSeed(torrent, crowded));
    const { session, starts } = await watchedSession({ maxPeers: 300, strangers: 200, reconnectMs: 100 });
    const out = await emptyFolder();
    const download = session.add(torrent.bytes, { out, peers: at(good.port) });
    const crowd = await Promise.all(Array.from({ length: 5_000 }, () => RawPeer.dial(session.port)));
    begin();
    await download.done;
    expect((await readFile(join(out, torrent.name))).equals(torrent.payload)).toBe(true);
    expect(await starts()).toBe(1);
    for (const { socket } of crowd) socket.destroy();
    await closesSoon(session);
  });

  it('takes 500 connections that ask for a torrent it has not, and sends them away', async () => {
    const { session, starts } = await watchedSession();
    const crowd = await Promise.all(Array.from({ length: 500 }, () => RawPeer.dial(session.port)));
    for (const peer of crowd) peer.send(handshakeOf(Buffer.alloc(20, 7)));
    await Promise.all(crowd.map(({ closed }) => closed));
    expect(await starts()).toBe(1);
    await closesSoon(session);
  });

  it('gives no connection longer than its deadline, however it trickles in', async () => {
    const { session } = await watchedSession();
    const loris = await RawPeer.dial(session.port);
    await hostile.shakesHandsSlowly(loris, torrent);
    await closesSoon(session);
  });
});

describe('a seed', () => {
  const leechers: readonly [string, Buffer<ArrayBuffer> | undefined][] = [
    ['of BEP 3', undefined],
    ['with the fast extension', FAST_AND_EXTENDED],
  ];
  it.each(leechers)(
    'serves others beside a peer %s that asks without end and reads nothing',
    async (_what, reserved) => {
      const { session, starts } = await watchedSession();
      const [full, out] = [await emptyFolder(), await emptyFolder()];
      await writeFile(join(full, torrent.name), torrent.payload);
      await session.add(torrent.bytes, { out: full, seed: true }).done;
      const greedy = await RawPeer.dial(session.port);
      atEnd(async () => greedy.socket.destroy());
      greedy.send(handshakeOf(torrent.infohash, '-XX6666-hostile-peer', reserved), INTERESTED);
      await greedy.bytes(68);
      await greedy.nextOf(1);
      const growth = watchMemory();
      greedy.socket.pause();
      const asks = Buffer.concat(Array.from({ length: 4_000 }, (_, i) => request(i % 40, 0, BLOCK)));
      // Its end ends the flood: each write is called back, with an error if need be.
      const poured = (async () => {
        for (let i = 0; i < 300 && !greedy.socket.destroyed; i++) {
          await new Promise<void>((resolve) => greedy.socket.write(asks, () => resolve()));
        }
      })();
      const honest = await openSession();
      await honest.add(torrent.bytes, { out, peers: at(session.port) }).done;
      expect((await readFile(join(out, torrent.name))).equals(torrent.payload)).toBe(true);
      greedy.socket.destroy();
      await poured;
      expect(growth()).toBeLessThan(MAX_GROWTH);
      expect(await starts()).toBe(1);
      await closesSoon(session);
    },
  );
});

describe('a peer that has found a weak spot', () => {
  it('is not heard while it reads none of the rejects it provokes', async () => {
    const { session } = await watchedSession();
    const full = await emptyFolder();
    await writeFile(join(full, torrent.name), torrent.payload);
    await session.add(torrent.bytes, { out: full, seed: true }).done;
    const greedy = await RawPeer.dial(session.port);
    atEnd(async () => greedy.socket.destroy());
    greedy.send(handshakeOf(torrent.infohash, '-XX6666-hostile-peer', FAST_AND_EXTENDED));
    await greedy.bytes(68);
    greedy.socket.pause();
    const growth = watchMemory();
    // Not interested, so choked: each of these is worth a reject.
    const asks = Buffer.concat(Array.from({ length: 4_000 }, () => request(39, 0, BLOCK)));
    const poured = (async () => {
      for (let i = 0; i < 600 && !greedy.socket.destroyed; i++) {
        await new Promise<void>((resolve) => greedy.socket.write(asks, () => resolve()));
      }
    })();
    for (let round = 0; round < 3; round++) {
      const honest = await openSession();
      await honest.add(torrent.bytes, { out: await emptyFolder(), peers: at(session.port) }).done;
      await honest.close();
    }
    greedy.socket.destroy();
    await poured;
    expect(growth()).toBeLessThan(MAX_GROWTH);
  });

  it('has one listen port remembered, however many it names', async () => {
    const silent = await ending(ScriptedPeer.listen(() => {}));
    const { session } = await watchedSession({ handshakeTimeoutMs: 10_000 });
    const download = session.add(torrent.bytes, { out: await emptyFolder(), peers: at(silent.port) });
    while (download.state !== 'downloading') await new Promise((resolve) => setImmediate(resolve));
    const fickle = await RawPeer.dial(session.port);
    atEnd(async () => fickle.socket.destroy());
    fickle.send(handshakeOf(torrent.infohash, '-XX6666-hostile-peer', FAST_AND_EXTENDED));
    await fickle.bytes(68);
    for (let port = 20_000; port < 32_000; port++) fickle.send(hostile.extended(0, `d1:pi${port}ee`));
    fickle.socket.end();
    await fickle.closed;
    while (download.connected > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(download.stats().knownPeers).toBeLessThan(5);
  });

  it('cannot keep a download from dialling by crowding the door', async () => {
    let leave = (): void => {};
    const crowded = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const good = await ending(
      ScriptedPeer.listen(async (peer, connection) => {
        await peer.bytes(68);
        peer.send(handshakeOf(torrent.infohash, '-XX0001-honest-peer-'), bitfield(fullBitfield(41)));
        if (connection === 0) {
          await crowded;
          peer.socket.destroy();
        }
        peer.send(UNCHOKE);
        for (;;) {
          const { body } = await peer.nextOf(6);
          const [piece, begin, length] = [body.readUInt32BE(0), body.readUInt32BE(4), body.readUInt32BE(8)];
          const from = piece * torrent.pieceLength + begin;
          peer.send(block(piece, begin, torrent.payload.subarray(from, from + length)));
        }
      }),
    );
    const { session } = await watchedSession({ peersPerTorrent: 20, reconnectMs: 10 });
    const download = session.add(torrent.bytes, { out: await emptyFolder(), peers: at(good.port) });
    while (download.connected < 1) await new Promise((resolve) => setImmediate(resolve));
    for (let n = 10; n < 40; n++) {
      const idler = await RawPeer.dial(session.port);
      atEnd(async () => idler.socket.destroy());
      idler.send(handshakeOf(torrent.infohash, `-XX6666-hostile-no${n}`));
      await idler.bytes(68);
    }
    while (download.connected < 20) await new Promise((resolve) => setImmediate(resolve));
    leave();
    await download.done;
    expect(good.connections).toBeGreaterThan(1);
  });

  it('is asked less and less when it answers each request with a choke and an unchoke', async () => {
    let asked = 0;
    await survives(async (peer) => {
      await peer.bytes(68);
      peer.send(handshakeOf(torrent.infohash, '-XX6666-hostile-peer'), bitfield(fullBitfield(41)));
      await peer.nextOf(2);
      peer.send(UNCHOKE);
      await peer.nextOf(6);
      const others = async () => {
        for (;;) {
          await peer.nextOf(6);
          asked++;
          peer.send(CHOKE, UNCHOKE);
        }
      };
      others().catch(() => {});
    });
    expect(asked).toBeLessThan(20_000);
  });
});

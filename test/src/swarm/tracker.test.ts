import dgram from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Announcer } from '../../../src/discovery/announcer.js';
import { systemClock } from '../../../src/discovery/clock.js';
import { HttpTrackers } from '../../../src/discovery/http-tracker.js';
import { systemLookup } from '../../../src/discovery/lookup.js';
import { UdpTrackers } from '../../../src/discovery/udp-tracker.js';
import { SpateError } from '../../../src/errors.js';
import { DEFAULTS } from '../../../src/options.js';
import type { PeerAddress } from '../../../src/protocol/address.js';
import type { AnnounceAnswer, AnnounceEvent, AnnounceRequest } from '../../../src/protocol/announce.js';
import { type RunningTracker, startTracker, type TrackerSettings } from '../../../src/swarm/tracker.js';
import { itWithIpv6, onBothLoopbacks } from '../../helpers/ipv6.js';

const INFOHASH = new Uint8Array(20).fill(0xab);
const never = new AbortController().signal;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(settings?: TrackerSettings): Promise<RunningTracker> {
  const tracker = await startTracker(settings);
  cleanups.push(tracker.close);
  return tracker;
}

interface Clients {
  http: HttpTrackers;
  udp: UdpTrackers;
}

function clients(): Clients {
  const made = {
    http: new HttpTrackers(DEFAULTS, { userAgent: 'spate/1.2.3', lookup: systemLookup, findPeers: async () => [] }),
    udp: new UdpTrackers(DEFAULTS, { random: Math.random, lookup: systemLookup }),
  };
  cleanups.push(
    () => made.http.close(),
    () => made.udp.close(),
  );
  return made;
}

interface Told {
  event?: AnnounceEvent;
  left?: number;
  numwant?: number;
  infohash?: Uint8Array;
}

const request = (port: number, { event, left = 1, numwant = 50, infohash = INFOHASH }: Told = {}): AnnounceRequest => ({
  infohash,
  peerId: new Uint8Array(20).fill(port),
  port,
  uploaded: 0,
  downloaded: 0,
  left,
  numwant,
  key: 1,
  event,
});

/** Announces to the tracker over both protocols alternately: one swarm, whoever asks how. */
function announces(tracker: RunningTracker): (port: number, told?: Told) => Promise<AnnounceAnswer> {
  const { http, udp } = clients();
  let turn = 0;
  return (port, told) =>
    turn++ % 2 === 0
      ? http.announce(tracker.httpUrl, request(port, told), never)
      : udp.announce(tracker.udpUrl, request(port, told), never);
}

const at = (...ports: number[]): PeerAddress[] => ports.map((port) => ({ host: '127.0.0.1', port }));

describe('the embedded tracker', () => {
  it('listens on one port number for both protocols', async () => {
    const { httpUrl, udpUrl } = await start();
    expect(httpUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/announce$/);
    expect(udpUrl).toBe(httpUrl.replace('http', 'udp'));
  });

  it('takes another UDP port when that one is taken, and says so', async () => {
    // A free UDP port need not be a free TCP port: another one then.
    const onTakenPort = async (): Promise<{ port: number; tracker: Awaited<ReturnType<typeof start>> }> => {
      const taken = dgram.createSocket('udp4');
      cleanups.push(() => taken.close());
      await new Promise<void>((resolve) => taken.bind(0, '127.0.0.1', resolve));
      const { port } = taken.address();
      return await start({ port }).then(
        (tracker) => ({ port, tracker }),
        () => onTakenPort(),
      );
    };
    const { port, tracker } = await onTakenPort();
    expect(tracker.httpUrl).toBe(`http://127.0.0.1:${port}/announce`);
    expect(tracker.udpUrl).not.toBe(`udp://127.0.0.1:${port}/announce`);
    const { udp } = clients();
    expect(await udp.announce(tracker.udpUrl, request(1), never)).toMatchObject({ leechers: 1 });
  });

  it('says why it cannot listen', async () => {
    const { httpUrl } = await start();
    const port = Number(new URL(httpUrl).port);
    const failing = startTracker({ port });
    await expect(failing).rejects.toBeInstanceOf(SpateError);
    await expect(failing).rejects.toMatchObject({
      code: 'CANNOT_LISTEN',
      message: expect.stringContaining(`:${port}`),
    });
  });

  it('gives each peer the others, its counts and the interval', async () => {
    const tracker = await start({ interval: 77 });
    const announce = announces(tracker);
    expect(await announce(1, { event: 'started' })).toMatchObject({
      peers: [],
      leechers: 1,
      seeders: 0,
      intervalMs: 77_000,
    });
    expect(await announce(2, { event: 'started', left: 0 })).toMatchObject({ peers: at(1), leechers: 1, seeders: 1 });
    expect(await announce(3, { event: 'started' })).toMatchObject({ peers: at(1, 2), leechers: 2, seeders: 1 });
    expect(await announce(1)).toMatchObject({ peers: at(2, 3), intervalMs: 77_000 });
    expect(tracker.counts(INFOHASH)).toEqual({ leechers: 2, seeders: 1, completed: 0 });
  });

  it('gives a seed no seeds', async () => {
    const announce = announces(await start());
    await announce(1, { left: 0 });
    await announce(2);
    expect(await announce(3, { left: 0 })).toMatchObject({ peers: at(2), seeders: 2 });
  });

  it('counts who completes and forgets who stops', async () => {
    const tracker = await start();
    const announce = announces(tracker);
    await announce(1, { event: 'started' });
    await announce(2, { event: 'started' });
    await announce(1, { event: 'completed', left: 0 });
    expect(tracker.counts(INFOHASH)).toEqual({ leechers: 1, seeders: 1, completed: 1 });
    expect(await announce(1, { event: 'stopped', left: 0 })).toMatchObject({ peers: [], leechers: 1, seeders: 0 });
    expect(await announce(1, { event: 'stopped', left: 0 })).toMatchObject({ leechers: 1 });
    expect(tracker.counts(INFOHASH)).toEqual({ leechers: 1, seeders: 0, completed: 1 });
  });

  it('keeps swarms apart', async () => {
    const tracker = await start();
    const announce = announces(tracker);
    const other = new Uint8Array(20);
    await announce(1);
    expect(await announce(2, { infohash: other })).toMatchObject({ peers: [] });
    expect(tracker.counts(other)).toMatchObject({ leechers: 1 });
    expect(tracker.counts(new Uint8Array(20).fill(9))).toEqual({ leechers: 0, seeders: 0, completed: 0 });
  });

  it('gives as many peers as are wanted, each in turn', async () => {
    const announce = announces(await start());
    for (let port = 1; port <= 10; port++) await announce(port, { numwant: 0 });
    const seen = new Set<number>();
    for (let i = 0; i < 3; i++) {
      const { peers } = await announce(99, { numwant: 4 });
      expect(new Set(peers.map(({ port }) => port)).size).toBe(4);
      for (const { port } of peers) seen.add(port);
    }
    expect(seen.size).toBe(10);
    expect((await announce(99, { numwant: 0 })).peers).toEqual([]);
  });

  it('gives 200 peers at most, and 50 to a UDP client that names no number', async () => {
    const tracker = await start();
    const { udp } = clients();
    for (let port = 1; port <= 210; port++) await udp.announce(tracker.udpUrl, request(port, { numwant: 0 }), never);
    const wanting = (numwant: number): Promise<AnnounceAnswer> =>
      udp.announce(tracker.udpUrl, request(999, { numwant }), never);
    expect((await wanting(10_000)).peers).toHaveLength(200);
    expect((await wanting(-1)).peers).toHaveLength(50);
  });

  itWithIpv6('serves IPv6 as well', async () => {
    const announce = announces(await start({ host: '::1' }));
    await announce(1);
    expect((await announce(2)).peers).toEqual([{ host: '::1', port: 1 }]);
    expect((await announce(3)).peers).toEqual([
      { host: '::1', port: 1 },
      { host: '::1', port: 2 },
    ]);
  });

  it('is scraped over both protocols, known infohashes or not', async () => {
    const tracker = await start();
    const { http, udp } = clients();
    const announce = announces(tracker);
    await announce(1, { event: 'started' });
    await announce(2, { event: 'started' });
    await announce(2, { event: 'completed', left: 0 });
    const [unknown, many] = [new Uint8Array(20), Array.from({ length: 100 }, () => INFOHASH)];
    const counted = { seeders: 1, completed: 1, leechers: 1 };
    for (const scrape of [
      (infohashes: Uint8Array[]) => http.scrape(tracker.httpUrl, infohashes, never),
      (infohashes: Uint8Array[]) => udp.scrape(tracker.udpUrl, infohashes, never),
    ]) {
      expect(await scrape([INFOHASH])).toEqual([counted]);
      expect(await scrape([unknown, INFOHASH])).toEqual([{ seeders: 0, completed: 0, leechers: 0 }, counted]);
      expect(await scrape(many)).toEqual(many.map(() => counted));
    }
    expect(tracker.counts(unknown)).toEqual({ seeders: 0, leechers: 0, completed: 0 });
  });

  it('is scraped over UDP only with a connection id', async () => {
    const tracker = await start();
    const socket = dgram.createSocket('udp4');
    cleanups.push(() => socket.close());
    const scrape = Buffer.alloc(36);
    scrape.writeUInt32BE(2, 8);
    const answer = new Promise<Buffer>((resolve) => socket.once('message', resolve));
    socket.send(scrape, Number(new URL(tracker.udpUrl).port), '127.0.0.1');
    expect((await answer).toString('latin1')).toBe('\0\0\0\x03\0\0\0\0unknown connection id');
  });

  it('gives dictionaries to a client that takes no compact peers', async () => {
    const tracker = await start();
    await announces(tracker)(80);
    const query = `info_hash=${'%AB'.repeat(20)}&peer_id=${'x'.repeat(20)}&port=81&left=1&compact=0`;
    expect(await get(`${tracker.httpUrl}?${query}`)).toEqual({
      status: 200,
      body: 'd8:completei0e10:incompletei2e8:intervali1800e5:peersld2:ip9:127.0.0.14:porti80eeee',
    });
  });

  it('leaves nothing open when it is closed', async () => {
    const tracker = await startTracker();
    const { port } = new URL(tracker.httpUrl);
    const idle = net.connect(Number(port), '127.0.0.1');
    await new Promise((resolve) => idle.once('connect', resolve));
    const gone = new Promise((resolve) => idle.on('error', () => {}).once('close', resolve));
    await tracker.close();
    await gone;
    await expect(get(tracker.httpUrl)).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe('the embedded tracker, asked nonsense,', () => {
  it.each([
    ['/announce', 200, 'd14:failure reason38:expected port to be 1 to 65535, got 0e'],
    ['/announce?port=1&info_hash=%FF', 200, 'd14:failure reason38:expected 20 bytes of info_hash, got 1e'],
    ['/scrape', 200, 'd14:failure reason38:expected 20 bytes of info_hash, got nonee'],
    ['/scrape?info_hash=%FF', 200, 'd14:failure reason38:expected 20 bytes of info_hash, got 1e'],
    ['/', 404, 'expected /announce or /scrape\n'],
    ['/announce/../etc', 404, 'expected /announce or /scrape\n'],
  ])('answers %s over HTTP with a reason', async (path, status, body) => {
    const { httpUrl } = await start();
    const { status: got, body: text } = await get(httpUrl.replace('/announce', path));
    expect(got).toBe(status);
    expect(text.replace(/reason\d+/, 'reason38')).toBe(body);
  });

  it('lives on after broken HTTP', async () => {
    const tracker = await start();
    for (const bytes of ['\0\0\0', 'POST /announce HTTP/1.1\r\nHost: x\r\n\r\n', 'GET \u00ff HTTP/9\r\n\r\n', '']) {
      const socket = net.connect(Number(new URL(tracker.httpUrl).port), '127.0.0.1');
      const closed = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve));
      socket.resume().end(bytes, 'latin1');
      await closed;
    }
    expect(await announces(tracker)(1)).toMatchObject({ leechers: 1 });
  });

  it('ignores broken packets and answers wrong ones with a reason', async () => {
    const tracker = await start();
    const { port } = new URL(tracker.udpUrl);
    const socket = dgram.createSocket('udp4');
    cleanups.push(() => socket.close());
    const announce = Buffer.alloc(98);
    announce.writeUInt32BE(1, 8);
    announce.writeUInt32BE(0xcafe, 12);
    const answer = new Promise<Buffer>((resolve) => socket.once('message', resolve));
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(16), Buffer.alloc(97, 1), announce]) {
      socket.send(bytes, Number(port), '127.0.0.1');
    }
    expect((await answer).toString('latin1')).toBe('\0\0\0\x03\0\0\xca\xfeunknown connection id');
  });

  it('refuses port 0 over UDP', async () => {
    const tracker = await start();
    await expect(clients().udp.announce(tracker.udpUrl, request(0), never)).rejects.toThrow(
      'the tracker refused: expected port to be 1 to 65535, got 0',
    );
  });
});

describe('announcers in an embedded swarm', () => {
  it('find each other, and leave', async () => {
    const tracker = await start();
    const { http, udp } = clients();
    const abort = new AbortController();
    const announcer = (port: number, tiers: string[][], left: number): Announcer =>
      new Announcer(
        {
          tiers,
          infohash: INFOHASH,
          peerId: new Uint8Array(20).fill(port),
          port,
          progress: () => ({ uploaded: 0, downloaded: 0, left }),
          onStatus: () => {},
          options: DEFAULTS,
        },
        { http, udp, clock: systemClock, random: Math.random, closing: new AbortController().signal },
      );
    const seed = announcer(1, [[tracker.httpUrl]], 0);
    const seeding = seed.peers(abort.signal).next();
    await seed.firstRound;
    const leecher = announcer(2, [[tracker.udpUrl]], 5);
    const { value } = await leecher.peers(abort.signal).next();
    expect(value).toEqual(at(1));
    expect(tracker.counts(INFOHASH)).toEqual({ seeders: 1, leechers: 1, completed: 0 });
    leecher.completed();
    await Promise.all([leecher.stop(), seed.stop()]);
    expect(tracker.counts(INFOHASH)).toEqual({ seeders: 0, leechers: 0, completed: 1 });
    expect(await seeding).toEqual({ done: true, value: undefined });
  });
});

describe('an announcer of a dual-stack session', () => {
  itWithIpv6('is one peer to each address of a tracker, over HTTP and UDP, until it leaves', async () => {
    const [four, six] = await onBothLoopbacks(async (host, port) => {
      const tracker = await startTracker({ host, port });
      const [tcp, udp] = [tracker.httpUrl, tracker.udpUrl].map((url) => Number(new URL(url).port));
      if (tcp === udp) return { ...tracker, port: udp! };
      await tracker.close();
      throw new Error(`expected one port for both protocols, got ${tcp} and ${udp}`);
    });
    cleanups.push(four.close, six.close);
    const lookup = async (): Promise<string[]> => ['127.0.0.1', '::1'];
    const http = new HttpTrackers(DEFAULTS, { userAgent: 'spate/1.2.3', lookup, findPeers: async () => [] });
    const udp = new UdpTrackers(DEFAULTS, { random: Math.random, lookup });
    cleanups.push(
      () => http.close(),
      () => udp.close(),
    );
    for (const scheme of ['http', 'udp']) {
      const infohash = new Uint8Array(20).fill(scheme.length);
      const abort = new AbortController();
      const announcer = new Announcer(
        {
          tiers: [[`${scheme}://t.example:${four.port}/announce`]],
          infohash,
          peerId: new Uint8Array(20).fill(1),
          port: 1,
          families: [4, 6],
          progress: () => ({ uploaded: 0, downloaded: 0, left: 5 }),
          onStatus: () => {},
          options: DEFAULTS,
        },
        { http, udp, clock: systemClock, random: Math.random, closing: new AbortController().signal },
      );
      const ended = announcer.peers(abort.signal).next();
      await announcer.firstRound;
      const counts = () => [four, six].map((tracker) => tracker.counts(infohash));
      expect(counts()).toEqual([1, 1].map((leechers) => ({ leechers, seeders: 0, completed: 0 })));
      announcer.completed();
      await announcer.stop();
      expect(counts()).toEqual([1, 1].map((completed) => ({ leechers: 0, seeders: 0, completed })));
      abort.abort();
      await ended;
    }
  });
});

async function get(url: string): Promise<{ status: number | undefined; body: string }> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.get(url, { agent: false }, resolve).once('error', reject);
  });
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return { status: response.statusCode, body: Buffer.concat(chunks).toString('latin1') };
}

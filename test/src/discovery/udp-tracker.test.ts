import dgram from 'node:dgram';
import { setMaxListeners } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/discovery/clock.js';
import { systemLookup } from '../../../src/discovery/lookup.js';
import { type UdpTrackerDeps, type UdpTrackerOptions, UdpTrackers } from '../../../src/discovery/udp-tracker.js';
import type { Family } from '../../../src/protocol/address.js';
import { type AnnounceAnswer, TrackerError } from '../../../src/protocol/announce.js';
import { itWithIpv6, onBothLoopbacks } from '../../helpers/ipv6.js';
import { VirtualClock } from '../../helpers/tracker-clock.js';
import { REQUEST } from '../../helpers/tracker-request.js';
import {
  actionOf,
  announced,
  connected,
  refused,
  type ScriptedUdp,
  scraped,
  scriptedUdp,
  type UdpScript,
} from '../../helpers/tracker-udp.js';

const PEERS = [{ host: '1.2.3.4', port: 80 }];
const CONNECT = 0;
const ANNOUNCE = 1;
const SCRAPE = 2;
const never = new AbortController().signal;
setMaxListeners(0, never);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function server(script: UdpScript, host?: string): Promise<ScriptedUdp> {
  const scripted = await scriptedUdp(script, host);
  cleanups.push(scripted.close);
  return scripted;
}

/** Every packet answered as it should be. */
const wellBehaved: UdpScript = (packet, reply) =>
  reply(actionOf(packet) === CONNECT ? connected(packet, 7n) : announced(packet));

const PATIENT = { udpResendMs: 10_000, udpTotalMs: 20_000 };

function client(options: Partial<UdpTrackerOptions> = {}, deps: Partial<UdpTrackerDeps> = {}): UdpTrackers {
  const tracker = new UdpTrackers({ ...PATIENT, ...options }, { random: Math.random, lookup: systemLookup, ...deps });
  cleanups.push(() => tracker.close());
  return tracker;
}

const actions = ({ packets }: ScriptedUdp): number[] => packets.map(actionOf);
const url = ({ port }: ScriptedUdp): string => `udp://127.0.0.1:${port}`;
const urlOf = ({ port }: ScriptedUdp): string => `udp://t.example:${port}`;

describe('a UDP announce', () => {
  it('connects, then announces with the connection id it got', async () => {
    const scripted = await server(wellBehaved);
    const answer = await client().announce(`${url(scripted)}/announce?k=1`, REQUEST, never);
    expect(answer).toMatchObject({ peers: PEERS, intervalMs: 60_000, leechers: 2, seeders: 3 });
    const [connect, announce] = scripted.packets as [Buffer, Buffer];
    expect(connect.subarray(0, 12).toString('hex')).toBe('000004172710198000000000');
    expect(announce.readBigUInt64BE(0)).toBe(7n);
    expect(announce.subarray(16, 36)).toEqual(Buffer.alloc(20, 0xab));
    expect(announce.subarray(98).toString('latin1')).toBe('\x02\x0d/announce?k=1');
    expect(announce.readUInt32BE(12)).not.toBe(connect.readUInt32BE(12));
  });

  itWithIpv6('reads 18-byte peers from a tracker it reaches over IPv6', async () => {
    const peer = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80);
    const scripted = await server(
      (packet, reply) => reply(actionOf(packet) === CONNECT ? connected(packet, 7n) : announced(packet, peer)),
      '::1',
    );
    const answer = await client().announce(`udp://[::1]:${scripted.port}`, REQUEST, never);
    expect(answer.peers).toEqual([{ host: '2001:db8::1', port: 80 }]);
  });

  it('uses one socket, one connection and one look-up for all torrents of a tracker', async () => {
    const scripted = await server(wellBehaved);
    let lookups = 0;
    const lookup = async (): Promise<string[]> => {
      lookups++;
      return ['127.0.0.1'];
    };
    const tracker = client({}, { lookup });
    const announce = (): Promise<unknown> => tracker.announce(`udp://T.example:${scripted.port}/a`, REQUEST, never);
    await Promise.all(Array.from({ length: 20 }, announce));
    await announce();
    expect(actions(scripted)).toEqual([CONNECT, ...Array.from({ length: 21 }, () => ANNOUNCE)]);
    expect(new Set(scripted.senders).size).toBe(1);
    expect(lookups).toBe(1);
    expect(new Set(scripted.packets.map((packet) => packet.readUInt32BE(12))).size).toBe(22);
  });

  it('goes out by turns when a thousand torrents announce at once', async () => {
    const clock = new VirtualClock();
    const scripted = await server(wellBehaved);
    const tracker = client({}, { clock });
    await tracker.announce(url(scripted), REQUEST, never);
    const all = Array.from({ length: 200 }, () => tracker.announce(url(scripted), REQUEST, never));
    // The first announce and its connect have had two turns of 32.
    await clock.advance(0);
    await expect.poll(() => scripted.packets.length).toBe(2 + 30);
    await clock.advance(100);
    await expect.poll(() => scripted.packets.length).toBe(2 + 130);
    await clock.advance(70);
    expect(await Promise.all(all)).toHaveLength(200);
    expect(scripted.packets).toHaveLength(2 + 200);
  });

  it('connects again when the connection id could get older than a minute', async () => {
    const scripted = await server(wellBehaved);
    let passed = 0;
    const clock: Clock = { now: () => passed, sleep: systemClock.sleep };
    const tracker = client({ udpTotalMs: 15_000 }, { clock });
    await tracker.announce(url(scripted), REQUEST, never);
    passed = 44_999;
    await tracker.announce(url(scripted), REQUEST, never);
    expect(actions(scripted)).toEqual([CONNECT, ANNOUNCE, ANNOUNCE]);
    passed = 45_000;
    await tracker.announce(url(scripted), REQUEST, never);
    expect(actions(scripted).slice(3)).toEqual([CONNECT, ANNOUNCE]);
  });

  it('connects again when the tracker has forgotten the connection id, and only then', async () => {
    let valid = 1n;
    const scripted = await server((packet, reply) => {
      if (actionOf(packet) === CONNECT) reply(connected(packet, valid));
      else if (packet.readBigUInt64BE(0) !== valid) reply(refused(packet, 'Connection ID missmatch.'));
      else reply(announced(packet));
    });
    const tracker = client();
    await tracker.announce(url(scripted), REQUEST, never);
    valid = 2n;
    await tracker.announce(url(scripted), REQUEST, never);
    expect(actions(scripted)).toEqual([CONNECT, ANNOUNCE, ANNOUNCE, CONNECT, ANNOUNCE]);
  });

  it('asks both addresses of a name and takes the one that answers', async () => {
    const scripted = await server(wellBehaved);
    const lookup = async (): Promise<string[]> => ['::1', '127.0.0.1', '127.0.0.2'];
    const answer = await client({}, { lookup }).announce(`udp://t.example:${scripted.port}`, REQUEST, never);
    expect(answer).toMatchObject({ peers: PEERS });
    expect(actions(scripted)).toEqual([CONNECT, ANNOUNCE]);
  });
});

describe('a UDP announce with trouble on the way', () => {
  it('is sent again when packets are lost, with the same transaction id', async () => {
    const seen = new Map<number, number>();
    const scripted = await server((packet, reply, from) => {
      const count = (seen.get(packet.readUInt32BE(12)) ?? 0) + 1;
      seen.set(packet.readUInt32BE(12), count);
      if (count === 3) wellBehaved(packet, reply, from);
    });
    const tracker = client({ udpResendMs: 10 });
    expect(await tracker.announce(url(scripted), REQUEST, never)).toMatchObject({ peers: PEERS });
    expect(actions(scripted).slice(0, 4)).toEqual([CONNECT, CONNECT, CONNECT, ANNOUNCE]);
    expect(seen.size).toBe(2);
  });

  it('doubles the wait between packets and gives up in time', async () => {
    const clock = new VirtualClock();
    const scripted = await server(() => {});
    const announcing = client({ udpResendMs: 5_000, udpTotalMs: 36_000 }, { clock }).announce(
      url(scripted),
      REQUEST,
      never,
    );
    const failed = expect(announcing).rejects.toThrow(new TrackerError('no answer within 36000 ms'));
    // Sent at 0, 5, 15 and 35 s.
    for (const [ms, packets] of [
      [0, 1],
      [4_999, 1],
      [1, 2],
      [9_999, 2],
      [1, 3],
      [19_999, 3],
      [1, 4],
    ] as const) {
      await clock.advance(ms);
      await expect.poll(() => scripted.packets.length).toBe(packets);
    }
    await clock.advance(1_000);
    await failed;
    expect(clock.sleeping).toBe(0);
    expect(scripted.packets).toHaveLength(4);
  });

  it('connects anew after a tracker fell silent', async () => {
    let silent = false;
    const scripted = await server((packet, reply, from) => {
      if (!silent) wellBehaved(packet, reply, from);
    });
    const tracker = client({ udpTotalMs: 300 });
    await tracker.announce(url(scripted), REQUEST, never);
    silent = true;
    await expect(tracker.announce(url(scripted), REQUEST, never)).rejects.toThrow('no answer within 300 ms');
    silent = false;
    await tracker.announce(url(scripted), REQUEST, never);
    expect(actions(scripted)).toEqual([CONNECT, ANNOUNCE, ANNOUNCE, CONNECT, ANNOUNCE]);
  });

  it('ignores a wrong transaction id, a packet without one, and a stranger who knows the right one', async () => {
    const stranger = dgram.createSocket('udp4');
    cleanups.push(() => stranger.close());
    const scripted = await server((packet, reply, from) => {
      const lie = refused(packet, 'a lie');
      stranger.send(lie, from.port, from.address, () => {
        const wrong = Buffer.from(lie);
        wrong.writeUInt32BE((lie.readUInt32BE(4) + 1) >>> 0, 4);
        reply(wrong);
        reply(lie.subarray(0, 7));
        reply(new Uint8Array(0));
        wellBehaved(packet, reply, from);
      });
    });
    expect(await client().announce(url(scripted), REQUEST, never)).toMatchObject({ peers: PEERS });
  });

  it.each([
    [
      'a short connect answer',
      CONNECT,
      (packet: Buffer) => connected(packet, 7n).subarray(0, 15),
      /^expected at least 16 bytes/,
    ],
    [
      'a short announce answer',
      ANNOUNCE,
      (packet: Buffer) => announced(packet).subarray(0, 19),
      /^expected at least 20 bytes/,
    ],
    ['an unknown action', ANNOUNCE, (packet: Buffer) => announced(packet).fill(9, 0, 4), /got action 151587081/],
    ['an announce answer to connect', CONNECT, (packet: Buffer) => announced(packet), /^expected a connect answer/],
    [
      'a connect answer to announce',
      ANNOUNCE,
      (packet: Buffer) => connected(packet, 7n),
      /^expected an announce answer/,
    ],
    ['an error to connect', CONNECT, (packet: Buffer) => refused(packet, 'full'), /^the tracker refused: full$/],
    ['an error to announce', ANNOUNCE, (packet: Buffer) => refused(packet, 'no\n'), /^the tracker refused: no$/],
    [
      'an error that blames the connection',
      ANNOUNCE,
      (packet: Buffer) => refused(packet, 'connection?'),
      /refused: connection\?$/,
    ],
    ['an empty error', ANNOUNCE, (packet: Buffer) => refused(packet, ''), /^the tracker refused: no reason given$/],
  ])('fails at once on %s', async (_, action, wrong, message) => {
    const scripted = await server((packet, reply, from) => {
      if (actionOf(packet) === action) reply(wrong(packet));
      else wellBehaved(packet, reply, from);
    });
    const announcing = client().announce(url(scripted), REQUEST, never);
    await expect(announcing).rejects.toThrow(message);
    await expect(announcing).rejects.toBeInstanceOf(TrackerError);
    expect(actions(scripted)).toEqual([CONNECT, ANNOUNCE].slice(0, action + 1));
  });

  it('tells every torrent that waits for the same connection why it failed', async () => {
    const scripted = await server((packet, reply) => reply(refused(packet, 'full')));
    const tracker = client();
    const results = await Promise.allSettled([1, 2, 3].map(() => tracker.announce(url(scripted), REQUEST, never)));
    for (const result of results)
      expect(result).toMatchObject({ reason: new TrackerError('the tracker refused: full') });
    expect(scripted.packets).toHaveLength(1);
  });

  it('says when a name leads nowhere', async () => {
    const announce = (lookup: () => Promise<string[]>): Promise<unknown> =>
      client({ udpTotalMs: 50 }, { lookup }).announce('udp://t.example:1', REQUEST, never);
    await expect(announce(async () => [])).rejects.toThrow(new TrackerError('t.example has no usable address'));
    await expect(announce(() => Promise.reject(new Error('ENOTFOUND')))).rejects.toThrow(new TrackerError('ENOTFOUND'));
    await expect(announce(() => new Promise(() => {}))).rejects.toThrow(new TrackerError('no answer within 50 ms'));
  });

  it.each([
    'udp://',
    'udp://t.example',
    'udp://t.example:0',
    'udp://:80',
    'http://t.example:80',
    'udp',
    'udp://t:99999',
  ])('refuses the URL %j', async (tracker) => {
    await expect(client().announce(tracker, REQUEST, never)).rejects.toThrow(/^expected udp:\/\/HOST:PORT, got /);
  });
});

describe('a UDP announce over one family', () => {
  const name = async (): Promise<string[]> => ['::1', '127.0.0.1'];

  /** Servers on one port of both loopback addresses; each gives a peer of its own family. */
  async function twins(): Promise<readonly [four: ScriptedUdp, six: ScriptedUdp]> {
    const pair = await onBothLoopbacks((host, port) => {
      const peer = host === '::1' ? Uint8Array.of(...new Uint8Array(15), 1, 0, 80) : Uint8Array.of(127, 0, 0, 1, 0, 80);
      const connectionId = host === '::1' ? 6n : 4n;
      return scriptedUdp(
        (packet, reply) =>
          reply(actionOf(packet) === CONNECT ? connected(packet, connectionId) : announced(packet, peer)),
        host,
        port,
      );
    });
    for (const { close } of pair) cleanups.push(close);
    return pair;
  }

  itWithIpv6('goes to the address of that family, with a connection id of its own', async () => {
    const [four, six] = await twins();
    const tracker = client({}, { lookup: name });
    const over = (family: Family): Promise<AnnounceAnswer> =>
      tracker.announce(`udp://t.example:${four.port}`, REQUEST, never, family);
    const [answer4, answer6] = await Promise.all([over(4), over(6)]);
    expect(answer4.peers).toEqual([{ host: '127.0.0.1', port: 80 }]);
    expect(answer6.peers).toEqual([{ host: '::1', port: 80 }]);
    await Promise.all([over(4), over(6)]);
    for (const [twin, connectionId] of [
      [four, 4n],
      [six, 6n],
    ] as const) {
      expect(actions(twin)).toEqual([CONNECT, ANNOUNCE, ANNOUNCE]);
      expect(twin.packets.slice(1).map((packet) => packet.readBigUInt64BE(0))).toEqual([connectionId, connectionId]);
    }
  });

  itWithIpv6('keeps a silent one from holding up the other', async () => {
    const four = await server(wellBehaved);
    const tracker = client({ udpTotalMs: 200 }, { lookup: name });
    const over = (family: Family): Promise<AnnounceAnswer> => tracker.announce(urlOf(four), REQUEST, never, family);
    const [answer4, answer6] = await Promise.allSettled([over(4), over(6)]);
    expect(answer4.status).toBe('fulfilled');
    // Nobody listens: the system may say so, or nothing comes.
    expect(answer6).toMatchObject({ status: 'rejected', reason: expect.any(TrackerError) });
  });

  it('fails without a packet where the tracker has no such address', async () => {
    const scripted = await server(wellBehaved);
    const tracker = client({}, { lookup: async () => ['127.0.0.1'] });
    await expect(tracker.announce(urlOf(scripted), REQUEST, never, 6)).rejects.toThrow(
      new TrackerError('t.example has no IPv6 address'),
    );
    await expect(tracker.announce(url(scripted), REQUEST, never, 6)).rejects.toThrow('127.0.0.1 has no IPv6 address');
    expect(scripted.packets).toEqual([]);
  });

  // Of 127/8 macOS answers on 127.0.0.1 alone.
  it.skipIf(process.platform === 'darwin')('comes from the local address, which leaves no other family', async () => {
    const froms = new Set<string>();
    const scripted = await server((packet, reply, from) => {
      froms.add(from.address);
      wellBehaved(packet, reply, from);
    });
    const tracker = client({}, { lookup: name, bind: '127.0.0.2' });
    expect(await tracker.announce(urlOf(scripted), REQUEST, never, 4)).toMatchObject({ peers: PEERS });
    expect(await tracker.announce(urlOf(scripted), REQUEST, never)).toMatchObject({ peers: PEERS });
    expect([...froms]).toEqual(['127.0.0.2']);
    await expect(tracker.announce(urlOf(scripted), REQUEST, never, 6)).rejects.toThrow(
      new TrackerError('expected a tracker to be asked over IPv4 from 127.0.0.2, got IPv6'),
    );
  });

  it('fails when it cannot have the local address', async () => {
    const scripted = await server(wellBehaved);
    // Of a block for documentation, so no machine has it.
    const announcing = client({}, { bind: '192.0.2.1' }).announce(url(scripted), REQUEST, never);
    await expect(announcing).rejects.toThrow(/EADDRNOTAVAIL/);
    expect(scripted.packets).toEqual([]);
  });
});

describe('a UDP scrape', () => {
  const hashes = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => new Uint8Array(20).fill(i));
  /** Counts that name the infohash they are of. */
  const counting: UdpScript = (packet, reply, from) => {
    if (actionOf(packet) !== SCRAPE) return wellBehaved(packet, reply, from);
    const asked = packet.subarray(16);
    reply(
      scraped(
        packet,
        Array.from({ length: asked.length / 20 }, (_, i) => [asked[i * 20]!, 7, 0]),
      ),
    );
  };

  it('asks over the connection of the announces', async () => {
    const scripted = await server(counting);
    const tracker = client();
    await tracker.announce(url(scripted), REQUEST, never);
    expect(await tracker.scrape(url(scripted), hashes(3).slice(1), never)).toEqual([
      { seeders: 1, completed: 7, leechers: 0 },
      { seeders: 2, completed: 7, leechers: 0 },
    ]);
    expect(scripted.packets.at(-1)!.readBigUInt64BE(0)).toBe(7n);
    // Announces without a family and scrapes share what answered first.
    expect(actions(scripted)).toEqual([CONNECT, ANNOUNCE, SCRAPE]);
  });

  it('asks for 74 in a packet, and keeps the order', async () => {
    const scripted = await server(counting);
    const found = await client().scrape(url(scripted), hashes(150), never);
    expect(found.map((counts) => counts?.seeders)).toEqual(Array.from({ length: 150 }, (_, i) => i));
    expect(scripted.packets.slice(1).map(({ length }) => (length - 16) / 20)).toEqual([74, 74, 2]);
  });

  it('asks nothing when it is about nothing', async () => {
    const scripted = await server(counting);
    expect(await client().scrape(url(scripted), [], never)).toEqual([]);
    expect(scripted.packets).toEqual([]);
  });

  it('leaves open what a short answer leaves out, and takes no more than it asked for', async () => {
    const answers = [[[1, 2, 3]], [1, 2, 3].map(() => [1, 2, 3])] as [number, number, number][][];
    const scripted = await server((packet, reply, from) => {
      if (actionOf(packet) === SCRAPE) reply(scraped(packet, answers.shift()!));
      else wellBehaved(packet, reply, from);
    });
    const counted = { seeders: 1, completed: 2, leechers: 3 };
    const tracker = client();
    expect(await tracker.scrape(url(scripted), hashes(2), never)).toEqual([counted, undefined]);
    expect(await tracker.scrape(url(scripted), hashes(2), never)).toEqual([counted, counted]);
  });

  it.each([
    ['an error', (packet: Buffer) => refused(packet, 'no'), /^the tracker refused: no$/],
    ['an announce answer', (packet: Buffer) => announced(packet), /^expected a scrape answer, got an announce answer$/],
  ])('fails at once on %s', async (_, wrong, message) => {
    const scripted = await server((packet, reply, from) => {
      if (actionOf(packet) === SCRAPE) reply(wrong(packet));
      else wellBehaved(packet, reply, from);
    });
    await expect(client().scrape(url(scripted), hashes(75), never)).rejects.toThrow(message);
    expect(actions(scripted)).toEqual([CONNECT, SCRAPE]);
  });

  it('connects again when the tracker has forgotten the connection id', async () => {
    let valid = 1n;
    const scripted = await server((packet, reply, from) => {
      if (actionOf(packet) === CONNECT) reply(connected(packet, valid));
      else if (packet.readBigUInt64BE(0) !== valid) reply(refused(packet, 'connection id'));
      else counting(packet, reply, from);
    });
    const tracker = client();
    await tracker.scrape(url(scripted), hashes(1), never);
    valid = 2n;
    await tracker.scrape(url(scripted), hashes(1), never);
    expect(actions(scripted)).toEqual([CONNECT, SCRAPE, SCRAPE, CONNECT, SCRAPE]);
  });

  it('gives up in time and with its signal', async () => {
    const silent = await server(() => {});
    const scrape = (signal: AbortSignal): Promise<unknown> =>
      client({ udpTotalMs: 50 }).scrape(url(silent), hashes(1), signal);
    await expect(scrape(never)).rejects.toThrow(new TrackerError('no answer within 50 ms'));
    await expect(scrape(AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
  });
});

describe('aborting a UDP announce', () => {
  it('rejects with the reason of the signal and leaves nothing waiting', async () => {
    const clock = new VirtualClock();
    const scripted = await server((packet, reply) => {
      if (actionOf(packet) === CONNECT) reply(connected(packet, 7n));
    });
    const silent = await server(() => {});
    const tracker = client({}, { clock });
    for (const target of [scripted, silent]) {
      const controller = new AbortController();
      const announcing = tracker.announce(url(target), REQUEST, controller.signal);
      const failed = expect(announcing).rejects.toThrow('stop');
      await expect.poll(() => actions(target).at(-1)).toBe(target === silent ? CONNECT : ANNOUNCE);
      controller.abort(new Error('stop'));
      await failed;
      await clock.advance(0);
      expect(clock.sleeping).toBe(0);
    }
    await expect(tracker.announce(url(silent), REQUEST, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
    expect(silent.packets).toHaveLength(1);
  });

  it('leaves the connection attempt to the others who wait for it', async () => {
    const held: (() => void)[] = [];
    const scripted = await server((packet, reply, from) => {
      if (actionOf(packet) === CONNECT) held.push(() => wellBehaved(packet, reply, from));
      else wellBehaved(packet, reply, from);
    });
    const tracker = client();
    const controller = new AbortController();
    const first = tracker.announce(url(scripted), REQUEST, controller.signal);
    const second = tracker.announce(url(scripted), REQUEST, never);
    await expect.poll(() => held.length).toBe(1);
    controller.abort(new Error('stop'));
    await expect(first).rejects.toThrow('stop');
    held[0]!();
    expect(await second).toMatchObject({ peers: PEERS });
    expect(actions(scripted)).toEqual([CONNECT, ANNOUNCE]);
  });

  it('happens to all of them when the client closes, and later ones fail', async () => {
    const silent = await server(() => {});
    const clock = new VirtualClock();
    const tracker = client({}, { clock });
    const announcing = tracker.announce(url(silent), REQUEST, never);
    const failed = expect(announcing).rejects.toThrow(new TrackerError('the client was closed'));
    await expect.poll(() => silent.packets.length).toBe(1);
    tracker.close();
    await failed;
    await expect(tracker.announce(url(silent), REQUEST, never)).rejects.toThrow('the client was closed');
    await clock.advance(0);
    expect(clock.sleeping).toBe(0);
  });

  it('and closing leaves no socket behind', async () => {
    const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'UDPWrap').length;
    const scripted = await server(wellBehaved);
    // Those of the tests before are closing.
    await expect.poll(sockets).toBe(1);
    const tracker = client();
    await tracker.announce(url(scripted), REQUEST, never);
    expect(sockets()).toBe(2);
    tracker.close();
    await expect.poll(sockets).toBe(1);
  });
});

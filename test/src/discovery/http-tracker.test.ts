import { setMaxListeners } from 'node:events';
import type http from 'node:http';
import zlib from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { type HttpTrackerDeps, type HttpTrackerOptions, HttpTrackers } from '../../../src/discovery/http-tracker.js';
import { systemLookup } from '../../../src/discovery/lookup.js';
import { DEFAULTS } from '../../../src/options.js';
import type { Family } from '../../../src/protocol/address.js';
import { type AnnounceAnswer, type AnnounceRequest, TrackerError } from '../../../src/protocol/announce.js';
import { itWithIpv6, onBothLoopbacks } from '../../helpers/ipv6.js';
import { type HttpScript, type ScriptedServer, scriptedHttp, scriptedTcp } from '../../helpers/tracker-http.js';
import { REQUEST } from '../../helpers/tracker-request.js';

const GOOD = Buffer.from('d8:intervali60e5:peers6:\x01\x02\x03\x04\x00\x50e', 'latin1');
const PEERS = [{ host: '1.2.3.4', port: 80 }];
const never = new AbortController().signal;
setMaxListeners(0, never);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function server(answer: HttpScript, options?: { secure: boolean }): Promise<ScriptedServer> {
  const scripted = await scriptedHttp(answer, options);
  cleanups.push(scripted.close);
  return scripted;
}

async function tcp(serve: Parameters<typeof scriptedTcp>[0]): Promise<ScriptedServer> {
  const scripted = await scriptedTcp(serve);
  cleanups.push(scripted.close);
  return scripted;
}

function client(options: Partial<HttpTrackerOptions> = {}, deps: Partial<HttpTrackerDeps> = {}): HttpTrackers {
  const trackers = new HttpTrackers(
    { ...DEFAULTS, ...options },
    { userAgent: 'spate/1.2.3', lookup: systemLookup, findPeers: async () => [], ...deps },
  );
  cleanups.push(() => trackers.close());
  return trackers;
}

const announce = (url: string, options?: Partial<HttpTrackerOptions>): Promise<AnnounceAnswer> =>
  client(options).announce(url, REQUEST, never);

describe('an HTTP announce', () => {
  it('sends the announce URL with its headers and gives the answer', async () => {
    let headers: http.IncomingHttpHeaders = {};
    const { origin, targets } = await server((request, response) => {
      headers = request.headers;
      response.end(GOOD);
    });
    const answer = await announce(`${origin}/announce?passkey=1`);
    expect(answer).toMatchObject({ peers: PEERS, names: [], intervalMs: 60_000 });
    expect(targets).toEqual([
      `/announce?passkey=1&info_hash=${'%AB'.repeat(20)}&peer_id=-SP0100-abcdefghijkl&port=6881&uploaded=0&downloaded=0` +
        '&left=1&compact=1&numwant=50&key=00000001',
    ]);
    expect(headers).toMatchObject({ 'user-agent': 'spate/1.2.3', 'accept-encoding': 'gzip, deflate' });
  });

  it.each([
    ['gzip', zlib.gzipSync(GOOD)],
    ['x-gzip', zlib.gzipSync(GOOD)],
    ['GZIP', zlib.gzipSync(GOOD)],
    ['deflate', zlib.deflateSync(GOOD)],
    ['deflate', zlib.deflateRawSync(GOOD)],
    ['identity', GOOD],
  ])('reads an answer with content encoding %s', async (encoding, body) => {
    const { origin } = await server((_, response) => {
      response.setHeader('content-encoding', encoding).end(body);
    });
    expect(await announce(origin)).toMatchObject({ peers: PEERS });
  });

  it('reads a chunked answer that comes byte by byte', async () => {
    const { origin } = await server((_, response) => {
      for (const byte of GOOD) response.write(Buffer.of(byte));
      response.end();
    });
    expect(await announce(origin)).toMatchObject({ peers: PEERS });
  });

  it('has peers looked up that are given by name, unless it tells of an end', async () => {
    const peer = (ip: string): string => `d2:ip${ip.length}:${ip}4:porti80ee`;
    const { origin } = await server((_, response) => {
      response.end(`d5:peersl${peer('a.example')}${peer('1.2.3.4')}ee`);
    });
    const asked: unknown[] = [];
    const findPeers: HttpTrackerDeps['findPeers'] = async (named) => {
      asked.push(named);
      return [{ host: '9.9.9.9', port: 80 }];
    };
    const trackers = client({}, { findPeers });
    const peersAt = async (event: AnnounceRequest['event']): Promise<unknown> =>
      (await trackers.announce(origin, { ...REQUEST, event }, never)).peers;
    expect(await peersAt('started')).toEqual([...PEERS, { host: '9.9.9.9', port: 80 }]);
    expect(await peersAt('completed')).toEqual(PEERS);
    expect(await peersAt('stopped')).toEqual(PEERS);
    expect(asked).toEqual([[{ host: 'a.example', port: 80 }]]);
  });

  it('finds the tracker itself through the look-up it was given', async () => {
    const { port } = await server((_, response) => response.end(GOOD));
    const asked: string[] = [];
    const lookup = async (name: string): Promise<string[]> => {
      asked.push(name);
      return ['127.0.0.1'];
    };
    const answer = await client({}, { lookup }).announce(`http://tracker.example:${port}/a`, REQUEST, never);
    expect(answer).toMatchObject({ peers: PEERS });
    expect(asked).toEqual(['tracker.example']);
  });

  it('keeps its connection for the next announce', async () => {
    const scripted = await server((_, response) => response.end(GOOD));
    const trackers = client();
    await trackers.announce(scripted.origin, REQUEST, never);
    await trackers.announce(scripted.origin, REQUEST, never);
    expect(scripted.targets).toHaveLength(2);
    expect(scripted.connections()).toBe(1);
  });

  it('opens no more connections to a tracker than allowed, and the queue is not charged for waiting', async () => {
    const scripted = await server((_, response) => void setTimeout(() => response.end(GOOD), 250));
    const trackers = client({ trackerConnectionsPerHost: 2, trackerTotalMs: 4_000 });
    // 34 answers of 250 ms over 2 connections take longer than the whole time of one.
    const all = Array.from({ length: 34 }, () => trackers.announce(scripted.origin, REQUEST, never));
    expect(await Promise.all(all)).toHaveLength(34);
    expect(scripted.connections()).toBe(2);
  });

  it('tells when it has a connection: until then it waits for others of ours', async () => {
    const held: http.ServerResponse[] = [];
    const scripted = await server((_, response) => held.push(response));
    const trackers = client({ trackerConnectionsPerHost: 1 });
    const sent: string[] = [];
    const all = ['a', 'b'].map((name) =>
      trackers.announce(scripted.origin, REQUEST, never, undefined, () => sent.push(name)),
    );
    await expect.poll(() => held.length).toBe(1);
    expect(sent).toEqual(['a']);
    held[0]!.end(GOOD);
    await expect.poll(() => held.length).toBe(2);
    expect(sent).toEqual(['a', 'b']);
    held[1]!.end(GOOD);
    await Promise.all(all);
  });

  it('of a torrent that begins does not wait behind those that leave', async () => {
    const held: http.ServerResponse[] = [];
    const scripted = await server((_, response) => held.push(response));
    const trackers = client({ trackerConnectionsPerHost: 1 });
    const say = (event: AnnounceRequest['event']): Promise<unknown> =>
      trackers.announce(scripted.origin, { ...REQUEST, event }, never);
    const all = [say('started'), say('stopped'), say('completed'), say('stopped'), say('started'), say(undefined)];
    for (let answered = 0; answered < all.length; answered++) {
      await expect.poll(() => held.length).toBe(answered + 1);
      held[answered]!.end(GOOD);
    }
    await Promise.all(all);
    const events = scripted.targets.map((target) => /&event=(\w+)/.exec(target)?.[1] ?? 'none');
    expect(events).toEqual(['started', 'started', 'none', 'stopped', 'completed', 'stopped']);
  });

  it('asks again on a new connection when a kept one was just closed', async () => {
    const scripted = await tcp((socket, connection) => {
      let requests = 0;
      socket.on('data', () => {
        // The first connection answers once and dies at the second request.
        if (connection === 0 && requests++ > 0) socket.destroy();
        else
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${GOOD.length}\r\n\r\n${GOOD.toString('latin1')}`, 'latin1');
      });
    });
    const trackers = client();
    await trackers.announce(scripted.origin, REQUEST, never);
    expect(await trackers.announce(scripted.origin, REQUEST, never)).toMatchObject({ peers: PEERS });
    expect(scripted.connections()).toBe(2);
  });

  it('keeps no connection of a tracker that closes each after its answer without a word', async () => {
    const scripted = await tcp((socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${GOOD.length}\r\n\r\n`);
        socket.write(GOOD);
        // As late as can be: with the next request.
        socket.once('data', () => socket.resetAndDestroy());
        socket.once('end', () => socket.end());
      });
    });
    const trackers = client({ trackerConnectionsPerHost: 2 });
    const all = Array.from({ length: 40 }, () => trackers.announce(scripted.origin, REQUEST, never));
    expect(await Promise.all(all)).toHaveLength(40);
    expect(scripted.connections()).toBe(40);
  });
});

describe('an HTTP announce that goes wrong', () => {
  it.each([
    ['garbage', 200, 'xyz', 'expected a bencoded answer, got something else that starts with "xyz"'],
    ['nothing', 200, '', 'expected a bencoded answer, got an empty one'],
    ['HTML', 200, '<html>', 'expected a bencoded answer, got HTML or XML that starts with "<html>"'],
    ['HTML and 404', 404, '<html>', 'the tracker answered 404 Not Found'],
    ['nothing and 500', 500, '', 'the tracker answered 500 Internal Server Error'],
    ['a good answer and 503', 503, GOOD.toString('latin1'), 'the tracker answered 503 Service Unavailable'],
    ['a failure reason', 200, 'd14:failure reason4:gonee', 'the tracker refused: gone'],
    ['a failure reason and 403', 403, 'd14:failure reason4:gonee', 'the tracker refused: gone'],
    ['a redirect to nowhere', 302, '', 'the tracker answered 302 Found'],
  ])('reports %s', async (_, status, body, message) => {
    const { origin } = await server((_request, response) => {
      response.writeHead(status).end(body, 'latin1');
    });
    await expect(announce(origin)).rejects.toThrow(new TrackerError(message));
  });

  it('reads the failure reason of a compressed 400', async () => {
    const { origin } = await server((_, response) => {
      response.writeHead(400, { 'content-encoding': 'gzip' }).end(zlib.gzipSync('d14:failure reason4:gonee'));
    });
    await expect(announce(origin)).rejects.toThrow(new TrackerError('the tracker refused: gone'));
  });

  it.each([
    ['br', GOOD, 'expected content encoding gzip or deflate, got "br"'],
    ['constructor', GOOD, 'expected content encoding gzip or deflate, got "constructor"'],
    ['gzip', GOOD, /^the compressed answer is damaged: /],
    ['gzip', zlib.gzipSync(GOOD).subarray(0, 25), /^the compressed answer is damaged: /],
    ['deflate', zlib.deflateSync(GOOD).subarray(0, 9), /^the compressed answer is damaged: /],
  ])('refuses a body that is no valid %s', async (encoding, body, message) => {
    const { origin } = await server((_, response) => {
      response.setHeader('content-encoding', encoding).end(body);
    });
    await expect(announce(origin)).rejects.toThrow(message);
    await expect(announce(origin)).rejects.toBeInstanceOf(TrackerError);
  });

  it('refuses a gzip bomb without unfolding it', async () => {
    // 1 GiB of zeros in about 1 MiB: members of 16 MiB, one after the other.
    const member = zlib.gzipSync(Buffer.alloc(16 * 1_048_576));
    const bomb = Buffer.concat(Array.from({ length: 64 }, () => member));
    const { origin } = await server((_, response) => {
      response.setHeader('content-encoding', 'gzip').end(bomb);
    });
    const before = process.memoryUsage().arrayBuffers;
    await expect(announce(origin)).rejects.toThrow('expected an answer of at most 2097152 bytes, got more');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1_048_576);
  });

  it('refuses a body that is too long, announced or not, and one that never ends', async () => {
    const long = Buffer.alloc(4096, 0x20);
    const announced = await server((_, response) => {
      response.setHeader('content-length', long.length).end(long);
    });
    const endless = await server((_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(long));
      };
      response.on('drain', more);
      more();
    });
    for (const { origin } of [announced, endless]) {
      await expect(announce(origin, { trackerBodyBytes: 2048 })).rejects.toThrow(
        new TrackerError('expected an answer of at most 2048 bytes, got more'),
      );
    }
  });

  it('refuses an endless row of interim answers, and another protocol', async () => {
    const endless = await tcp((socket) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(1000)));
      };
      socket.once('data', more).on('drain', more);
    });
    await expect(announce(endless.origin)).rejects.toThrow(new TrackerError('expected an answer, got 17 interim ones'));
    const other = await tcp((socket) => {
      socket.once('data', () =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
      );
    });
    await expect(announce(other.origin)).rejects.toThrow(new TrackerError('the tracker answered 101'));
  });

  it('reads an answer after a few interim ones', async () => {
    const { origin } = await server((_, response) => {
      for (let sent = 0; sent < 5; sent++) response.writeProcessing();
      response.end(GOOD);
    });
    expect(await announce(origin)).toMatchObject({ peers: PEERS });
  });

  it('refuses a long body in chunks of a byte, and takes one in chunks of some', async () => {
    const chunked = (chunk: string, count: number): Promise<ScriptedServer> =>
      tcp((socket) => {
        const body = `d5:peers0:1:x${chunk.length * count}:${chunk.repeat(count)}e`;
        const pieces = [body.slice(0, -chunk.length * count - 1), ...new Array<string>(count).fill(chunk), 'e'];
        const frames = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`);
        socket.once('data', () => {
          socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${frames.join('')}0\r\n\r\n`);
        });
      });
    const crumbs = await chunked('x', 100_000);
    await expect(announce(crumbs.origin)).rejects.toThrow(new TrackerError('expected an answer, got crumbs of one'));
    const small = await chunked('x'.repeat(20), 50_000);
    expect(await announce(small.origin)).toMatchObject({ peers: [] });
  });

  it('gives up on a tracker that accepts and stays silent, and on one that never finishes', async () => {
    const silent = await tcp(() => {});
    const slow = await server((_, response) => {
      response.write('d');
    });
    for (const { origin } of [silent, slow]) {
      await expect(announce(origin, { trackerTotalMs: 50 })).rejects.toThrow(
        new TrackerError('no complete answer within 50 ms'),
      );
    }
  });

  it('gives up on a connection that is not ready in time, TLS included', async () => {
    const silent = await tcp(() => {});
    const connecting = announce(`https://127.0.0.1:${silent.port}/`, { trackerConnectMs: 50 });
    await expect(connecting).rejects.toThrow(new TrackerError('not connected within 50 ms'));
    const lookup = (): Promise<string[]> => new Promise(() => {});
    const looking = client({ trackerConnectMs: 50 }, { lookup }).announce('http://t.example/', REQUEST, never);
    await expect(looking).rejects.toThrow(new TrackerError('not connected within 50 ms'));
  });

  it('fails at once for every torrent that queues behind a connection that failed', async () => {
    const silent = await tcp(() => {});
    const trackers = client({ trackerConnectMs: 300, trackerConnectionsPerHost: 1 });
    const start = performance.now();
    const all = Array.from({ length: 50 }, () =>
      trackers.announce(`https://127.0.0.1:${silent.port}/`, REQUEST, never),
    );
    const results = await Promise.allSettled(all);
    expect(results.every(({ status }) => status === 'rejected')).toBe(true);
    // One after the other they would take 15 s.
    expect(performance.now() - start).toBeLessThan(7_000);
  });

  it('says why it cannot connect', async () => {
    const gone = await tcp(() => {});
    await gone.close();
    await expect(announce(gone.origin)).rejects.toThrow(/ECONNREFUSED/);
    const both = client({}, { lookup: async () => ['127.0.0.1', '::1'] });
    await expect(both.announce(`http://t.example:${gone.port}/`, REQUEST, never)).rejects.toThrow(/ECONNREFUSED/);
    const none = client({}, { lookup: async () => [] });
    await expect(none.announce('http://t.example/', REQUEST, never)).rejects.toThrow('t.example has no usable address');
    const lost = client({}, { lookup: () => Promise.reject(new Error('getaddrinfo ENOTFOUND t.example')) });
    await expect(lost.announce('http://t.example/', REQUEST, never)).rejects.toThrow(
      new TrackerError('getaddrinfo ENOTFOUND t.example'),
    );
  });

  it('notices a connection that ends in the middle of the answer or before it', async () => {
    const middle = await tcp((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nd8:'));
    });
    const before = await tcp((socket) => {
      socket.once('data', () => socket.destroy());
    });
    const nonsense = await tcp((socket) => {
      socket.once('data', () => socket.end('BitTorrent? \0\0\r\n\r\n'));
    });
    await expect(announce(middle.origin)).rejects.toThrow('the connection ended before the answer did');
    await expect(announce(before.origin)).rejects.toBeInstanceOf(TrackerError);
    await expect(announce(nonsense.origin)).rejects.toBeInstanceOf(TrackerError);
  });

  it.each(['http://', 'nonsense', 'http://a b/', 'ftp://127.0.0.1/'])('refuses the URL %j', async (url) => {
    await expect(announce(url)).rejects.toThrow(/^expected an http or https URL, got /);
  });
});

describe('HTTPS', () => {
  const secure = { secure: true };

  /** Trusts any certificate until the test ends. */
  function trustAll(): void {
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    cleanups.push(() => {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    });
  }

  it('is spoken, on a connection that is kept', async () => {
    trustAll();
    const scripted = await server((_, response) => response.end(GOOD), secure);
    const trackers = client();
    expect(await trackers.announce(`${scripted.origin}/a`, REQUEST, never)).toMatchObject({ peers: PEERS });
    expect(await trackers.announce(`${scripted.origin}/a`, REQUEST, never)).toMatchObject({ peers: PEERS });
    expect(scripted.connections()).toBe(1);
  });

  it('is where a redirect may lead', async () => {
    trustAll();
    const last = await server((_, response) => response.end(GOOD), secure);
    const first = await server((_, response) => {
      response.writeHead(301, { location: `${last.origin}/a` }).end();
    });
    expect(await announce(first.origin)).toMatchObject({ peers: PEERS });
    expect(last.targets).toHaveLength(1);
  });

  it('needs a certificate that can be trusted', async () => {
    const { origin, targets } = await server((_, response) => response.end(GOOD), secure);
    const refused = { name: 'TrackerError', message: expect.stringMatching(/^self-signed certificate/) };
    await expect(announce(origin)).rejects.toMatchObject(refused);
    expect(targets).toEqual([]);
  });
});

describe('redirects', () => {
  it('are followed, absolute and relative, to the answer', async () => {
    const last = await server((_, response) => response.end(GOOD));
    const first = await server((request, response) => {
      const query = request.url!.slice(request.url!.indexOf('?'));
      const location = request.url!.startsWith('/a') ? `/b${query}` : `${last.origin}/c${query}`;
      response.writeHead(request.url!.startsWith('/a') ? 301 : 307, { location }).end('ignored');
    });
    expect(await announce(`${first.origin}/a`)).toMatchObject({ peers: PEERS });
    expect(first.targets.map((target) => target.split('?')[0])).toEqual(['/a', '/b']);
    expect(last.targets).toEqual([first.targets[0]!.replace('/a', '/c')]);
  });

  it('get our parameters again when the target has none', async () => {
    const scripted = await server((request, response) => {
      if (request.url!.startsWith('/old')) response.writeHead(302, { location: '/new?k=1' }).end();
      else response.end(GOOD);
    });
    await announce(`${scripted.origin}/old`);
    expect(scripted.targets[1]).toBe(scripted.targets[0]!.replace('/old?', '/new?k=1&'));
  });

  it('end after the allowed number', async () => {
    const scripted = await server((request, response) => {
      response.writeHead(302, { location: request.url }).end();
    });
    await expect(announce(scripted.origin, { trackerRedirects: 3 })).rejects.toThrow(
      new TrackerError('expected at most 3 redirects, got one more'),
    );
    expect(scripted.targets).toHaveLength(4);
    await expect(announce(scripted.origin, { trackerRedirects: 0 })).rejects.toThrow('at most 0 redirects');
  });

  it.each(['file:///etc/passwd', 'udp://127.0.0.1:1/', 'javascript:alert(1)', 'http://[::bad'])(
    'to %s are refused',
    async (location) => {
      const { origin } = await server((_, response) => {
        response.writeHead(302, { location }).end();
      });
      await expect(announce(origin)).rejects.toThrow(/^expected an http or https URL, got /);
    },
  );

  it('with an endless body are followed all the same', async () => {
    const scripted = await server((request, response) => {
      if (request.url!.startsWith('/new')) response.end(GOOD);
      else response.writeHead(302, { location: '/new' }).write('x');
    });
    expect(await announce(scripted.origin)).toMatchObject({ peers: PEERS });
  });
});

describe('an HTTP announce over one family', () => {
  const name = async (): Promise<string[]> => ['::1', '127.0.0.1'];

  /** Servers on one port of both loopback addresses; each gives itself as the one peer. */
  async function twins(): Promise<readonly [four: ScriptedServer, six: ScriptedServer]> {
    const pair = await onBothLoopbacks((host, port) => {
      const body = `d5:peersld2:ip${host.length}:${host}4:porti80eeee`;
      return scriptedHttp((_, response) => response.end(body), { host, port });
    });
    for (const { close } of pair) cleanups.push(close);
    return pair;
  }

  itWithIpv6('goes to the address of that family of a name, on a connection of its own', async () => {
    const [four, six] = await twins();
    const trackers = client({}, { lookup: name });
    const over = (family: Family): Promise<AnnounceAnswer> =>
      trackers.announce(`http://t.example:${four.port}/a`, REQUEST, never, family);
    expect(await over(4)).toMatchObject({ peers: [{ host: '127.0.0.1', port: 80 }] });
    expect(await over(6)).toMatchObject({ peers: [{ host: '::1', port: 80 }] });
    await Promise.all([over(4), over(6)]);
    expect([four.targets.length, six.targets.length]).toEqual([2, 2]);
    expect([four.connections(), six.connections()]).toEqual([1, 1]);
    // BEP 7 discourages telling the other address.
    expect([...four.targets, ...six.targets].filter((target) => /[?&]ipv?[46]?=/.test(target))).toEqual([]);
  });

  itWithIpv6('goes to an IPv6 literal', async () => {
    const [four, six] = await twins();
    expect(await client().announce(`${six.origin}/a`, REQUEST, never, 6)).toMatchObject({
      peers: [{ host: '::1', port: 80 }],
    });
    expect(four.targets).toEqual([]);
  });

  itWithIpv6('fails for the family whose server is gone, and not for the other', async () => {
    const [four, six] = await twins();
    await six.close();
    const trackers = client({}, { lookup: name });
    const url = `http://t.example:${four.port}/a`;
    await expect(trackers.announce(url, REQUEST, never, 6)).rejects.toThrow(/ECONNREFUSED ::1/);
    expect(await trackers.announce(url, REQUEST, never, 4)).toMatchObject({ peers: [{ host: '127.0.0.1', port: 80 }] });
  });

  it('fails without a connection where the tracker has no such address', async () => {
    const scripted = await server((_, response) => response.end(GOOD));
    const trackers = client({}, { lookup: async () => ['127.0.0.1'] });
    const over6 = (url: string): Promise<unknown> => trackers.announce(url, REQUEST, never, 6);
    await expect(over6(scripted.origin)).rejects.toThrow(new TrackerError('127.0.0.1 has no IPv6 address'));
    await expect(over6(`http://t.example:${scripted.port}/`)).rejects.toThrow('t.example has no IPv6 address');
    await expect(trackers.announce('http://[::1]:1/', REQUEST, never, 4)).rejects.toThrow('[::1] has no IPv4 address');
    expect(scripted.connections()).toBe(0);
  });

  it('does not follow a redirect to the other', async () => {
    const { origin } = await server((_, response) => {
      response.writeHead(302, { location: 'http://[::1]:1/a' }).end();
    });
    await expect(client().announce(origin, REQUEST, never, 4)).rejects.toThrow('[::1] has no IPv4 address');
  });

  // Of 127/8 macOS answers on 127.0.0.1 alone.
  it.skipIf(process.platform === 'darwin')('comes from the local address, which leaves no other family', async () => {
    const froms: (string | undefined)[] = [];
    const four = await server((request, response) => {
      froms.push(request.socket.remoteAddress);
      response.end(GOOD);
    });
    const trackers = client({}, { lookup: name, bind: '127.0.0.2' });
    const url = `http://t.example:${four.port}/`;
    expect(await trackers.announce(url, REQUEST, never, 4)).toMatchObject({ peers: PEERS });
    expect(await trackers.announce(url, REQUEST, never)).toMatchObject({ peers: PEERS });
    expect(froms).toEqual(['127.0.0.2', '127.0.0.2']);
    await expect(trackers.announce(url, REQUEST, never, 6)).rejects.toThrow(
      new TrackerError('expected a tracker to be asked over IPv4 from 127.0.0.2, got IPv6'),
    );
  });
});

describe('an HTTP scrape', () => {
  const COUNTED = { seeders: 1, completed: 3, leechers: 2 };
  const hashes = (count: number): Uint8Array[] =>
    Array.from({ length: count }, (_, i) =>
      new Uint8Array(20)
        .fill(0x41)
        .fill(0x41 + (i % 26), 19)
        .fill(i / 26, 18, 19),
    );

  /** An entry of `files` for each infohash in a request's query: 1 seeder, 3 completed, 2 leechers. */
  const filesFor = (target: string): Buffer => {
    const keys = [...target.matchAll(/info_hash=([^&]*)/g)].map(([, escaped]) => unescape(escaped!));
    const entries = keys.sort().map((key) => `20:${key}d8:completei1e10:downloadedi3e10:incompletei2ee`);
    return Buffer.from(`d5:filesd${entries.join('')}ee`, 'latin1');
  };

  it('asks the scrape page, with the query of the tracker first', async () => {
    const scripted = await server((request, response) => response.end(filesFor(request.url!)));
    const found = await client().scrape(`${scripted.origin}/x/announce.php?k=1`, hashes(2), never);
    expect(found).toEqual([COUNTED, COUNTED]);
    const [a, b] = ['A', 'B'].map((last) => `info_hash=${'A'.repeat(18)}%00${last}`);
    expect(scripted.targets).toEqual([`/x/scrape.php?k=1&${a}&${b}`]);
  });

  it('asks for 74 at once, and keeps the order', async () => {
    const scripted = await server((request, response) => response.end(filesFor(request.url!)));
    const found = await client().scrape(`${scripted.origin}/announce`, hashes(150), never);
    expect(found).toEqual(Array.from({ length: 150 }, () => COUNTED));
    expect(scripted.targets.map((target) => target.split('info_hash=').length - 1)).toEqual([74, 74, 2]);
    expect(scripted.connections()).toBe(1);
  });

  it('asks nothing when it is about nothing', async () => {
    const scripted = await server((_, response) => response.end());
    expect(await client().scrape(`${scripted.origin}/announce`, [], never)).toEqual([]);
    expect(scripted.targets).toEqual([]);
  });

  it('repeats the infohashes, not the path rule, when it is redirected', async () => {
    const scripted = await server((request, response) => {
      if (request.url!.startsWith('/scrape')) response.writeHead(302, { location: '/counts' }).end();
      else response.end(filesFor(request.url!));
    });
    expect(await client().scrape(`${scripted.origin}/announce`, hashes(1), never)).toEqual([COUNTED]);
    expect(scripted.targets[1]).toBe(scripted.targets[0]!.replace('/scrape', '/counts'));
  });

  it('says why it cannot be had', async () => {
    const refusing = await server((_, response) => response.end('d14:failure reason2:noe'));
    const silent = await tcp(() => {});
    const scrape = (url: string, options?: Partial<HttpTrackerOptions>): Promise<unknown> =>
      client(options).scrape(url, hashes(1), never);
    await expect(scrape(`${refusing.origin}/announce`)).rejects.toThrow(new TrackerError('the tracker refused: no'));
    await expect(scrape(`${refusing.origin}/a`)).rejects.toThrow(
      new TrackerError(`expected "announce" in the path of a tracker to scrape, got "${refusing.origin}/a"`),
    );
    await expect(scrape(`${silent.origin}/announce`, { trackerTotalMs: 50 })).rejects.toThrow('no complete answer');
    expect(refusing.targets).toHaveLength(1);
  });

  it('ends with its signal, between requests as well', async () => {
    const controller = new AbortController();
    const scripted = await server((request, response) => {
      controller.abort(new Error('stop'));
      response.end(filesFor(request.url!));
    });
    await expect(client().scrape(`${scripted.origin}/announce`, hashes(75), controller.signal)).rejects.toThrow('stop');
    expect(scripted.targets).toHaveLength(1);
  });
});

describe('aborting an HTTP announce', () => {
  it('rejects with the reason of the signal, whatever is under way', async () => {
    const silent = await tcp(() => {});
    const slow = await server((_, response) => {
      response.write('d');
    });
    const urls = [`https://127.0.0.1:${silent.port}/`, silent.origin, slow.origin];
    for (const url of urls) {
      const controller = new AbortController();
      const announcing = client().announce(url, REQUEST, controller.signal);
      setTimeout(() => controller.abort(new Error('stop')), 20);
      await expect(announcing).rejects.toThrow('stop');
    }
  });

  it('before it starts connects to nobody', async () => {
    const scripted = await server((_, response) => response.end(GOOD));
    await expect(client().announce(scripted.origin, REQUEST, AbortSignal.abort(new Error('stop')))).rejects.toThrow(
      'stop',
    );
    expect(scripted.connections()).toBe(0);
  });

  it('while it queues for a connection leaves the queue to the others', async () => {
    const held: http.ServerResponse[] = [];
    const scripted = await server((_, response) => {
      held.push(response);
      if (held.length > 1) response.end(GOOD);
    });
    const trackers = client({ trackerConnectionsPerHost: 1 });
    const controller = new AbortController();
    const first = trackers.announce(scripted.origin, REQUEST, never);
    const second = trackers.announce(scripted.origin, REQUEST, controller.signal);
    const third = trackers.announce(scripted.origin, REQUEST, never);
    controller.abort(new Error('stop'));
    await expect(second).rejects.toThrow('stop');
    await expect.poll(() => held.length).toBe(1);
    held[0]!.end(GOOD);
    expect(await first).toMatchObject({ peers: PEERS });
    expect(await third).toMatchObject({ peers: PEERS });
    expect(scripted.targets).toHaveLength(2);
  });

  it('happens to all of them when the client closes, queueing or not, and later ones fail', async () => {
    const silent = await tcp(() => {});
    const trackers = client({ trackerConnectionsPerHost: 1 });
    const all = [1, 2, 3].map(() => trackers.announce(silent.origin, REQUEST, never));
    const results = Promise.allSettled(all);
    await expect.poll(() => silent.connections()).toBe(1);
    trackers.close();
    const closed = new TrackerError('the client was closed');
    for (const result of await results) expect(result).toMatchObject({ reason: closed });
    await expect(trackers.announce(silent.origin, REQUEST, never)).rejects.toThrow(closed);
    expect(silent.connections()).toBe(1);
  });
});

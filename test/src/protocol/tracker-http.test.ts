import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AnnounceRequest, MAX_PEERS, TrackerError } from '../../../src/protocol/announce.js';
import {
  announceUrl,
  escapeBytes,
  failureIn,
  httpAnswer,
  httpFailure,
  httpScrapeAnswer,
  MAX_NAMES,
  parseAnnounceQuery,
  parseHttpAnswer,
  parseHttpScrape,
  parseScrapeQuery,
  scrapePage,
  scrapeUrl,
} from '../../../src/protocol/tracker-http.js';

/** One byte per character. */
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

const REQUEST: AnnounceRequest = {
  infohash: Uint8Array.of(
    0,
    1,
    0x12,
    0x20,
    0x2b,
    0x25,
    0x26,
    0x3d,
    0x41,
    0x5a,
    0x61,
    0x7a,
    0x30,
    0x7e,
    0x2d,
    0x2e,
    0x5f,
    0x80,
    0xf1,
    0xff,
  ),
  peerId: bytes('-SP0100-abcdefghijkl'),
  port: 6881,
  uploaded: 1,
  downloaded: 2,
  left: 2 ** 40,
  numwant: 200,
  key: 0xbeef,
};

const INFOHASH = '%00%01%12%20%2B%25%26%3DAZaz0~-._%80%F1%FF';
const QUERY = `info_hash=${INFOHASH}&peer_id=-SP0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=1099511627776&compact=1&numwant=200&key=0000BEEF`;

describe('announceUrl', () => {
  it('escapes the raw bytes and always sends the same parameters', () => {
    expect(announceUrl('http://t.example/announce', REQUEST)).toBe(`http://t.example/announce?${QUERY}`);
  });

  it.each([
    ['http://t.example/a?passkey=x%2Fy', `http://t.example/a?passkey=x%2Fy&${QUERY}`],
    ['http://t.example/a?passkey=x&', `http://t.example/a?passkey=x&${QUERY}`],
    ['http://t.example/a?', `http://t.example/a?${QUERY}`],
    ['http://t.example/a#top', `http://t.example/a?${QUERY}`],
    ['http://t.example/a?k=1#top?b', `http://t.example/a?k=1&${QUERY}`],
    ['https://u:p@[::1]:8080', `https://u:p@[::1]:8080?${QUERY}`],
  ])('keeps what belongs to the tracker in %s', (tracker, url) => expect(announceUrl(tracker, REQUEST)).toBe(url));

  it('adds the event and the tracker id when there are any', () => {
    expect(announceUrl('http://t/a', { ...REQUEST, event: 'started', trackerId: bytes('a b&\xff') })).toBe(
      `http://t/a?${QUERY}&event=started&trackerid=a%20b%26%FF`,
    );
  });

  it('survives the URL parser untouched', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (infohash) => {
        const url = announceUrl('http://t.example/announce', { ...REQUEST, infohash });
        expect(new URL(url).href).toBe(url);
        expect(parseAnnounceQuery(new URL(url).search.slice(1)).request.infohash).toEqual(infohash);
      }),
    );
  });
});

describe('parseHttpAnswer', () => {
  it('reads everything a good answer has', () => {
    const body = bytes(
      'd8:completei5e10:incompletei7e8:intervali1800e12:min intervali60e' +
        '5:peers12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x506:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50' +
        '10:tracker id3:a\xffb15:warning message4:slowe',
    );
    expect(parseHttpAnswer(body)).toEqual({
      peers: [
        { host: '1.2.3.4', port: 6881 },
        { host: '5.6.7.8', port: 80 },
        { host: '2001:db8::1', port: 80 },
      ],
      names: [],
      intervalMs: 1_800_000,
      minIntervalMs: 60_000,
      trackerId: Uint8Array.of(0x61, 0xff, 0x62),
      seeders: 5,
      leechers: 7,
      warning: 'slow',
    });
  });

  it('reads dictionaries of peers: both families, names, and nothing that cannot be dialled', () => {
    const peer = (ip: string, port: string): string => `d2:ip${ip.length}:${ip}7:peer id3:abc4:port${port}e`;
    const body = bytes(
      `d5:peersl${[
        peer('1.2.3.4', 'i80e'),
        peer('::FFFF:1.2.3.5', 'i80e'),
        peer('2001:DB8::1', 'i81e'),
        peer('Seed.Example', 'i82e'),
        peer('1.2.3.4', 'i0e'),
        peer('1.2.3.4', 'i65536e'),
        peer('1.2.3.4', '2:80'),
        peer('not a host', 'i80e'),
        peer('1.2.3.256', 'i80e'),
        'd2:ip7:1.2.3.4e',
        'd4:porti80ee',
        'i1e',
        '3:abc',
      ].join('')}ee`,
    );
    const { peers, names } = parseHttpAnswer(body);
    expect(peers).toEqual([
      { host: '1.2.3.4', port: 80 },
      { host: '1.2.3.5', port: 80 },
      { host: '2001:db8::1', port: 81 },
    ]);
    expect(names).toEqual([{ host: 'seed.example', port: 82 }]);
  });

  it.each([
    ['no peers at all', 'd8:intervali9ee', []],
    ['only peers6', `d6:peers618:${'\0'.repeat(15)}\x01\x00\x50e`, [{ host: '::1', port: 80 }]],
    [
      'a length that is no multiple of 6',
      'd5:peers8:\x01\x02\x03\x04\x00\x50\x09\x09e',
      [{ host: '1.2.3.4', port: 80 }],
    ],
    ['a length that is no multiple of 18', 'd6:peers617:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0e', []],
    ['port 0', 'd5:peers12:\x01\x02\x03\x04\x00\x00\x01\x02\x03\x04\x00\x50e', [{ host: '1.2.3.4', port: 80 }]],
    ['trailing bytes', 'd5:peers6:\x01\x02\x03\x04\x00\x50e\r\n<!-- 3 ms -->', [{ host: '1.2.3.4', port: 80 }]],
    ['peers of a wrong type', 'd5:peersi1e6:peers6dee', []],
    ['unsorted keys', 'd5:peers6:\x01\x02\x03\x04\x00\x508:intervali9ee', [{ host: '1.2.3.4', port: 80 }]],
  ])('accepts %s', (_, body, peers) => expect(parseHttpAnswer(bytes(body)).peers).toEqual(peers));

  it('ignores numbers that are negative or no numbers', () => {
    const body =
      'd8:completei-1e10:incomplete1:78:interval4:180012:min intervali-5e10:tracker idi1e15:warning messagei1ee';
    expect(parseHttpAnswer(bytes(body))).toEqual({ peers: [], names: [] });
  });

  it('gives a bounded number of peers and names, and no endless tracker id', () => {
    const dicts = (ip: string): string => `d2:ip${ip.length}:${ip}4:porti1ee`.repeat(MAX_PEERS + 1);
    expect(parseHttpAnswer(bytes(`d5:peersl${dicts('1.2.3.4')}ee`)).peers).toHaveLength(MAX_PEERS);
    expect(parseHttpAnswer(bytes(`d5:peersl${dicts('a.example')}ee`)).names).toHaveLength(MAX_NAMES);
    const compact = '\x01'.repeat((MAX_PEERS + 1) * 6);
    expect(parseHttpAnswer(bytes(`d5:peers${compact.length}:${compact}e`)).peers).toHaveLength(MAX_PEERS);
    expect(parseHttpAnswer(bytes(`d10:tracker id513:${'x'.repeat(513)}e`)).trackerId).toBeUndefined();
  });

  it.each([
    ['d14:failure reason12:unregisterede', 'the tracker refused: unregistered'],
    ['d14:failure reason12:unregistered8:intervali60e5:peers0:e', 'the tracker refused: unregistered'],
    ['d14:failure reason0:e', 'the tracker refused: no reason given'],
    ['d14:failure reasoni1ee', 'the tracker refused: no reason given'],
    ['d14:failure reason8:a\x1b[2J\n\tbe', 'the tracker refused: a [2J b'],
  ])('throws the failure reason of %j', (body, message) => {
    expect(() => parseHttpAnswer(bytes(body))).toThrow(new TrackerError(message));
    expect(failureIn(bytes(body))).toBe(message);
  });

  it.each([
    ['', 'expected a bencoded answer, got an empty one'],
    [
      '<!DOCTYPE html>\n<html><body>Not found</body></html>',
      'expected a bencoded answer, got HTML or XML that starts with "<!DOCTYPE html> <html><body>Not found</b"',
    ],
    ['le', 'expected a bencoded answer, got something else that starts with "le"'],
    ['\0\x1b]0;', 'expected a bencoded answer, got something else that starts with "]0;"'],
    ['d5:peers12:\x01\x02\x03e', 'the answer is damaged: '],
    ['d', 'the answer is damaged: '],
    [`d1:a${'l'.repeat(50)}${'e'.repeat(51)}`, 'the answer is damaged: '],
    [`d1:al${'i0e'.repeat(100_001)}ee`, 'the answer is damaged: '],
  ])('refuses %j', (body, message) => {
    expect(() => parseHttpAnswer(bytes(body))).toThrow(TrackerError);
    expect(() => parseHttpAnswer(bytes(body))).toThrow(message);
    expect(failureIn(bytes(body))).toBeUndefined();
  });

  it.each(['9007199254740992', '-18446744073709551616', '9'.repeat(400)])('takes %s for no number', (huge) => {
    const answer = parseHttpAnswer(bytes(`d8:completei${huge}e8:intervali${huge}e5:peers6:\x01\x02\x03\x04\x00\x50e`));
    expect(answer).toMatchObject({ peers: [{ host: '1.2.3.4', port: 80 }] });
    expect([answer.intervalMs, answer.seeders]).toEqual([undefined, undefined]);
  });

  it('throws nothing but a TrackerError, whatever the bytes', () => {
    const tokens = fc.constantFrom(
      'd',
      'l',
      'e',
      'i1e',
      'i-7e',
      '2:ip',
      '4:port',
      '5:peers',
      '6:peers6',
      '7:1.2.3.4',
      '6:abcdef',
      '8:interval',
      '14:failure reason',
      '10:tracker id',
      '0:',
      '\xff',
    );
    const answers = fc.array(tokens, { maxLength: 20 }).map((parts) => bytes(`d${parts.join('')}e`));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), answers), (body) => {
        try {
          const { peers, names } = parseHttpAnswer(body);
          for (const { port } of [...peers, ...names]) expect(port > 0 && port < 65_536).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(TrackerError);
        }
        failureIn(body);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('scraping', () => {
  it.each([
    ['http://t.example/announce', 'http://t.example/scrape'],
    ['http://t.example/x/announce', 'http://t.example/x/scrape'],
    ['http://t.example/announce.php', 'http://t.example/scrape.php'],
    ['http://t.example/announce?x2%0644', 'http://t.example/scrape?x2%0644'],
    ['http://t.example/announce.php?passkey=announce', 'http://t.example/scrape.php?passkey=announce'],
    ['https://announce.example:8080/announce#announce', 'https://announce.example:8080/scrape'],
    ['http://[::1]:80/announce/a/announce', 'http://[::1]:80/announce/a/scrape'],
    ['HTTP://t.example/0123abcd/announce', 'HTTP://t.example/0123abcd/scrape'],
  ])('%s is done at %s', (tracker, page) => expect(scrapePage(tracker)).toBe(page));

  it.each([
    'http://t.example/a',
    'http://t.example/',
    'http://t.example',
    'http://announce.example/a',
    'http://t.example/a?announce',
    'http://t.example/a#announce',
    'announce',
    'http:announce',
    '',
  ])('is not possible at %j', (tracker) => expect(scrapePage(tracker)).toBeUndefined());

  it('repeats the one parameter for each infohash, but no infohash', () => {
    const other = new Uint8Array(20).fill(0x61);
    const [first, second] = [`info_hash=${INFOHASH}`, `info_hash=${'a'.repeat(20)}`];
    const twice = [REQUEST.infohash, other, REQUEST.infohash, Uint8Array.from(other)];
    expect(scrapeUrl('http://t/scrape', twice)).toBe(`http://t/scrape?${first}&${second}`);
    expect(scrapeUrl('http://t/scrape?k=1', [other])).toBe(`http://t/scrape?k=1&${second}`);
    expect(parseScrapeQuery(`k=1&${first}&${second}`)).toEqual([REQUEST.infohash, other]);
  });

  const x = bytes('x'.repeat(20));
  const y = bytes('y'.repeat(20));
  const raw = Uint8Array.from({ length: 20 }, (_, i) => 0xff - i);
  const marked = bytes(`\xef\xbb\xbf${'z'.repeat(17)}`);

  it("reads BEP 48's example in the order asked for", () => {
    const body = bytes(
      `d5:filesd20:${'x'.repeat(20)}d8:completei11e10:downloadedi13772e10:incompletei19ee` +
        `20:${'y'.repeat(20)}d8:completei21e10:downloadedi206e10:incompletei20eeee`,
    );
    expect(parseHttpScrape(body, [y, x])).toEqual([
      { seeders: 21, completed: 206, leechers: 20 },
      { seeders: 11, completed: 13_772, leechers: 19 },
    ]);
  });

  it('leaves open what is not counted or is nonsense', () => {
    const entry = (key: Uint8Array, value: string): string => `20:${Buffer.from(key).toString('latin1')}${value}`;
    const body = (value: string): Uint8Array => bytes(`d5:filesd${entry(x, value)}ee`);
    expect(parseHttpScrape(body('d8:completei1e10:incompletei2ee'), [y, x])).toEqual([
      undefined,
      { seeders: 1, completed: undefined, leechers: 2 },
    ]);
    for (const value of ['de', 'le', 'i1e', 'd8:completei1ee', 'd8:completei-1e10:incompletei2ee']) {
      expect(parseHttpScrape(body(value), [x])).toEqual([undefined]);
    }
  });

  it('finds any infohash, whatever its bytes spell', () => {
    const counts = { seeders: 1, completed: 2, leechers: 3 };
    const all = [x, raw, marked, new Uint8Array(20), REQUEST.infohash];
    const body = httpScrapeAnswer(all.map((infohash) => [infohash, counts]));
    expect(parseHttpScrape(body, all)).toEqual(all.map(() => counts));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (infohash) => {
        expect(parseHttpScrape(httpScrapeAnswer([[infohash, counts]]), [infohash])).toEqual([counts]);
      }),
    );
  });

  it('is answered with sorted keys, each once', () => {
    const counts = { seeders: 1, completed: 2, leechers: 3 };
    const text = 'd8:completei1e10:downloadedi2e10:incompletei3ee';
    const answer = httpScrapeAnswer([
      [raw, counts],
      [y, { ...counts, completed: undefined }],
      [x, counts],
      [raw, counts],
    ]);
    const rawText = Buffer.from(raw).toString('latin1');
    expect(answer).toEqual(
      bytes(
        `d5:filesd20:${'x'.repeat(20)}${text}20:${'y'.repeat(20)}d8:completei1e10:incompletei3ee20:${rawText}${text}ee`,
      ),
    );
    expect(httpScrapeAnswer([])).toEqual(bytes('d5:filesdee'));
  });

  it.each([
    ['d14:failure reason2:noe', 'the tracker refused: no'],
    ['de', 'expected a scrape answer with files, got one without'],
    ['d5:filesi1ee', 'expected a scrape answer with files, got one without'],
    ['d5:filesd20:xx', 'the answer is damaged: '],
    ['<html>', 'expected a bencoded answer, got HTML or XML that starts with "<html>"'],
    ['', 'expected a bencoded answer, got an empty one'],
  ])('refuses %j', (body, message) => {
    expect(() => parseHttpScrape(bytes(body), [x])).toThrow(message);
    expect(() => parseHttpScrape(bytes(body), [x])).toThrow(TrackerError);
  });

  it.each([
    ['', 'expected 20 bytes of info_hash, got none'],
    ['k=1', 'expected 20 bytes of info_hash, got none'],
    ['info_hash=abc', 'expected 20 bytes of info_hash, got 3'],
    [`info_hash=${INFOHASH}&info_hash=`, 'expected 20 bytes of info_hash, got 0'],
  ])('is refused by a tracker with %j', (query, message) => {
    expect(() => parseScrapeQuery(query)).toThrow(new TrackerError(message));
  });
});

describe('the tracker side', () => {
  it('reads the query a client wrote', () => {
    const request = { ...REQUEST, event: 'stopped' as const, trackerId: bytes('a b&\xff') };
    const url = announceUrl('http://t/a?passkey=1', request);
    expect(parseAnnounceQuery(url.slice(url.indexOf('?') + 1))).toEqual({ request, compact: true });
  });

  it('fills in what a spare client leaves out', () => {
    const { request, compact } = parseAnnounceQuery(
      `info_hash=${INFOHASH}&peer_id=${'x'.repeat(20)}&port=1&compact=0&event=&key=zz`,
    );
    expect(compact).toBe(false);
    expect(request).toMatchObject({ port: 1, left: 1, numwant: 50, uploaded: 0, key: 0, event: undefined });
  });

  it.each([
    ['', 'expected port to be 1 to 65535, got 0'],
    ['port=1', 'expected 20 bytes of info_hash, got none'],
    ['port=1&info_hash=abc', 'expected 20 bytes of info_hash, got 3'],
    [`port=1&info_hash=${INFOHASH}`, 'expected 20 bytes of peer_id, got none'],
    [`port=1&info_hash=${INFOHASH}&peer_id=${'x'.repeat(20)}&left=-1`, 'expected left to be a whole number, got "-1"'],
    ['port=99999', 'expected port to be 1 to 65535, got 99999'],
    ['port=99999999999999999999', 'expected port to be a whole number'],
  ])('refuses %j', (query, message) => expect(() => parseAnnounceQuery(query)).toThrow(message));

  it('throws nothing but a TrackerError, whatever the query', () => {
    const parts = fc.constantFrom(
      'info_hash=',
      'peer_id=',
      'port=',
      '&',
      '=',
      '%',
      '%zz',
      '%4',
      'x'.repeat(20),
      INFOHASH,
      '80',
      'left=',
      'key=',
    );
    const queries = fc.oneof(
      fc.string(),
      fc.array(parts).map((list) => list.join('')),
    );
    fc.assert(
      fc.property(queries, (query) => {
        try {
          expect(parseAnnounceQuery(query).request.infohash).toHaveLength(20);
        } catch (error) {
          expect(error).toBeInstanceOf(TrackerError);
        }
      }),
    );
  });

  it('writes compact peers by family, or dictionaries', () => {
    const answer = {
      interval: 60,
      seeders: 1,
      leechers: 2,
      peers: [
        { host: '1.2.3.4', port: 80 },
        { host: '::1', port: 80 },
      ],
    };
    const counts = 'd8:completei1e10:incompletei2e8:intervali60e';
    expect(httpAnswer(answer, true)).toEqual(
      bytes(`${counts}5:peers6:\x01\x02\x03\x04\x00\x506:peers618:${'\0'.repeat(15)}\x01\x00\x50e`),
    );
    expect(httpAnswer(answer, false)).toEqual(
      bytes(`${counts}5:peersld2:ip7:1.2.3.44:porti80eed2:ip3:::14:porti80eeee`),
    );
    expect(httpAnswer({ ...answer, peers: [] }, true)).toEqual(bytes(`${counts}5:peers0:e`));
    expect(httpFailure('no')).toEqual(bytes('d14:failure reason2:noe'));
  });
});

describe('escapeBytes', () => {
  it('leaves exactly the unreserved characters alone', () => {
    const all = escapeBytes(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    expect(all.replaceAll(/%[0-9A-F]{2}/g, '')).toBe(
      '-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~',
    );
    expect(all.match(/%/g)).toHaveLength(256 - 66);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AnnounceRequest, MAX_PEERS, TrackerError } from '../../../src/protocol/announce.js';
import {
  announceAnswer,
  announceRequest,
  connectAnswer,
  connectRequest,
  errorAnswer,
  parseUdpAnswer,
  parseUdpRequest,
  scrapeAnswer,
  scrapeRequest,
} from '../../../src/protocol/tracker-udp.js';

/** Bytes from hexadecimal text; spaces are for the reader. */
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

const INFOHASH = '00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff 01 02 03 04';
const PEER_ID = '2d 53 50 30 31 30 30 2d 61 62 63 64 65 66 67 68 69 6a 6b 6c';

const REQUEST: AnnounceRequest = {
  infohash: hex(INFOHASH),
  peerId: ascii('-SP0100-abcdefghijkl'),
  port: 0x1ae1,
  uploaded: 3,
  downloaded: 0x1_0000_0002,
  left: 16_384,
  numwant: 200,
  key: 0xdeadbeef,
  event: 'started',
};

/** BEP 15's announce request for `REQUEST`, with the event's number left open. */
const announceBytes = (event: string): string => `
  0102030405060708 00000001 0badcafe ${INFOHASH} ${PEER_ID}
  0000000100000002 0000000000004000 0000000000000003
  ${event} 00000000 deadbeef 000000c8 1ae1`;

describe('connect', () => {
  it('asks with the protocol id, action 0 and the transaction id', () => {
    expect(connectRequest(0x0badcafe)).toEqual(hex('00000417 27101980 00000000 0badcafe'));
  });

  it('reads the answer', () => {
    expect(parseUdpAnswer(hex('00000000 0badcafe fedcba9876543210'), 4)).toEqual({
      action: 'connect',
      transactionId: 0x0badcafe,
      connectionId: 0xfedcba9876543210n,
    });
  });

  it('is answered with the transaction id and the connection id', () => {
    expect(parseUdpRequest(hex('00000417 27101980 00000000 fadcafe0'))).toEqual({
      action: 'connect',
      transactionId: 0xfadcafe0,
    });
    expect(connectAnswer(0xfadcafe0, 1n)).toEqual(hex('00000000 fadcafe0 0000000000000001'));
  });
});

describe('announce requests', () => {
  it.each([
    [undefined, '00000000'],
    ['completed' as const, '00000001'],
    ['started' as const, '00000002'],
    ['stopped' as const, '00000003'],
  ])('are written and read with event %s', (event, number) => {
    const bytes = hex(announceBytes(number));
    expect(bytes).toHaveLength(98);
    expect(announceRequest(0x0102030405060708n, 0x0badcafe, { ...REQUEST, event })).toEqual(bytes);
    expect(parseUdpRequest(bytes)).toEqual({
      action: 'announce',
      transactionId: 0x0badcafe,
      connectionId: 0x0102030405060708n,
      request: { ...REQUEST, event },
      urlData: '',
    });
  });

  it('carry the path and query of the URL as BEP 41 options', () => {
    const bytes = announceRequest(0x0102030405060708n, 0x0badcafe, REQUEST, '/a?x=1');
    expect(bytes).toEqual(hex(`${announceBytes('00000002')} 02 06 2f 61 3f 78 3d 31`));
    expect(parseUdpRequest(bytes)).toMatchObject({ urlData: '/a?x=1' });
  });

  it('cut URL data longer than 255 bytes into several options', () => {
    const urlData = `/${'k'.repeat(299)}`;
    const bytes = announceRequest(1n, 1, REQUEST, urlData);
    expect(bytes).toHaveLength(98 + 2 + 255 + 2 + 45);
    expect([...bytes.subarray(98, 101)]).toEqual([2, 255, 0x2f]);
    expect([...bytes.subarray(98 + 257, 98 + 260)]).toEqual([2, 45, 0x6b]);
    expect(parseUdpRequest(bytes)).toMatchObject({ urlData });
  });

  it('are read past no-ops and unknown options, up to the end marker or the end', () => {
    const options = (text: string): unknown => parseUdpRequest(hex(`${announceBytes('00000002')} ${text}`));
    expect(options('01 01 09 02 ffff 02 01 2f 02 01 61 00 02 01 62')).toMatchObject({ urlData: '/a' });
    expect(options('02 05 2f 61')).toMatchObject({ urlData: '/a' });
    expect(options('02')).toMatchObject({ urlData: '' });
  });

  it('are ignored when short, with an unknown action, event or protocol id', () => {
    const bytes = hex(announceBytes('00000002'));
    for (let length = 0; length < bytes.length; length++) {
      expect(parseUdpRequest(bytes.subarray(0, length))).toBeUndefined();
    }
    expect(parseUdpRequest(hex(announceBytes('00000004')))).toBeUndefined();
    expect(parseUdpRequest(hex('0102030405060708 00000003 0badcafe'))).toBeUndefined();
    expect(parseUdpRequest(hex('0102030405060708 00000000 0badcafe'))).toBeUndefined();
  });
});

describe('announce answers', () => {
  const head = '00000001 0badcafe 00000708 00000002 00000003';
  const answer = {
    names: [],
    intervalMs: 1_800_000,
    minIntervalMs: undefined,
    trackerId: undefined,
    seeders: 3,
    leechers: 2,
    warning: undefined,
  };

  it('hold 6 bytes a peer from an IPv4 tracker', () => {
    expect(parseUdpAnswer(hex(`${head} 01020304 1ae1 05060708 0050`), 4)).toEqual({
      action: 'announce',
      transactionId: 0x0badcafe,
      answer: {
        ...answer,
        peers: [
          { host: '1.2.3.4', port: 6881 },
          { host: '5.6.7.8', port: 80 },
        ],
      },
    });
  });

  it('hold 18 bytes a peer from an IPv6 tracker', () => {
    expect(parseUdpAnswer(hex(`${head} 20010db8000000000000000000000001 1ae1`), 6)).toMatchObject({
      answer: { peers: [{ host: '2001:db8::1', port: 6881 }] },
    });
  });

  it('may hold no peer, a partial one or port 0', () => {
    const peersOf = (text: string): unknown => parseUdpAnswer(hex(`${head} ${text}`), 4);
    expect(peersOf('')).toMatchObject({ answer: { peers: [] } });
    expect(peersOf('01020304 1a')).toMatchObject({ answer: { peers: [] } });
    expect(peersOf('01020304 0000 05060708 0050')).toMatchObject({
      answer: { peers: [{ host: '5.6.7.8', port: 80 }] },
    });
  });

  it('give no number where the packet has a negative one', () => {
    expect(parseUdpAnswer(hex('00000001 0badcafe ffffffff ffffffff 80000000'), 4)).toMatchObject({
      answer: { intervalMs: undefined, leechers: undefined, seeders: undefined },
    });
  });

  it('give a bounded number of peers', () => {
    const bytes = new Uint8Array(20 + (MAX_PEERS + 5) * 6).fill(1);
    bytes.set(hex(head));
    const parsed = parseUdpAnswer(bytes, 4);
    expect(parsed.action === 'announce' && parsed.answer.peers.length).toBe(MAX_PEERS);
  });

  it('are written with the peers of one family', () => {
    const peers = [
      { host: '1.2.3.4', port: 6881 },
      { host: '2001:db8::1', port: 6881 },
    ];
    const written = { interval: 1800, seeders: 3, leechers: 2, peers };
    expect(announceAnswer(0x0badcafe, written, 4)).toEqual(hex(`${head} 01020304 1ae1`));
    expect(announceAnswer(0x0badcafe, written, 6)).toEqual(hex(`${head} 20010db8000000000000000000000001 1ae1`));
  });
});

describe('scrape', () => {
  const OTHER = 'ff'.repeat(20);
  const request = `0102030405060708 00000002 0badcafe ${INFOHASH} ${OTHER}`;

  it('asks for each infohash in turn', () => {
    expect(scrapeRequest(0x0102030405060708n, 0x0badcafe, [hex(INFOHASH), hex(OTHER)])).toEqual(hex(request));
  });

  it('is read by a tracker up to the last whole infohash', () => {
    const asked = {
      action: 'scrape',
      transactionId: 0x0badcafe,
      connectionId: 0x0102030405060708n,
      infohashes: [hex(INFOHASH), hex(OTHER)],
    };
    expect(parseUdpRequest(hex(request))).toEqual(asked);
    for (let length = 0; length < 19; length++) {
      expect(parseUdpRequest(Uint8Array.of(...hex(request), ...new Uint8Array(length)))).toEqual(asked);
    }
    for (let length = 0; length < 36; length++) {
      expect(parseUdpRequest(hex(request).subarray(0, length))).toBeUndefined();
    }
  });

  it('is read for 74 infohashes at most', () => {
    const long = scrapeRequest(
      1n,
      1,
      Array.from({ length: 80 }, () => hex(OTHER)),
    );
    const parsed = parseUdpRequest(long);
    expect(parsed?.action === 'scrape' && parsed.infohashes.length).toBe(74);
  });

  it('is answered with seeders, completed and leechers', () => {
    const answer = hex('00000002 0badcafe 00000001 00000002 00000003 ffffffff 00000000 00000005');
    const counts = [
      { seeders: 1, completed: 2, leechers: 3 },
      { seeders: 0xffffffff, completed: 0, leechers: 5 },
    ];
    expect(parseUdpAnswer(answer, 4)).toEqual({ action: 'scrape', transactionId: 0x0badcafe, counts });
    expect(scrapeAnswer(0x0badcafe, counts)).toEqual(answer);
    expect(scrapeAnswer(1, [{ seeders: 1, completed: undefined, leechers: 1 }])).toEqual(
      hex('00000002 00000001 00000001 00000000 00000001'),
    );
  });

  it('may be answered for fewer, or with an entry cut short, or for more than fit a packet', () => {
    const countsOf = (bytes: Uint8Array): number => {
      const parsed = parseUdpAnswer(bytes, 6);
      return parsed.action === 'scrape' ? parsed.counts.length : -1;
    };
    const answer = hex(`00000002 0badcafe ${'00000001'.repeat(6)}`);
    for (let length = 8; length <= 32; length++) {
      expect(countsOf(answer.subarray(0, length))).toBe(Math.floor((length - 8) / 12));
    }
    expect(countsOf(hex(`00000002 0badcafe ${'00'.repeat(12 * 80)}`))).toBe(74);
  });
});

describe('error answers', () => {
  it('are one printable line', () => {
    const bytes = hex(`00000003 0badcafe ${Buffer.from('no\u001b[2J such\n\u202etorrent').toString('hex')}`);
    expect(parseUdpAnswer(bytes, 4)).toEqual({
      action: 'error',
      transactionId: 0x0badcafe,
      message: 'no [2J such torrent',
    });
    expect(errorAnswer(0x0badcafe, 'no')).toEqual(hex('00000003 0badcafe 6e6f'));
  });

  it('may be empty or long', () => {
    expect(parseUdpAnswer(hex('00000003 0badcafe'), 4)).toMatchObject({ message: '' });
    const long = parseUdpAnswer(errorAnswer(1, 'x'.repeat(5000)), 4);
    expect(long).toMatchObject({ message: `${'x'.repeat(200)}…` });
  });
});

describe('garbage from a tracker', () => {
  it.each([
    ['', /at least 8 bytes for any answer.*got 0/],
    ['00000000 0badca', /at least 8 bytes/],
    ['00000000 0badcafe fedcba98765432', /at least 16 bytes for a connect answer.*got 15/],
    ['00000001 0badcafe 00000708 00000002 000000', /at least 20 bytes for an announce answer.*got 19/],
    ['00000004 0badcafe', /action 4/],
    ['ffffffff 0badcafe', /action 4294967295/],
  ])('%j is refused', (text, why) => {
    expect(() => parseUdpAnswer(hex(text), 4)).toThrow(why);
    expect(() => parseUdpAnswer(hex(text), 4)).toThrow(TrackerError);
  });

  it('never throws anything but a TrackerError, nor reads past its slice', () => {
    const packets = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.uint8Array({ maxLength: 60 }));
    fc.assert(
      fc.property(packets, fc.constantFrom(4 as const, 6 as const), ([action, rest], family) => {
        const padded = Uint8Array.of(9, 0, 0, 0, action, ...rest, 9, 9, 9);
        const bytes = padded.subarray(1, padded.length - 3);
        try {
          expect(parseUdpAnswer(bytes, family)).toEqual(parseUdpAnswer(bytes.slice(), family));
        } catch (error) {
          expect(error).toBeInstanceOf(TrackerError);
        }
      }),
    );
  });

  it('is ignored by a tracker', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 16 }), fc.uint8Array({ maxLength: 120 }), (head, rest) => {
        const bytes = Uint8Array.of(...head, ...rest);
        const request = parseUdpRequest(bytes);
        expect(request === undefined || bytes.length >= 16).toBe(true);
        parseUdpRequest(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, ...rest));
      }),
    );
  });
});

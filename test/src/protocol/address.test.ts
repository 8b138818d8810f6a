import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpateError } from '../../../src/errors.js';
import {
  addressKey,
  canonicalIp,
  decodeCompact,
  encodeCompact,
  familyOf,
  formatAddress,
  ipBytes,
  ipText,
  isName,
  type PeerAddress,
  parseHostPort,
} from '../../../src/protocol/address.js';

describe('canonicalIp', () => {
  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:102:304', '1.2.3.4'],
    ['0:0:0:0:0:ffff:1.2.3.4', '1.2.3.4'],
    ['0000:0000:0000:0000:0000:ffff:0102:0304', '1.2.3.4'],
    ['0::ffff:1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4%eth0', '1.2.3.4'],
    ['::ffff:0.0.0.0', '0.0.0.0'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['::1.2.3.4', '::102:304'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['2001:DB8::A', '2001:db8::a'],
    ['2001:0db8:0000:0000:0000:0000:0002:0001', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
    ['::ffff:0:1.2.3.4', '::ffff:0:102:304'],
    ['FE80::1%eth0', 'fe80::1%eth0'],
  ])('spells %s as %s', (text, canonical) => {
    expect(canonicalIp(text)).toBe(canonical);
    expect(canonicalIp(canonical)).toBe(canonical);
  });

  it.each(['', 'localhost', '1.2.3', '1.2.3.256', '01.2.3.4', '[::1]', ':::', '1::2::3', '12345::', '1.2.3.4:80'])(
    'rejects %j',
    (text) => expect(canonicalIp(text)).toBeUndefined(),
  );

  it('maps two literals to one text exactly when their 16 bytes are equal', () => {
    const groups = fc.array(fc.oneof(fc.constant(0), fc.constant(0xffff), fc.integer({ min: 0, max: 0xffff })), {
      minLength: 8,
      maxLength: 8,
    });
    fc.assert(
      fc.property(groups, (values) => {
        const long = values.map((value) => value.toString(16).padStart(4, '0').toUpperCase()).join(':');
        const canonical = canonicalIp(long)!;
        const bytes = Uint8Array.from(values.flatMap((value) => [value >> 8, value & 0xff]));
        const mapped = values.slice(0, 5).every((value) => value === 0) && values[5] === 0xffff;
        expect(isIP(canonical)).toBe(mapped ? 4 : 6);
        expect(ipText(bytes)).toBe(canonical);
        expect(ipBytes(canonical)).toEqual(mapped ? bytes.subarray(12) : bytes);
      }),
    );
  });

  it('never throws, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:.%]{0,40}$/)), (text) => {
        expect(canonicalIp(text) === undefined).toBe(isIP(text) === 0);
      }),
    );
  });
});

describe('formatAddress and addressKey', () => {
  it('puts brackets around IPv6', () => {
    expect(formatAddress({ host: '1.2.3.4', port: 80 })).toBe('1.2.3.4:80');
    expect(formatAddress({ host: '::1', port: 80 })).toBe('[::1]:80');
    expect(formatAddress({ host: 'example.org', port: 80 })).toBe('example.org:80');
    expect(addressKey({ host: '::1', port: 65_535 })).toBe('[::1]:65535');
  });

  it('tells the families apart', () => {
    expect(familyOf('1.2.3.4')).toBe(4);
    expect(familyOf('::1')).toBe(6);
  });
});

describe('parseHostPort', () => {
  it.each([
    ['1.2.3.4:80', '1.2.3.4', 80],
    ['[::1]:80', '::1', 80],
    ['[2001:DB8:0:0::1]:6881', '2001:db8::1', 6881],
    ['[::ffff:1.2.3.4]:1', '1.2.3.4', 1],
    ['[fe80::1%eth0]:1', 'fe80::1%eth0', 1],
    ['Example.ORG:65535', 'example.org', 65_535],
    ['localhost:00080', 'localhost', 80],
    ['my_box-2:9', 'my_box-2', 9],
  ])('reads %s', (text, host, port) => expect(parseHostPort(text)).toEqual({ host, port }));

  it.each([
    ['', /port is missing/],
    ['1.2.3.4', /port is missing/],
    ['1.2.3.4:', /1 to 65535/],
    ['1.2.3.4:0', /1 to 65535/],
    ['1.2.3.4:65536', /1 to 65535/],
    ['1.2.3.4:-1', /1 to 65535/],
    ['1.2.3.4:80x', /1 to 65535/],
    ['::1', /brackets/],
    ['2001:db8::1:2:3:4:5:80', /brackets/],
    ['[::1]', /1 to 65535/],
    ['[1.2.3.4]:80', /no IPv6 address/],
    ['[]:80', /no IPv6 address/],
    [':80', /neither/],
    ['1.2.3:80', /neither/],
    ['1.2.3.256:80', /neither/],
    ['a b:80', /neither/],
    ['http://x:80', /brackets/],
    ['a/b:80', /neither/],
  ])('refuses %j, saying what was expected', (text, why) => {
    expect(() => parseHostPort(text)).toThrow(why);
    expect(() => parseHostPort(text)).toThrow(/expected HOST:PORT such as/);
  });

  it('throws nothing but a usage error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[[\]0-9a-f:.]{0,30}$/)), (text) => {
        try {
          const { host, port } = parseHostPort(text);
          expect(parseHostPort(formatAddress({ host, port }))).toEqual({ host, port });
        } catch (error) {
          expect(error).toBeInstanceOf(SpateError);
          expect((error as SpateError).code).toBe('USAGE');
        }
      }),
    );
  });
});

describe('isName', () => {
  it.each(['localhost', 'a.b', 'tracker.example.org', 'tracker.example.org.', '3com.example', 'bücher.example'])(
    'accepts %s',
    (text) => expect(isName(text)).toBe(true),
  );
  it.each(['', '.', '..', '.a', 'a..b', '1.2.3', '1.2.3.4', 'a b', 'a:b', 'a/b', 'a\0b', 'a\u202eb', 'x'.repeat(254)])(
    'refuses %j',
    (text) => expect(isName(text)).toBe(false),
  );
});

describe('compact addresses', () => {
  const mixed: PeerAddress[] = [
    { host: '1.2.3.4', port: 0x1ae1 },
    { host: '2001:db8::1', port: 80 },
    { host: '255.0.0.255', port: 65_535 },
    { host: 'fe80::2%eth0', port: 1 },
  ];
  const v4 = Uint8Array.of(1, 2, 3, 4, 0x1a, 0xe1, 255, 0, 0, 255, 255, 255);
  const v6 = Uint8Array.of(
    ...[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80],
    ...[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1],
  );

  it('writes one family and leaves the other out', () => {
    expect(encodeCompact(mixed, 4)).toEqual(v4);
    expect(encodeCompact(mixed, 6)).toEqual(v6);
    expect(encodeCompact([], 6)).toEqual(new Uint8Array(0));
  });

  it('reads both families', () => {
    expect(decodeCompact(v4, 4)).toEqual([mixed[0], mixed[2]]);
    expect(decodeCompact(v6, 6)).toEqual([mixed[1], { host: 'fe80::2', port: 1 }]);
  });

  it('reads an IPv4-mapped IPv6 entry as IPv4', () => {
    const entry = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4, 0, 80);
    expect(decodeCompact(entry, 6)).toEqual([{ host: '1.2.3.4', port: 80 }]);
  });

  it('drops port 0 and ignores a trailing partial entry', () => {
    expect(decodeCompact(Uint8Array.of(1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 9, 1, 2, 3), 4)).toEqual([
      { host: '5.6.7.8', port: 9 },
    ]);
    expect(decodeCompact(v6.subarray(0, 35), 6)).toEqual([mixed[1]]);
    expect(decodeCompact(Uint8Array.of(1, 2, 3, 4, 5), 4)).toEqual([]);
  });

  it('reads no more entries than asked for', () => {
    expect(decodeCompact(v4, 4, 1)).toEqual([mixed[0]]);
    expect(decodeCompact(v4, 4, 0)).toEqual([]);
  });

  it('reads back what it wrote, for any bytes of whole entries', () => {
    fc.assert(
      fc.property(fc.constantFrom(4 as const, 6 as const), fc.uint8Array({ maxLength: 100 }), (family, bytes) => {
        const decoded = decodeCompact(bytes, family);
        const kept = decoded.filter(({ host }) => familyOf(host) === family);
        expect(decodeCompact(encodeCompact(decoded, family), family)).toEqual(kept);
      }),
    );
  });
});

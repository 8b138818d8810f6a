import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipText } from '../../../src/protocol/address.js';
import { crc32c, peerPriority } from '../../../src/protocol/peer-priority.js';

const bytes = (hex: string): Uint8Array => Buffer.from(hex, 'hex');
const between = (a: string, b: string): number | undefined =>
  peerPriority({ host: a, port: 0x4d2 }, { host: b, port: 0x12c });

/** CRC32-C bit by bit, as RFC 3720 defines it. */
function naiveCrc(of: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of of) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

describe('CRC32-C', () => {
  it('is that of RFC 3720', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(new Uint8Array())).toBe(0);
  });

  it('agrees with the definition', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (of) => {
        expect(crc32c(of)).toBe(naiveCrc(of));
      }),
    );
  });
});

describe('the canonical priority', () => {
  it('is that of the examples of BEP 40', () => {
    expect(between('123.213.32.10', '98.76.54.32')).toBe(0xec2d7224);
    expect(between('123.213.32.10', '123.213.32.234')).toBe(0x99568189);
  });

  it.each([
    ['of one address, of the ports, the lower first', '230.12.123.3', '230.12.123.3', '012c04d2'],
    ['in a /24, of whole addresses', '230.12.123.1', '230.12.123.3', 'e60c7b01e60c7b03'],
    ['in a /16, of addresses but for the last byte', '230.12.23.1', '230.12.123.3', 'e60c1701e60c7b01'],
    ['else of the first half, and every other bit', '230.120.23.1', '230.12.123.3', 'e60c5101e6781501'],
    ['of one IPv6 address, of the ports', '2001:db8::1', '2001:db8::1', '012c04d2'],
    [
      'of IPv6 addresses far apart, of a /48 and every other bit',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      'ffff:fff:ffff:ffff:ffff:ffff:ffff:ffff',
      'ffff0fffffff55555555555555555555ffffffffffff55555555555555555555',
    ],
    [
      'in a /48, of a byte more',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      'ffff:ffff:ffff:fff:ffff:ffff:ffff:ffff',
      'ffffffffffff0f555555555555555555ffffffffffffff555555555555555555',
    ],
    [
      'in a /56, of two',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      'ffff:ffff:ffff:ff0f:ffff:ffff:ffff:ffff',
      'ffffffffffffff0f5555555555555555ffffffffffffffff5555555555555555',
    ],
    [
      'of two in a /120, of whole addresses',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff0f',
      'ffffffffffffffffffffffffffffff0fffffffffffffffffffffffffffffffff',
    ],
  ])('is, %s', (_, a, b, hashed) => {
    expect(between(a, b)).toBe(naiveCrc(bytes(hashed)));
  });

  it('does not exist between families', () => {
    expect(between('192.0.2.1', '2001:db8::1')).toBeUndefined();
  });

  it('is the same from both ends', () => {
    const host = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }).map(ipText),
      fc.uint8Array({ minLength: 16, maxLength: 16 }).map(ipText),
    );
    const peer = fc.record({ host, port: fc.integer({ min: 1, max: 65_535 }) });
    fc.assert(
      fc.property(peer, peer, fc.boolean(), (a, b, near) => {
        const other = near ? { ...b, host: a.host } : b;
        expect(peerPriority(a, other)).toBe(peerPriority(other, a));
      }),
    );
  });
});

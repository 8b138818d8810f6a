import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeHandshake, featuresOf, HANDSHAKE_LENGTH, HandshakeReader } from '../../../src/protocol/handshake.js';
import { WireError } from '../../../src/protocol/wire.js';

/** Bytes from hexadecimal text; spaces are for the reader. */
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

const NAME = '13 426974546f7272656e742070726f746f636f6c';
const RESERVED = '0000000000100005';
const INFOHASH = '00112233445566778899aabbccddeeff01020304';
/** `-SP0100-abcdefghijkl` */
const PEER_ID = '2d5350303130302d6162636465666768696a6b6c';
const HANDSHAKE = hex(NAME + RESERVED + INFOHASH + PEER_ID);

describe('encodeHandshake', () => {
  it('writes 68 bytes with the bits of the fast extension and the extension protocol', () => {
    expect(encodeHandshake(hex(INFOHASH), hex(PEER_ID))).toEqual(
      hex(`${NAME} 0000000000100004 ${INFOHASH} ${PEER_ID}`),
    );
    expect(HANDSHAKE_LENGTH).toBe(68);
  });
});

describe('featuresOf', () => {
  it.each([
    ['0000000000000000', { fast: false, extended: false }],
    ['0000000000100000', { fast: false, extended: true }],
    ['0000000000000004', { fast: true, extended: false }],
    ['ffffffffffffffff', { fast: true, extended: true }],
    ['ffffffffffeffffb', { fast: false, extended: false }],
  ])('reads the reserved bytes %s', (reserved, features) => {
    expect(featuresOf(hex(reserved))).toEqual(features);
  });
});

describe('HandshakeReader', () => {
  /** A reader that has been given the handshake in the chunks that `cuts` make of it. */
  function readIn(cuts: readonly number[]): HandshakeReader {
    const reader = new HandshakeReader();
    const ends = [...new Set([...cuts, HANDSHAKE.length])].sort((a, b) => a - b);
    let start = 0;
    for (const end of ends) {
      const scratch = new Uint8Array(end - start + 3).fill(0xee);
      scratch.set(HANDSHAKE.subarray(start, end), 2);
      expect(reader.push(scratch, 2, 2 + end - start)).toBe(2 + end - start);
      scratch.fill(0xdd);
      start = end;
    }
    return reader;
  }

  function expectWhole(reader: HandshakeReader): void {
    expect(reader.isComplete).toBe(true);
    expect(reader.reserved).toEqual(hex(RESERVED));
    expect(reader.infohash).toEqual(hex(INFOHASH));
    expect(reader.peerId).toEqual(hex(PEER_ID));
  }

  it('reads the same whatever the split points', () => {
    for (let cut = 0; cut <= HANDSHAKE.length; cut++) expectWhole(readIn([cut]));
    expectWhole(readIn([...HANDSHAKE.keys()].slice(1)));
    fc.assert(fc.property(fc.array(fc.nat(68), { maxLength: 10 }), (cuts) => expectWhole(readIn(cuts))));
  });

  it('knows the infohash after 48 bytes, while the peer id is to come', () => {
    const reader = new HandshakeReader();
    reader.push(HANDSHAKE, 0, 47);
    expect(reader.infohash).toBeUndefined();
    expect(reader.reserved).toEqual(hex(RESERVED));
    reader.push(HANDSHAKE, 47, 48);
    expect(reader.infohash).toEqual(hex(INFOHASH));
    expect(reader.peerId).toBeUndefined();
    expect(reader.isComplete).toBe(false);
    expect(reader.push(HANDSHAKE, 48, 68)).toBe(68);
    expectWhole(reader);
  });

  it('knows nothing at first', () => {
    const reader = new HandshakeReader();
    expect([reader.isComplete, reader.reserved, reader.infohash, reader.peerId]).toEqual([
      false,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('stops where the first message starts', () => {
    const reader = new HandshakeReader();
    const bytes = hex(`ff ${Buffer.from(HANDSHAKE).toString('hex')} 00000001 02`);
    expect(reader.push(bytes, 1, bytes.length)).toBe(69);
    expectWhole(reader);
    expect(reader.push(bytes, 69, bytes.length)).toBe(69);
  });

  it('refuses another protocol at the first byte that differs', () => {
    const refusal = (bytes: Uint8Array): string => {
      try {
        new HandshakeReader().push(bytes, 0, bytes.length);
      } catch (error) {
        if (error instanceof WireError) return error.message;
        throw error;
      }
      return 'accepted';
    };
    expect(refusal(Buffer.from('G'))).toBe('handshake byte 0 is 71, expected 19');
    expect(refusal(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toBe('handshake byte 0 is 71, expected 19');
    expect(refusal(hex('13 426974546f7272656e742050'))).toBe('handshake byte 12 is 80, expected 112');
    for (let at = 0; at < 20; at++) {
      const bytes = HANDSHAKE.slice();
      bytes[at]! ^= 0x80;
      expect(refusal(bytes)).toMatch(new RegExp(`^handshake byte ${at} is `));
      expect(refusal(bytes.subarray(0, at))).toBe('accepted');
    }
  });

  it('takes any reserved bits, infohash and peer id', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 48, maxLength: 48 }), (rest) => {
        const reader = new HandshakeReader();
        reader.push(Uint8Array.of(...hex(NAME), ...rest), 0, 68);
        expect(reader.reserved).toEqual(rest.slice(0, 8));
        expect(reader.infohash).toEqual(rest.slice(8, 28));
        expect(reader.peerId).toEqual(rest.slice(28));
      }),
    );
  });
});

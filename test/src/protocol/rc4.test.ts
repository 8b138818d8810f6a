import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rc4 } from '../../../src/protocol/rc4.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** RFC 6229: 16 bytes of key stream at some offsets. */
const VECTORS: readonly [string, readonly (readonly [number, string])[]][] = [
  [
    '0102030405',
    [
      [0, 'b2 39 63 05 f0 3d c0 27 cc c3 52 4a 0a 11 18 a8'],
      [16, '69 82 94 4f 18 fc 82 d5 89 c4 03 a4 7a 0d 09 19'],
      [1008, '45 12 90 48 e6 a0 ed 0b 56 b4 90 33 8f 07 8d a5'],
      [1024, '30 ab bc c7 c2 0b 01 60 9f 23 ee 2d 5f 6b b7 df'],
      [1520, '32 94 f7 44 d8 f9 79 05 07 e7 0f 62 e5 bb ce ea'],
      [1536, 'd8 72 9d b4 18 82 25 9b ee 4f 82 53 25 f5 a1 30'],
      [4096, 'ff 25 b5 89 95 99 67 07 e5 1f bd f0 8b 34 d8 75'],
    ],
  ],
  [
    '0102030405060708090a0b0c0d0e0f10',
    [
      [0, '9a c7 cc 9a 60 9d 1e f7 b2 93 28 99 cd e4 1b 97'],
      [16, '52 48 c4 95 90 14 12 6a 6e 8a 84 f1 1d 1a 9e 1c'],
      [1008, 'e7 a7 25 74 f8 78 2a e2 6a ab cf 9e bc d6 60 65'],
      [1024, 'bd f0 32 4e 60 83 dc c6 d3 ce dd 3c a8 c5 3c 16'],
      [1520, 'b4 01 10 c4 19 0b 56 22 a9 61 16 b0 01 7e d2 97'],
      [1536, 'ff a0 b5 14 64 7e c0 4f 63 06 b8 92 ae 66 11 81'],
      [4096, 'a3 6a 4c 30 1a e8 ac 13 61 0c cb c1 22 56 ca cc'],
    ],
  ],
  [
    '0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20',
    [
      [0, 'ea a6 bd 25 88 0b f9 3d 3f 5d 1e 4c a2 61 1d 91'],
      [1024, '7f ec 5b fd 9f 9b 89 ce 65 48 30 90 92 d7 e9 58'],
      [4096, 'f3 e4 c0 a2 e0 2d 1d 01 f7 f0 a7 46 18 af 2b 48'],
    ],
  ],
];

const zeros = (length: number): Buffer => Buffer.alloc(length);

describe.each(VECTORS)('RC4 with the key %s', (key, vectors) => {
  it.each(vectors)('has the key stream of RFC 6229 at offset %d', (offset, expected) => {
    const bytes = zeros(offset + 16);
    new Rc4(hex(key)).apply(bytes, 0, bytes.length);
    expect(bytes.subarray(offset)).toEqual(hex(expected));
  });

  it.each(vectors)('starts at offset %d when so many bytes are discarded', (offset, expected) => {
    const bytes = zeros(16);
    new Rc4(hex(key), offset).apply(bytes, 0, 16);
    expect(bytes).toEqual(hex(expected));
  });
});

describe('RC4', () => {
  it('goes on where it stopped, wherever the bytes are split, and touches no byte outside the range', () => {
    const key = hex('0102030405');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.array(fc.nat(600), { maxLength: 8 }), (plain, cuts) => {
        const whole = Buffer.from(plain);
        new Rc4(key).apply(whole, 0, whole.length);
        const parts = new Rc4(key);
        const ends = [...cuts.filter((cut) => cut < plain.length), plain.length].sort((a, b) => a - b);
        const frame = Buffer.concat([Buffer.from([1, 2]), plain, Buffer.from([3])]);
        let start = 0;
        for (const end of ends) {
          parts.apply(frame, 2 + start, 2 + end);
          start = end;
        }
        expect(frame).toEqual(Buffer.concat([Buffer.from([1, 2]), whole, Buffer.from([3])]));
      }),
    );
  });

  it('undoes itself', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 256 }),
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(2000),
        (key, plain, discard) => {
          const bytes = Buffer.from(plain);
          new Rc4(key, discard).apply(bytes, 0, bytes.length);
          new Rc4(key, discard).apply(bytes, 0, bytes.length);
          expect(bytes).toEqual(Buffer.from(plain));
        },
      ),
    );
  });

  it('keeps the ciphers of two connections apart', () => {
    const [one, other] = [new Rc4(hex('0102030405')), new Rc4(hex('0102030405'))];
    one.apply(zeros(1000), 0, 1000);
    const bytes = zeros(16);
    other.apply(bytes, 0, 16);
    expect(bytes).toEqual(hex('b2 39 63 05 f0 3d c0 27 cc c3 52 4a 0a 11 18 a8'));
  });
});

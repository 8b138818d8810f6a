import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPeerId, describePeerId } from '../../../src/protocol/peer-id.js';

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

describe('createPeerId', () => {
  it.each([
    ['0.1.0', '-SP0100-000000000000'],
    ['1.2.3', '-SP1230-000000000000'],
    ['10.35.36', '-SPAZZ0-000000000000'],
    ['1.2.3-beta.4', '-SP1230-000000000000'],
    ['1', '-SP1000-000000000000'],
    ['x.y', '-SP0000-000000000000'],
  ])('writes version %s as %s', (version, id) => {
    expect(createPeerId(version, () => 0)).toEqual(ascii(id));
  });

  it('draws the tail from letters and digits, each as likely', () => {
    const draws = Array.from({ length: 12 }, (_, i) => (i * 5 + 0.5) / 62);
    expect(createPeerId('0.1.0', () => draws.shift()!)).toEqual(ascii('-SP0100-05AFKPUZejot'));
    expect(createPeerId('0.1.0', () => 1 - Number.EPSILON)).toEqual(ascii('-SP0100-zzzzzzzzzzzz'));
  });

  it('is 20 bytes whatever the randomness', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (random) => {
        const id = createPeerId('9.9.9', () => random);
        expect(Buffer.from(id).toString('latin1')).toMatch(/^-SP9990-[0-9A-Za-z]{12}$/);
      }),
    );
  });
});

describe('describePeerId', () => {
  it.each([
    ['-SP0100-abcdefghijkl', 'SP 0.1.0.0'],
    ['-TR400B-abcdefghijkl', 'TR 4.0.0.B'],
    ['-BC0\xff00-abcdefghijkl', '-BC0.00-'],
    ['M7-10-5--abcdefghijk', 'M7-10-5-'],
    ['\0\x1b[2J\n\x7f\x80abcdefghijkl', '..[2J...'],
    ['', ''],
  ])('names %j %s', (id, text) => {
    expect(describePeerId(ascii(id))).toBe(text);
  });

  it('is printable whatever a peer sends', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (id) => {
        expect(describePeerId(id)).toMatch(/^[\x20-\x7e]{1,10}$/);
      }),
    );
  });
});

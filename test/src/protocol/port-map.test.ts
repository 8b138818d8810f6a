import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePcpAnswer, parsePmpAnswer, pcpRequest, pmpRequest } from '../../../src/protocol/port-map.js';

/** Bytes from hexadecimal text; spaces are for the reader. */
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

const NONCE = '01 02 03 04 05 06 07 08 09 0a 0b 0c';
const REQUEST = { internalPort: 0x1ae1, externalPort: 0x1ae2, lifetimeSeconds: 3600 };
const ZEROS = '00000000 00000000 00000000';
const GRANTED = `02 81 00 00 00000708 00000009 ${ZEROS} ${NONCE} 06 000000 1ae1 c001 00000000 00000000 0000ffff cb007101`;

describe('a PCP request', () => {
  it('has the client, the nonce and both ports', () => {
    const client = '00000000 00000000 0000ffff c0a80102';
    expect(pcpRequest(REQUEST, '192.168.1.2', hex(NONCE))).toEqual(
      hex(`02 01 0000 00000e10 ${client} ${NONCE} 06 000000 1ae1 1ae2 00000000 00000000 0000ffff 00000000`),
    );
  });
});

describe('a PCP answer', () => {
  const parse = (text: string, port = 0x1ae1) => parsePcpAnswer(hex(text), hex(NONCE), port);

  it('grants a port for a time', () => {
    expect(parse(GRANTED)).toEqual({
      type: 'granted',
      internalPort: 0x1ae1,
      externalPort: 0xc001,
      lifetimeSeconds: 1800,
    });
  });

  it('refuses with a code', () => {
    expect(parse(GRANTED.replace('02 81 00 00', '02 81 00 08'))).toEqual({ type: 'refused', code: 8 });
  });

  it.each([
    ['in NAT-PMP', '00 81 0001 00000009'],
    ['in a newer version', `03 81 00 01 00000000 00000009 ${ZEROS}`],
  ])('tells that the version is not supported %s', (_, text) => {
    expect(parse(text)).toEqual({ type: 'unsupported' });
  });

  it.each([
    ['another nonce', GRANTED.replace('01 02', '01 03')],
    ['another protocol', GRANTED.replace('06 000000', '11 000000')],
    ['another port', GRANTED.replace('1ae1', '1ae3')],
    ['a request', GRANTED.replace('02 81', '02 01')],
    ['a cut answer', GRANTED.slice(0, -2)],
    ['nothing', ''],
  ])('is not %s', (_, text) => {
    expect(parse(text)).toBeUndefined();
  });
});

describe('NAT-PMP', () => {
  const parse = (text: string) => parsePmpAnswer(hex(text), 0x1ae1);

  it('asks for a TCP port, and for none when a mapping ends', () => {
    expect(pmpRequest(REQUEST)).toEqual(hex('00 02 0000 1ae1 1ae2 00000e10'));
    expect(pmpRequest({ ...REQUEST, lifetimeSeconds: 0 })).toEqual(hex('00 02 0000 1ae1 0000 00000000'));
  });

  it('grants, refuses and does not know', () => {
    expect(parse('00 82 0000 00000009 1ae1 c001 00000708')).toEqual({
      type: 'granted',
      internalPort: 0x1ae1,
      externalPort: 0xc001,
      lifetimeSeconds: 1800,
    });
    expect(parse('00 82 0002 00000009')).toEqual({ type: 'refused', code: 2 });
    expect(parse('00 82 0001 00000009')).toEqual({ type: 'unsupported' });
  });

  it.each([
    '',
    '00 82 0000 00000009',
    '00 81 0000 00000009 1ae1 c001 00000708',
    '00 82 0000 00000009 1ae2 c001 00000708',
  ])('does not take %j for an answer', (text) => {
    expect(parse(text)).toBeUndefined();
  });
});

it('no bytes are too strange', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1200 }), fc.constantFrom(0, 2), (bytes, version) => {
      if (bytes.length > 0) bytes[0] = version;
      for (const answer of [parsePcpAnswer(bytes, hex(NONCE), 1), parsePmpAnswer(bytes, 1)]) {
        if (answer?.type === 'granted') expect(answer.internalPort).toBe(1);
        if (bytes.length < 8 || bytes.length > 1100) expect(answer).toBeUndefined();
      }
    }),
  );
});

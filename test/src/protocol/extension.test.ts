import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeHandshake,
  encodePex,
  parseDontHave,
  parseHandshake,
  parsePex,
} from '../../../src/protocol/extension.js';
import { WireError } from '../../../src/protocol/wire.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const text = (message: Uint8Array): string => Buffer.from(message).toString('latin1');
const ours = {
  client: 'spate 1.2.3',
  reqq: 2000,
  port: 6881,
  yourIp: '192.0.2.1',
  uploadOnly: false,
  metadataSize: 1234,
  pex: true,
};

describe('our extended handshake', () => {
  it('says what we are, what we listen on and which ids to send with', () => {
    const body =
      'd1:md11:lt_donthavei7e6:ut_pexi1ee13:metadata_sizei1234e1:pi6881e4:reqqi2000e1:v11:spate 1.2.36:yourip4:\xc0\x00\x02\x01e';
    expect(text(encodeHandshake(ours))).toBe(`\x00\x00\x00${String.fromCharCode(2 + body.length)}\x14\x00${body}`);
  });

  it('switches peer exchange off in a private torrent and leaves out what there is not', () => {
    const told = text(encodeHandshake({ ...ours, pex: false, port: 0, metadataSize: 0, uploadOnly: true }));
    expect(told).toContain('6:ut_pexi0e');
    expect(told).toContain('11:upload_onlyi1e');
    expect(told).not.toContain('1:pi');
    expect(told).not.toContain('metadata_size');
  });
});

describe("a peer's extended handshake", () => {
  it('is read', () => {
    const body =
      'd1:md6:ut_pexi3e11:ut_metadatai2ee1:pi51413e4:reqqi512e11:upload_onlyi1e1:v16:Transmission 3.06:yourip4:\xc0\0\x02\x01e';
    expect(parseHandshake(bytes(body))).toEqual({
      ids: { ut_pex: 3 },
      client: 'Transmission 3.0',
      reqq: 512,
      port: 51_413,
      yourIp: '192.0.2.1',
      uploadOnly: true,
    });
  });

  it.each([
    ['de', {}],
    ['d1:mi1e1:pi0e4:reqqi-5e1:vi1ee', {}],
    ['d1:md6:ut_pexi0e11:lt_donthavei256ee1:pi65536e4:reqqi0ee', {}],
    ['d1:md6:ut_pex1:xe6:yourip5:12345e', {}],
    ['d6:yourip0:e', {}],
    ['d6:youripi7ee', {}],
  ])('is as good as empty where its fields are junk: %s', (body, ids) => {
    const nothing = { client: undefined, reqq: undefined, port: undefined, yourIp: undefined, uploadOnly: false };
    expect(parseHandshake(bytes(body))).toEqual({ ids, ...nothing });
  });

  it('that comes later names what has changed, and switches extensions off with 0', () => {
    const first = parseHandshake(
      bytes('d1:md11:lt_donthavei7e6:ut_pexi3ee1:pi51413e4:reqqi512e11:upload_onlyi1e1:v1:xe'),
    );
    const later = (body: string) => parseHandshake(bytes(body), first);
    expect(later('de')).toEqual(first);
    expect(later('d1:md6:ut_pexi0eee').ids).toEqual({ lt_donthave: 7 });
    expect(later('d1:md6:ut_pexi4eee').ids).toEqual({ lt_donthave: 7, ut_pex: 4 });
    expect(later('d4:reqqi9e11:upload_onlyi0ee')).toEqual({ ...first, reqq: 9, uploadOnly: false });
  });

  it('names its client in printable characters, and few of them', () => {
    const { client } = parseHandshake(bytes(`d1:v100:\x1b[2J${'x'.repeat(96)}e`));
    expect(client).toBe(`[2J${'x'.repeat(60)}`);
  });

  it.each([
    ['nothing', ''],
    ['a list', 'le'],
    ['a truncated dictionary', 'd1:v'],
    ['deep nesting', 'l'.repeat(50) + 'e'.repeat(50)],
    ['too much', `d1:v20000:${'x'.repeat(20_000)}e`],
    ['too many values', `d1:ml${'i1e'.repeat(5000)}ee`],
  ])('is refused when it is %s', (_what, body) => {
    expect(() => parseHandshake(bytes(body))).toThrow(WireError);
  });

  it('never fails but with a WireError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (body) => {
        for (const parse of [parseHandshake, parsePex, parseDontHave]) {
          try {
            parse(body);
          } catch (error) {
            expect(error).toBeInstanceOf(WireError);
          }
        }
      }),
    );
  });
});

describe('peer exchange', () => {
  it('names peers of both families in compact form, with a flag each', () => {
    const added = [
      { host: '192.0.2.1', port: 0x1ae1, flags: 0x11 },
      { host: '2001:db8::1', port: 1, flags: 0x02 },
    ];
    const v6 = `\x20\x01\x0d\xb8${'\0'.repeat(11)}\x01\0\x01`;
    const body = `d5:added6:\xc0\0\x02\x01\x1a\xe17:added.f1:\x116:added618:${v6}8:added6.f1:\x027:dropped6:\xc0\0\x02\x02\0\x028:dropped60:e`;
    const message = encodePex(9, added, [{ host: '192.0.2.2', port: 2 }]);
    expect(text(message)).toBe(`\0\0\0${String.fromCharCode(2 + body.length)}\x14\x09${body}`);
    expect(parsePex(message.subarray(6))).toEqual(added.map(({ host, port }) => ({ host, port })));
  });

  it('is read up to 100 addresses, dead ones left out', () => {
    const flood = Buffer.alloc(6 * 10_000, 7);
    const message = Buffer.concat([Buffer.from(`d5:added${flood.length}:`), flood, Buffer.from('e')]);
    expect(() => parsePex(message)).toThrow(WireError);
    const many = Buffer.alloc(6 * 1000, 7);
    expect(parsePex(Buffer.concat([Buffer.from(`d5:added${many.length}:`), many, Buffer.from('e')]))).toHaveLength(100);
    expect(parsePex(bytes('d5:added6:\x01\x02\x03\x04\0\0e'))).toEqual([]);
  });
});

describe('a lost piece', () => {
  it('is four bytes', () => {
    expect(parseDontHave(Uint8Array.of(9, 1, 2, 3, 4).subarray(1))).toBe(0x01020304);
    expect(() => parseDontHave(Uint8Array.of(1, 2, 3))).toThrow('lt_donthave of 3 bytes, expected 4');
  });
});

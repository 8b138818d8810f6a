import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asBytes,
  asDict,
  asInteger,
  asList,
  asText,
  BencodeError,
  type BencodeInput,
  type BencodeLimits,
  type BencodeValue,
  decode,
  decodePrefix,
  encode,
  type Span,
} from '../../../src/protocol/bencode.js';

const bytes = (latin1: string): Uint8Array => new Uint8Array(Buffer.from(latin1, 'latin1'));
const text = (raw: Uint8Array): string => Buffer.from(raw).toString('latin1');

const dict = <T>(fields: Record<string, T>): ReadonlyMap<string, T> => new Map(Object.entries(fields));

/** The message of the `BencodeError` that decoding must end in. */
function refusal(latin1: string, limits?: Partial<BencodeLimits>): string {
  try {
    decode(bytes(latin1), limits);
  } catch (error) {
    if (error instanceof BencodeError) return error.message;
    throw error;
  }
  throw new Error(`${latin1} is accepted`);
}

describe('decode', () => {
  it.each<[string, BencodeValue]>([
    ['i0e', 0],
    ['i7e', 7],
    ['i-42e', -42],
    ['i9007199254740991e', 9007199254740991],
    ['i-9007199254740991e', -9007199254740991],
    ['0:', bytes('')],
    ['4:spam', bytes('spam')],
    ['12:i1e\0\xff:d1:ae3', bytes('i1e\0\xff:d1:ae3')],
    ['le', []],
    ['de', dict({})],
    ['l4:spami1elee', [bytes('spam'), 1, []]],
    ['d3:cow3:moo4:spamd1:ai1eee', dict({ cow: bytes('moo'), spam: dict({ a: 1 }) })],
    ['d0:i1ee', dict({ '': 1 })],
    ['d1:bi1e1:ai2ee', dict({ b: 1, a: 2 })],
    ['d2:\xc3\xa9i1ee', dict({ é: 1 })],
    ['d3:\xff\x00\x10i1ee', dict({ ff0010: 1 })],
  ])('reads %j', (input, value) => {
    expect(decode(bytes(input))).toEqual(value);
  });

  it.each([
    ['', 'expected a value at byte 0, found the end of the data'],
    ['x', 'expected a value at byte 0, found "x"'],
    ['e', 'expected a value at byte 0, found "e"'],
    ['\x80', 'expected a value at byte 0, found 0x80'],
    [' i1e', 'expected a value at byte 0, found 0x20'],
    ['ie', 'expected a digit at byte 1, found "e"'],
    ['i', 'expected a digit at byte 1, found the end of the data'],
    ['i-e', 'expected a digit at byte 2, found "e"'],
    ['i--1e', 'expected a digit at byte 2, found "-"'],
    ['i+1e', 'expected a digit at byte 1, found "+"'],
    ['i-0e', 'expected an integer at byte 0, found "-0"'],
    ['i007e', 'expected no leading zero at byte 1, found "0"'],
    ['i00e', 'expected no leading zero at byte 1, found "0"'],
    ['i-01e', 'expected no leading zero at byte 2, found "0"'],
    ['i1.5e', 'expected the end of the integer at byte 2, found "."'],
    ['i1', 'expected the end of the integer at byte 2, found the end of the data'],
    ['i9007199254740992e', 'expected an integer within 2^53 - 1 at byte 1, found more'],
    ['i-9007199254740992e', 'expected an integer within 2^53 - 1 at byte 2, found more'],
    ['-1:a', 'expected a value at byte 0, found "-"'],
    ['01:a', 'expected no leading zero at byte 0, found "0"'],
    ['00:', 'expected no leading zero at byte 0, found "0"'],
    ['4', 'expected ":" at byte 1, found the end of the data'],
    ['4spam', 'expected ":" at byte 1, found "s"'],
    ['5:spam', 'expected a string of 5 bytes at byte 0, found the end of the data after 4'],
    ['l', '`[0]`: expected a value at byte 1, found the end of the data'],
    ['li1e', '`[1]`: expected a value at byte 4, found the end of the data'],
    ['d', 'expected a key or the end of the dictionary at byte 1, found the end of the data'],
    ['di1ei2ee', 'expected a key or the end of the dictionary at byte 1, found "i"'],
    ['dlei2ee', 'expected a key or the end of the dictionary at byte 1, found "l"'],
    ['d1:ae', '`a`: expected a value at byte 4, found "e"'],
    ['d1:a', '`a`: expected a value at byte 4, found the end of the data'],
    ['d1:ai1e1:ai2ee', '`a`: expected a new key at byte 7, found one seen before'],
    ['d1:bi1e1:ai1e1:bi2ee', '`b`: expected a new key at byte 13, found one seen before'],
    ['d1:ad1:bi1exee', '`a`: expected a key or the end of the dictionary at byte 11, found "x"'],
    ['d4:infod12:piece lengthi-0eee', '`info.piece length`: expected an integer at byte 23, found "-0"'],
    ['d1:ali1el4:spamxeee', '`a[1][1]`: expected a value at byte 15, found "x"'],
    ['i1ei2e', 'expected the end of the data at byte 3, found "i"'],
    ['le\n', 'expected the end of the data at byte 2, found 0x0a'],
  ])('refuses %j', (input, message) => {
    expect(refusal(input)).toBe(message);
  });

  it.each([
    ['i9007199254740992e', '', '9007199254740992'],
    [
      'd4:infod5:filesld6:lengthi1eed6:lengthi-9223372036854775808eeeee',
      'info.files[1].length',
      '-9223372036854775808',
    ],
    ['ll0:e0:d3:a.bi1e1:bli1ei9007199254740992eeee', '[2].b[1]', '9007199254740992'],
    [`d2:\n"i${'9'.repeat(50)}ee`, '"\\n\\""', `${'9'.repeat(40)}...`],
    [`d50:${'k'.repeat(50)}i${'9'.repeat(39)}ee`, `"${'k'.repeat(40)}"`, '9'.repeat(39)],
  ])('names the field of an integer out of range: %j', (input, field, found) => {
    let error: unknown;
    try {
      decode(bytes(input));
    } catch (thrown) {
      error = thrown;
    }
    expect((error as BencodeError).integer).toEqual({ field, found });
  });

  it('names no field for anything else', () => {
    expect(new BencodeError('it').integer).toBeUndefined();
    expect(() => decode(bytes('d1:a9007199254740992:ee'))).toThrow(
      expect.objectContaining({ name: 'BencodeError', integer: undefined }),
    );
  });

  it.each([`${'9'.repeat(400)}:`, '9007199254740992:', '4294967296:a', '2147483648:a'])(
    'refuses a string longer than the data: %s',
    (input) => {
      expect(refusal(input)).toMatch(/^expected a (shorter string|string of \d+ bytes) at byte 0, found/);
    },
  );

  it('refuses every truncation of a value', () => {
    const whole = 'd1:ad2:idi-10ee4:listli0e0:4:spamdee1:bi5ee';
    expect(() => decode(bytes(whole))).not.toThrow();
    for (let length = 0; length < whole.length; length++) {
      expect(refusal(whole.slice(0, length))).toContain('the end of the data');
    }
  });

  it('holds each limit to the number', () => {
    expect(decode(bytes('llleee'), { maxDepth: 3 })).toEqual([[[]]]);
    expect(refusal('llleee', { maxDepth: 2 })).toBe('`[0][0]`: expected nesting of at most 2 at byte 2, found deeper');
    expect(refusal('d1:ad1:alee', { maxDepth: 2 })).toBe(
      '`a.a`: expected nesting of at most 2 at byte 8, found deeper',
    );
    expect(decode(bytes('d1:ai1e1:bi2ee'), { maxTokens: 5 })).toBeInstanceOf(Map);
    expect(refusal('d1:ai1e1:bi2ee', { maxTokens: 4 })).toBe(
      '`b`: expected at most 4 values and keys at byte 10, found more',
    );
    expect(refusal('d1:ai1e1:bi2ee', { maxTokens: 3 })).toBe(
      '`a`: expected at most 3 values and keys at byte 7, found more',
    );
    expect(decode(bytes('4:spam'), { maxBytes: 6 })).toEqual(bytes('spam'));
    expect(refusal('4:spam', { maxBytes: 5 })).toBe('expected at most 5 bytes, found 6');
  });

  it('answers nesting bombs with an error and not with a full stack', () => {
    expect(refusal('l'.repeat(1_000_000))).toBe(
      '`[0][0][0][0]...[0][0][0][0]`: expected nesting of at most 100 at byte 100, found deeper',
    );
    expect(refusal('d1:a'.repeat(1_000_000))).toBe(
      '`a.a.a.a...a.a.a.a`: expected nesting of at most 100 at byte 400, found deeper',
    );
    expect(decode(bytes('l'.repeat(100) + 'e'.repeat(100)))).toHaveLength(1);
  });

  it('keeps look-ups and prototypes apart', () => {
    expect(refusal('d9:__proto__d8:pollutedi1eee')).toBe('`__proto__`: expected a key at byte 1, found `__proto__`');
    expect(refusal('ld1:ad9:__proto__leeee')).toBe('`[0].a.__proto__`: expected a key at byte 6, found `__proto__`');
    const value = asDict(decode(bytes('d11:constructord9:prototyped8:pollutedi1eee8:toStringi2ee')))!;
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(value.get('toString')).toBe(2);
    expect(value.get('hasOwnProperty')).toBeUndefined();
  });

  it('refuses keys that the package would spell alike, so that none is lost', () => {
    expect(refusal('d1:\xffi1e2:ffi2ee')).toContain('one seen before');
    expect(refusal('d4:\xef\xbb\xbfai1e1:ai2ee')).toContain('one seen before');
    expect(refusal('d12:\xef\xbb\xbf__proto__i1ee')).toContain('`__proto__`');
  });

  it('reads a view into a larger buffer, and what it gives is a copy', () => {
    const input = bytes('xxl4:spamexx').subarray(2, 10);
    const value = decode(input);
    input.fill(0);
    expect(value).toEqual([bytes('spam')]);
    expect(asBytes(asList(value)![0])!.buffer.byteLength).toBe(4);
  });
});

describe('decodePrefix', () => {
  it('says how many bytes the value takes and leaves the rest alone', () => {
    const message = bytes('d8:msg_typei1e5:piecei0e10:total_sizei3ee\xff:d');
    const { value, consumed } = decodePrefix(message);
    expect(consumed).toBe(41);
    expect(text(message.subarray(consumed))).toBe('\xff:d');
    expect(asInteger(asDict(value)!.get('total_size'))).toBe(3);
  });

  it('gives the span of each top-level value, not of what has the same key below', () => {
    const { spans } = decodePrefix(bytes('d1:xd4:infoi1ee4:infod1:bi1e1:ai2ee1:yli1eee'));
    expect([...spans]).toEqual([
      ['x', { start: 4, end: 15 }],
      ['info', { start: 21, end: 35 }],
      ['y', { start: 38, end: 43 }],
    ]);
  });

  it('gives no spans for what is no dictionary', () => {
    expect(decodePrefix(bytes('ld4:infoi1eee')).spans.size).toBe(0);
    expect(decodePrefix(bytes('i1e4:info')).spans.size).toBe(0);
  });
});

describe('encode', () => {
  it.each<[BencodeInput, string]>([
    [0, 'i0e'],
    [-0, 'i0e'],
    [-7, 'i-7e'],
    [Number.MAX_SAFE_INTEGER, 'i9007199254740991e'],
    ['', '0:'],
    ['é', '2:\xc3\xa9'],
    [bytes('\0\xff'), '2:\0\xff'],
    [[1, 'a', []], 'li1e1:alee'],
    [{}, 'de'],
    [{ b: 1, a: { d: 2, c: [] } }, 'd1:ad1:cle1:di2ee1:bi1ee'],
    [{ b: 1, B: 2, aa: 3, a: 4, '10': 5, '9': 6 }, 'd2:10i5e1:9i6e1:Bi2e1:ai4e2:aai3e1:bi1ee'],
    [{ m: { ut_metadata: 1 }, p: undefined, v: 'x' }, 'd1:md11:ut_metadatai1ee1:v1:xe'],
    [dict({ b: 1, a: 'x' }), 'd1:a1:x1:bi1ee'],
  ])('writes %j', (value, expected) => {
    expect(text(encode(value))).toBe(expected);
  });

  it.each<[string, BencodeInput]>([
    ['1.5', [1.5]],
    ['NaN', { a: Number.NaN }],
    ['9007199254740992', dict({ a: 2 ** 53 })],
    ['"é"', { é: 1 }],
  ])('refuses %s', (found, value) => {
    expect(() => encode(value)).toThrow(RangeError);
    expect(() => encode(value)).toThrow(`found ${found}`);
  });
});

describe('readers', () => {
  it('give the value of their own kind and nothing else', () => {
    const values: (BencodeValue | undefined)[] = [5, bytes('\xc3\xa9\xff'), [1], dict({ a: 1 }), undefined];
    expect(values.map(asInteger)).toEqual([5, undefined, undefined, undefined, undefined]);
    expect(values.map(asBytes)).toEqual([undefined, bytes('\xc3\xa9\xff'), undefined, undefined, undefined]);
    expect(values.map(asText)).toEqual([undefined, 'é\ufffd', undefined, undefined, undefined]);
    expect(values.map(asList)).toEqual([undefined, undefined, [1], undefined, undefined]);
    expect(values.map(asDict)).toEqual([undefined, undefined, undefined, dict({ a: 1 }), undefined]);
  });
});

/** A value as the grammar has it; the keys of a dictionary are bytes as latin1. */
type Plain = number | string | Plain[] | Map<string, Plain>;

interface Parsed {
  readonly value: Plain;
  readonly end: number;
  readonly spans: Map<string, Span>;
}

/** The strict grammar, written for clearness: the value at `at`, or undefined. */
function reference(input: string, at: number): Parsed | undefined {
  const spans = new Map<string, Span>();
  const integer = /^i(0|-?[1-9]\d*)e/.exec(input.slice(at));
  if (integer) {
    const value = Number(integer[1]);
    return Number.isSafeInteger(value) ? { value, end: at + integer[0].length, spans } : undefined;
  }
  const string = /^(0|[1-9]\d*):/.exec(input.slice(at));
  if (string) {
    const start = at + string[0].length;
    const end = start + Number(string[1]);
    return end <= input.length ? { value: input.slice(start, end), end, spans } : undefined;
  }
  if (input[at] !== 'l' && input[at] !== 'd') return undefined;
  const list: Plain[] = [];
  const fields = new Map<string, Plain>();
  let end = at + 1;
  while (input[end] !== 'e') {
    const key = input[at] === 'd' ? reference(input, end) : undefined;
    if (input[at] === 'd' && (typeof key?.value !== 'string' || fields.has(key.value))) return undefined;
    const item = reference(input, key?.end ?? end);
    if (item === undefined) return undefined;
    if (key === undefined) list.push(item.value);
    else {
      fields.set(key.value as string, item.value);
      spans.set(key.value as string, { start: key.end, end: item.end });
    }
    end = item.end;
  }
  return { value: input[at] === 'd' ? fields : list, end: end + 1, spans };
}

/** A decoded value as the grammar has it; keys in these tests are ASCII unless `odd`. */
function plain(value: BencodeValue): Plain {
  if (typeof value === 'number') return value;
  if (value instanceof Uint8Array) return text(value);
  const list = asList(value);
  return list ? list.map(plain) : new Map([...asDict(value)!].map(([key, field]) => [key, plain(field)]));
}

/** Whether a dictionary in it has a key that is spelt otherwise than byte for byte, or refused. */
function hasOddKey(value: Plain): boolean {
  if (Array.isArray(value)) return value.some(hasOddKey);
  if (!(value instanceof Map)) return false;
  return [...value].some(([key, field]) => key === '__proto__' || /[\x80-\xff]/.test(key) || hasOddKey(field));
}

function agrees(input: string): void {
  const expected = reference(input, 0);
  let found: ReturnType<typeof decodePrefix> | undefined;
  try {
    found = decodePrefix(bytes(input));
  } catch (error) {
    expect(error).toBeInstanceOf(BencodeError);
  }
  if (expected !== undefined && hasOddKey(expected.value)) {
    // Key spelling is the package's: only the bounds can be compared.
    if (found !== undefined) expect(found.consumed).toBe(expected.end);
    return;
  }
  expect(found && { value: plain(found.value), end: found.consumed, spans: found.spans }).toEqual(expected);
}

describe('guard and grammar', () => {
  /** Anything bencode can say, as its bytes: keys in any order, now and then twice. */
  const { encoded } = fc.letrec<{ encoded: string; string: string; key: string }>((tie) => ({
    string: fc
      .oneof(fc.string({ maxLength: 4 }), fc.uint8Array({ maxLength: 4 }).map(text))
      .map((content) => bytes(content))
      .map((content) => `${content.length}:${text(content)}`),
    key: fc.oneof(
      { weight: 9, arbitrary: fc.stringMatching(/^[a-z]{0,3}$/).map((key) => `${key.length}:${key}`) },
      { weight: 1, arbitrary: fc.constantFrom('9:__proto__', '1:\xff', '2:ff', '4:info') },
    ),
    encoded: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.maxSafeInteger().map((value) => `i${value}e`),
      tie('string'),
      fc.array(tie('encoded'), { maxLength: 4 }).map((items) => `l${items.join('')}e`),
      fc.array(fc.tuple(tie('key'), tie('encoded')), { maxLength: 4 }).map((pairs) => `d${pairs.flat().join('')}e`),
    ),
  }));
  const tokens = [
    'd',
    'l',
    'e',
    'i',
    'i0e',
    'i-3e',
    '-',
    '0',
    '1',
    '9',
    ':',
    '0:',
    '1:a',
    '1:b',
    '2:\xc3\xa9',
    '\xff',
    '4:info',
  ];

  it('agree on well-formed values, with anything after them', () => {
    fc.assert(
      fc.property(encoded, fc.string({ maxLength: 3 }), (value, tail) => agrees(value + text(bytes(tail)))),
      { numRuns: 2000 },
    );
  });

  it('agree on values with one byte changed, inserted or dropped', () => {
    fc.assert(
      fc.property(encoded, fc.nat(), fc.nat(2), fc.constantFrom(...tokens), (value, at, dropped, token) => {
        const i = at % (value.length + 1);
        agrees(value.slice(0, i) + token + value.slice(i + dropped));
      }),
      { numRuns: 3000 },
    );
  });

  it('agree on shuffled tokens and on random bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...tokens), { maxLength: 20 }), (parts) => agrees(parts.join(''))),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (input) => agrees(text(input))),
      { numRuns: 1000 },
    );
  });
});

describe('round trip', () => {
  const { value } = fc.letrec<{ value: BencodeValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.maxSafeInteger(),
      fc.uint8Array({ maxLength: 8 }),
      fc.array(tie('value'), { maxLength: 4 }),
      fc
        .array(fc.tuple(fc.stringMatching(/^[ -~]{0,6}$/), tie('value')), { maxLength: 4 })
        .map((pairs) => new Map(pairs.filter(([key]) => key !== '__proto__'))),
    ),
  }));

  it('gives back every value, and one spelling for each', () => {
    fc.assert(
      fc.property(value, (original) => {
        const once = encode(original);
        const back = decode(once);
        expect(back).toEqual(original);
        expect(text(encode(back))).toBe(text(once));
        expect(plain(original)).toEqual(reference(text(once), 0)?.value);
      }),
      { numRuns: 1000 },
    );
  });
});

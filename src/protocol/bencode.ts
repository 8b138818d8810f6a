/**
 * Bencode (BEP 3): bytes <-> values, for metainfo, trackers and peers alike. A strict, iterative guard reads the bytes
 * first; the `bencode` package, which trusts its input, then makes the values. What a key means is not known here.
 */
// @ts-expect-error the package ships no types
import bencode from 'bencode';

const codec: { decode(bytes: Uint8Array): unknown; encode(value: unknown): Uint8Array } = bencode;

/** A decoded value. Byte strings are copies: they keep no larger buffer alive. */
export type BencodeValue = number | Uint8Array | BencodeList | BencodeDict;
export type BencodeList = readonly BencodeValue[];
/**
 * Keys are text; one that is no UTF-8 (or holds U+FFFD) is its bytes in lower-case hex, such as an infohash in a scrape.
 * A `Map`, so that no look-up sees `Object.prototype`.
 */
export type BencodeDict = ReadonlyMap<string, BencodeValue>;

/** What `encode` takes. An `undefined` field of a dictionary is left out. */
export type BencodeInput =
  | number
  | string
  | Uint8Array
  | readonly BencodeInput[]
  | ReadonlyMap<string, BencodeInput>
  | { readonly [key: string]: BencodeInput | undefined };

export interface BencodeLimits {
  /** Longest input, trailing bytes included. */
  readonly maxBytes: number;
  /** Most lists and dictionaries inside one another. The package recurses, so thousands overflow its stack. */
  readonly maxDepth: number;
  /** Most values and keys. Each costs up to about 300 bytes of memory for a moment, however short it is. */
  readonly maxTokens: number;
  /** Largest integer, of either sign. One beyond 2^53 - 1 is read, inexact, and is none for `asInteger`. */
  readonly maxInteger: number;
}

export const BENCODE_LIMITS: BencodeLimits = {
  maxBytes: 16 * 1_048_576,
  maxDepth: 100,
  maxTokens: 1_000_000,
  maxInteger: Number.MAX_SAFE_INTEGER,
};

/** Bytes `start` up to `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface DecodedPrefix {
  readonly value: BencodeValue;
  /** Bytes the value takes; what follows has not been looked at. */
  readonly consumed: number;
  /** When the value is a dictionary: where the raw bytes of each of its values are, by key. */
  readonly spans: ReadonlyMap<string, Span>;
}

/** Bytes are no canonical bencode or exceed a limit; the message names the byte offset, and the field that it lies in. */
export class BencodeError extends Error {
  override readonly name = 'BencodeError';
  /** For an integer out of range: where it is, as `info.files[3].length`, and what it is. */
  readonly integer: { readonly field: string; readonly found: string } | undefined;

  constructor(message: string, integer?: BencodeError['integer']) {
    super(message);
    this.integer = integer;
  }
}

/**
 * The one value that all of `bytes` are.
 * Integers and string lengths must be canonical and within 2^53 - 1 (integers within `maxInteger`); keys unique, in any order, and not `__proto__`.
 * @throws BencodeError
 */
export function decode(bytes: Uint8Array, limits?: Partial<BencodeLimits>): BencodeValue {
  const { value, consumed } = decodePrefix(bytes, limits);
  if (consumed < bytes.length) {
    throw new BencodeError(`expected the end of the data at byte ${consumed}, found ${foundAt(bytes, consumed)}`);
  }
  return value;
}

/**
 * The value that `bytes` begin with, where more may follow: BEP 9 appends data, some trackers a line feed.
 * @throws BencodeError
 */
export function decodePrefix(bytes: Uint8Array, limits?: Partial<BencodeLimits>): DecodedPrefix {
  const { end, spans } = new Guard(bytes, { ...BENCODE_LIMITS, ...limits }).check();
  // As a Buffer, of which the package makes one copy; of a Uint8Array it makes two.
  const value = withMaps(codec.decode(Buffer.from(bytes.buffer, bytes.byteOffset, end)));
  // The package holds on to its last input: give it a small one.
  codec.decode(EMPTY_LIST);
  return { value, consumed: end, spans };
}

/**
 * Canonical bencode.
 * @throws RangeError for a number that is no safe integer and for a key that is not ASCII: the package sorts keys by UTF-16
 * unit, which is the byte order of BEP 3 for ASCII only
 */
export function encode(value: BencodeInput): Uint8Array {
  assertEncodable(value);
  return codec.encode(value);
}

export function asInteger(value: BencodeValue | undefined): number | undefined {
  return Number.isSafeInteger(value) ? (value as number) : undefined;
}

export function asBytes(value: BencodeValue | undefined): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}

/** A byte string as UTF-8; what is no UTF-8 becomes U+FFFD. */
export function asText(value: BencodeValue | undefined): string | undefined {
  return value instanceof Uint8Array ? utf8.decode(value) : undefined;
}

export function asList(value: BencodeValue | undefined): BencodeList | undefined {
  return Array.isArray(value) ? value : undefined;
}

export function asDict(value: BencodeValue | undefined): BencodeDict | undefined {
  return value instanceof Map ? value : undefined;
}

const utf8 = new TextDecoder();
const EMPTY_LIST = new Uint8Array([0x6c, 0x65]);

const ZERO = 0x30;
const COLON = 0x3a;
const MINUS = 0x2d;
const DICT = 0x64;
const END = 0x65;
const INTEGER = 0x69;
const LIST = 0x6c;

/** One pass over untrusted bytes, without recursion and without making values. */
class Guard {
  readonly #bytes: Uint8Array;
  readonly #limits: BencodeLimits;
  /**
   * Of every open dictionary the key (`undefined` when one is due), of every open list the index of the value that is read; the
   * outermost first.
   */
  readonly #where: (string | number | undefined)[] = [];
  #at = 0;

  constructor(bytes: Uint8Array, limits: BencodeLimits) {
    if (bytes.length > limits.maxBytes) {
      throw new BencodeError(`expected at most ${limits.maxBytes} bytes, found ${bytes.length}`);
    }
    this.#bytes = bytes;
    this.#limits = limits;
  }

  /** @throws BencodeError */
  check(): { readonly end: number; readonly spans: ReadonlyMap<string, Span> } {
    const spans = new Map<string, Span>();
    /** Of every open dictionary the keys seen so far; `undefined` stands for an open list. */
    const open: (Set<string> | undefined)[] = [];
    let tokens = 0;
    let valueDue = false;
    let topKey = '';
    let topStart = 0;
    for (;;) {
      const keys = open.at(-1);
      const byte = this.#bytes[this.#at];
      const ends = open.length > 0 && !valueDue && byte === END;
      if (!ends && ++tokens > this.#limits.maxTokens) this.#fail(`at most ${tokens - 1} values and keys`, 'more');
      if (ends) {
        open.pop();
        this.#where.pop();
        this.#at++;
      } else if (keys !== undefined && !valueDue) {
        const key = this.#key(keys);
        if (open.length === 1) [topKey, topStart] = [key, this.#at];
        valueDue = true;
        continue;
      } else {
        if (open.length > 0 && keys === undefined) (this.#where[open.length - 1] as number)++;
        if (byte === DICT || byte === LIST) {
          if (open.length === this.#limits.maxDepth) this.#fail(`nesting of at most ${open.length}`, 'deeper');
          open.push(byte === DICT ? new Set() : undefined);
          this.#where.push(byte === DICT ? undefined : -1);
          this.#at++;
          valueDue = false;
          continue;
        }
        if (byte === INTEGER) this.#integer();
        else this.#string('a value');
      }
      // A value ends here.
      valueDue = false;
      if (open.length === 0) return { end: this.#at, spans };
      if (open.length === 1 && open[0] !== undefined) spans.set(topKey, { start: topStart, end: this.#at });
    }
  }

  /**
   * A key as the package will spell it. Distinct bytes can be spelt alike (a byte order mark is dropped, a byte 0xff is
   * `ff`): they count as duplicates, so that none overwrites another.
   */
  #key(keys: Set<string>): string {
    const at = this.#at;
    const innermost = this.#where.length - 1;
    this.#where[innermost] = undefined;
    const content = this.#string('a key or the end of the dictionary');
    const bytes = this.#bytes.subarray(content, this.#at);
    let key = utf8.decode(bytes);
    if (key.includes('\ufffd')) key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
    this.#where[innermost] = key;
    if (key === '__proto__') this.#fail('a key', '`__proto__`', at);
    if (keys.has(key)) this.#fail('a new key', 'one seen before', at);
    keys.add(key);
    return key;
  }

  /** @returns where the content starts; it ends where the guard then is */
  #string(expected: string): number {
    const start = this.#at;
    const length = this.#digits(expected, 'a shorter string');
    if (this.#bytes[this.#at] !== COLON) this.#fail('":"');
    const content = ++this.#at;
    const left = this.#bytes.length - content;
    if (length > left) this.#fail(`a string of ${length} bytes`, `the end of the data after ${left}`, start);
    this.#at += length;
    return content;
  }

  #integer(): void {
    const start = this.#at++;
    const negative = this.#bytes[this.#at] === MINUS;
    if (negative) this.#at++;
    const value = this.#digits('a digit', 'an integer within 2^53 - 1', start + 1);
    if (negative && value === 0) this.#fail('an integer', '"-0"', start);
    if (this.#bytes[this.#at] !== END) this.#fail('the end of the integer');
    this.#at++;
  }

  /** What an integer is called that is out of range. */
  #integerAt(start: number): BencodeError['integer'] {
    const text = Buffer.from(this.#bytes.subarray(start, start + SHOWN)).toString('latin1');
    const found = /^-?[0-9]+/.exec(text)![0];
    return { field: fieldOf(this.#where), found: found.length < SHOWN ? found : `${found}...` };
  }

  /** @param integer where the integer begins that these are the digits of; of a length they are otherwise */
  #digits(expected: string, bound: string, integer?: number): number {
    const start = this.#at;
    const max = integer === undefined ? Number.MAX_SAFE_INTEGER : this.#limits.maxInteger;
    let value = 0;
    for (; ; this.#at++) {
      const digit = (this.#bytes[this.#at] ?? 0) - ZERO;
      if (digit < 0 || digit > 9) break;
      if (value === 0 && this.#at > start) this.#fail('no leading zero', undefined, start);
      value = value * 10 + digit;
      if (value <= max) continue;
      this.#fail(bound, 'more', start, integer === undefined ? undefined : this.#integerAt(integer));
    }
    if (this.#at === start) this.#fail(expected);
    return value;
  }

  #fail(expected: string, found?: string, at = this.#at, integer?: BencodeError['integer']): never {
    const field = fieldOf(this.#where);
    const message = `expected ${expected} at byte ${at}, found ${found ?? foundAt(this.#bytes, at)}`;
    throw new BencodeError(field === '' ? message : `\`${field}\`: ${message}`, integer);
  }
}

/** Most characters shown of a number or key. */
const SHOWN = 40;
/** Most steps shown of the way to a place, from either end. */
const STEPS = 4;

/** A place in the data as one writes it; keys that are no plain words are quoted. */
function fieldOf(where: readonly (string | number | undefined)[]): string {
  if (where.length > 2 * STEPS) return `${fieldOf(where.slice(0, STEPS))}...${fieldOf(where.slice(-STEPS))}`;
  return where
    .map((step, depth) => {
      if (step === undefined) return '';
      if (typeof step === 'number') return `[${step}]`;
      const key = step.length <= SHOWN && /^[\w .-]+$/.test(step) ? step : JSON.stringify(step.slice(0, SHOWN));
      return depth === 0 ? key : `.${key}`;
    })
    .join('');
}

function foundAt(bytes: Uint8Array, at: number): string {
  const byte = bytes[at];
  if (byte === undefined) return 'the end of the data';
  return byte > 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}"` : `0x${byte.toString(16).padStart(2, '0')}`;
}

/** The package's plain objects as maps. Recursion is bounded by `maxDepth`. */
function withMaps(value: unknown): BencodeValue {
  if (typeof value === 'number' || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = withMaps(value[i]);
    return value;
  }
  const dict = new Map<string, BencodeValue>();
  const fields = value as Record<string, unknown>;
  for (const key of Object.keys(fields)) dict.set(key, withMaps(fields[key]));
  return dict;
}

function assertEncodable(value: BencodeInput | undefined): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`expected a safe integer to encode, found ${value}`);
  } else if (typeof value === 'object' && !(value instanceof Uint8Array)) {
    if (isArray(value)) return value.forEach(assertEncodable);
    for (const [key, field] of value instanceof Map ? value : Object.entries(value)) {
      if (!ASCII.test(key)) throw new RangeError(`expected an ASCII key to encode, found ${JSON.stringify(key)}`);
      assertEncodable(field);
    }
  }
}

const ASCII = /^[\0-\x7f]*$/;

/** `Array.isArray` for read-only arrays. */
function isArray(value: unknown): value is readonly BencodeInput[] {
  return Array.isArray(value);
}

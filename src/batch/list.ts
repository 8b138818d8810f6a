/**
 * The text of a list -> entries. A line is a source, blank, a `#` comment, or a JSON object with `source` and, as wanted, `id`,
 * `out`, `select` and `max_down`. Bytes come in any portions; a bad line costs its own error and no other line. Pure.
 */
import { messageOf, SpateError } from '../errors.js';
import { parseFileRanges } from '../storage/selection.js';
import { shortened } from '../text.js';
import { parseRateLimit } from '../units.js';
import type { Entry, Place, Refused } from './entry.js';

export const LIST_LIMITS = {
  /** Bytes; whatever the fields below may hold fits, escaped in the worst way. */
  line: 262_144,
  /** Characters. */
  source: 16_384,
  id: 256,
  out: 4_096,
  select: 65_536,
} as const;

/** Shown of a line that is refused, in characters. */
const SHOWN = 200;
const NEWLINE = 0x0a;
const KEYS = ['source', 'id', 'out', 'select', 'max_down'] as const;

type Key = (typeof KEYS)[number];

export class ListParser {
  readonly #file: string;
  #line = 0;
  /** Of the line that is not at its end yet. */
  #parts: Uint8Array[] = [];
  #length = 0;
  #isTooLong = false;
  #isOver = false;

  /** @param file what the list is called in errors */
  constructor(file: string) {
    this.#file = file;
  }

  /** It is no text at all: nothing more comes of it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** @param bytes the next of the list; they are copied where they are kept */
  push(bytes: Uint8Array): (Entry | Refused)[] {
    const found: (Entry | Refused)[] = [];
    for (let start = 0; !this.#isOver; ) {
      const end = bytes.indexOf(NEWLINE, start);
      this.#keep(bytes, start, end < 0 ? bytes.length : end, end < 0);
      if (end < 0) break;
      this.#endLine(found);
      start = end + 1;
    }
    return found;
  }

  /** What a last line without an end holds. */
  end(): (Entry | Refused)[] {
    const found: (Entry | Refused)[] = [];
    if (!this.#isOver && this.#length > 0) this.#endLine(found);
    return found;
  }

  #keep(bytes: Uint8Array, start: number, end: number, forLater: boolean): void {
    if (this.#isTooLong || end === start) return;
    this.#length += end - start;
    const part = bytes.subarray(start, end);
    this.#parts.push(forLater ? Buffer.from(part) : part);
    if (this.#length <= LIST_LIMITS.line) return;
    this.#isTooLong = true;
    // Enough to be shown.
    this.#parts = [Buffer.from(this.#parts[0]!.subarray(0, 4 * SHOWN))];
  }

  #endLine(found: (Entry | Refused)[]): void {
    const [first = NONE, ...others] = this.#parts;
    const bytes = others.length === 0 ? first : Buffer.concat(this.#parts);
    const isTooLong = this.#isTooLong;
    this.#parts = [];
    this.#length = 0;
    this.#isTooLong = false;
    const place = { file: this.#file, line: ++this.#line };
    if (this.#line === 1 && bytes.includes(0)) this.#isOver = true;
    try {
      if (isTooLong) throw invalid(`expected a line of at most ${LIST_LIMITS.line} bytes, found more`);
      const entry = entryOf(textOf(bytes, this.#line === 1), place);
      if (entry !== undefined) found.push(entry);
    } catch (error) {
      if (!(error instanceof SpateError)) throw error;
      found.push({ place, source: shortened(lossy.decode(bytes.subarray(0, 4 * SHOWN)), SHOWN), error });
    }
  }
}

/** All that a list holds. @param file what it is called in errors */
export function parseList(bytes: Uint8Array, file: string): (Entry | Refused)[] {
  const parser = new ListParser(file);
  return [...parser.push(bytes), ...parser.end()];
}

const NONE = new Uint8Array(0);
const lossy = new TextDecoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array, isFirst: boolean): string {
  if (bytes.includes(0)) {
    const isUtf16 = isFirst && (bytes[0] ?? 0) >= 0xfe && (bytes[1] ?? 0) >= 0xfe;
    throw invalid(`expected text in UTF-8, found a NUL byte${isUtf16 ? '; it looks like UTF-16' : ''}`);
  }
  let text: string;
  try {
    text = strict.decode(bytes);
  } catch (error) {
    throw new SpateError('INVALID_TORRENT', 'expected text in UTF-8, found other bytes', { cause: error });
  }
  return isFirst && text.startsWith('\ufeff') ? text.slice(1) : text;
}

/** @returns `undefined` for a line that says nothing */
function entryOf(line: string, place: Place): Entry | undefined {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return undefined;
  if (text.startsWith('{')) return jsonEntry(text, place);
  // In the lists of aria2 such a line belongs to the one before: to take it for a file would tell nobody why it is not there.
  if (/^\s+[a-z][a-z-]*=/.test(line)) {
    throw invalid('expected a torrent, found an indented option; options go into a JSON line with the torrent');
  }
  return { place, source: bounded('a source', text, LIST_LIMITS.source) };
}

function jsonEntry(text: string, place: Place): Entry {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(text);
  } catch (error) {
    throw new SpateError('INVALID_TORRENT', `expected a JSON object on one line: ${messageOf(error)}`, {
      cause: error,
    });
  }
  for (const key of Object.keys(fields)) {
    if (KEYS.includes(key as Key)) continue;
    throw invalid(`expected no keys but ${KEYS.join(', ')}, found ${shortened(JSON.stringify(key), SHOWN)}`);
  }
  const source = stringIn(fields, 'source') ?? fail('source', 'a path', undefined);
  const [id, out] = [stringIn(fields, 'id'), stringIn(fields, 'out')];
  const select = stringIn(fields, 'select');
  const maxDown = rateIn(fields, 'max_down');
  return {
    place,
    source,
    ...(id !== undefined && { id }),
    ...(out !== undefined && { out }),
    ...(select !== undefined && { select: named('select', () => parseFileRanges(select)) }),
    ...(maxDown !== undefined && { maxDown }),
  };
}

function stringIn(fields: Record<string, unknown>, key: Exclude<Key, 'max_down'>): string | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'string') return fail(key, 'a string', value);
  return bounded(`\`${key}\``, value, LIST_LIMITS[key]);
}

/** Bytes per second; `undefined` for no limit. */
function rateIn(fields: Record<string, unknown>, key: 'max_down'): number | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  const rate = typeof value === 'string' ? named(key, () => parseRateLimit(value)) : value;
  if (rate === 0 || (rate === Number.POSITIVE_INFINITY && typeof value === 'string')) return undefined;
  if (Number.isSafeInteger(rate) && (rate as number) > 0) return rate as number;
  return fail(key, 'bytes per second such as 500000 or "10MiB"', value);
}

function bounded(what: string, text: string, most: number): string {
  if (text === '') throw invalid(`${what}: expected text, found none`);
  if (text.length > most) throw invalid(`${what}: expected at most ${most} characters, found ${text.length}`);
  if (text.includes('\0')) throw invalid(`${what}: expected a text without NUL`);
  return text;
}

/** What a parser of flags says, as an error of the list. */
function named<T>(key: Key, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SpateError)) throw error;
    throw new SpateError('INVALID_TORRENT', `\`${key}\`: ${shortened(messageOf(error), SHOWN)}`, { cause: error });
  }
}

function fail(key: Key, expected: string, found: unknown): never {
  const text = found === undefined ? 'nothing' : shortened(JSON.stringify(found), SHOWN);
  throw invalid(`\`${key}\`: expected ${expected}, found ${text}`);
}

function invalid(message: string): SpateError {
  return new SpateError('INVALID_TORRENT', message);
}

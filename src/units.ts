/** Sizes, rates and durations as people write and read them: text <-> bytes, bytes per second, milliseconds. Pure. */
import { SpateError } from './errors.js';

const PREFIXES = 'KMGT';

/**
 * Bytes: a bare number, `K M G T` or `KiB` (powers of 1024), `kB MB` (powers of 1000).
 * @throws SpateError USAGE naming what was expected and found
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])?(i?B|ib)?)$/i.exec(text.trim());
  // `Mb` is read as megabytes by some and as megabits by others.
  if (match === null || match[3] === 'b') {
    throw new SpateError('USAGE', `expected a size such as 256MiB, 1G or 500000, got "${text}"`);
  }
  return scaled(text, match[1]!, match[2], match[3] === 'B' ? 1000 : 1024);
}

/** A size, where `0` and `none` mean no limit: `Infinity`. @throws SpateError USAGE */
export function parseSizeLimit(text: string): number {
  return isNone(text) ? Number.POSITIVE_INFINITY : parseSize(text) || Number.POSITIVE_INFINITY;
}

/**
 * Bytes per second: a size, with or without `/s`, or `kbit Mbit Gbit`; `0` and `none` mean no limit: `Infinity`.
 * @throws SpateError USAGE
 */
export function parseRateLimit(text: string): number {
  const plain = text.trim().replace(/(?:\/s|ps)$/, '');
  const bits = /^(\d+(?:\.\d+)?)\s*([kmgt])?bit$/i.exec(plain);
  if (bits === null) return parseSizeLimit(plain);
  return Math.floor(scaled(text, bits[1]!, bits[2], 1000) / 8) || Number.POSITIVE_INFINITY;
}

const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Milliseconds: `500ms`, `30s`, `2m`, `1h`, `1d`; a bare number is seconds, `none` is 0.
 * @throws SpateError USAGE
 */
export function parseDuration(text: string): number {
  if (isNone(text)) return 0;
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text.trim());
  if (match === null) throw new SpateError('USAGE', `expected a duration such as 30s, 2m or 500ms, got "${text}"`);
  return Math.round(Number(match[1]) * MS[(match[2] ?? 's') as keyof typeof MS]);
}

/** `512 B`, `1.2 KiB`, `118 MiB`. */
export function formatBytes(bytes: number): string {
  const unit = unitOf(bytes);
  return `${inUnit(bytes, unit)} ${unit.name}`;
}

/** `1.2/2.9 GiB`: both in the unit of the second. */
export function formatPart(part: number, whole: number): string {
  const unit = unitOf(whole);
  return `${inUnit(part, unit)}/${inUnit(whole, unit)} ${unit.name}`;
}

/** `118 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** `118 MiB/s down 2.1 up`: the unit is said once when both have it. */
export function formatRates(down: number, up: number): string {
  const first = formatRate(down);
  const [value, unit] = formatRate(up).split(' ') as [string, string];
  return `${first} down ${value === '0' || first.endsWith(` ${unit}`) ? value : `${value} ${unit}`} up`;
}

/** `0.42 s`, `25.1 s`, `3 m 05 s`, `2 h 10 m`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 119.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 7200) return `${Math.floor(whole / 60)} m ${padded(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${padded(Math.floor(whole / 60) % 60)} m`;
}

/** `00:14`, `1:02:03`, `2d 03h`; `--:--` for no end in sight. */
export function formatEta(seconds: number): string {
  if (!(seconds < 100 * 86_400)) return '--:--';
  const whole = Math.ceil(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  if (hours >= 48) return `${Math.floor(hours / 24)}d ${padded(hours % 24)}h`;
  const clock = `${padded(minutes)}:${padded(whole % 60)}`;
  return hours > 0 ? `${hours}:${clock}` : clock;
}

/** `42%`: never 100 before it is all there. */
export function formatPercent(part: number, whole: number): string {
  return `${whole === 0 ? 100 : Math.floor((part / whole) * 100)}%`;
}

function isNone(text: string): boolean {
  return /^\s*none\s*$/i.test(text);
}

function scaled(text: string, digits: string, prefix: string | undefined, base: number): number {
  const power = prefix === undefined ? 0 : PREFIXES.indexOf(prefix.toUpperCase()) + 1;
  const value = Math.round(Number(digits) * base ** power);
  if (!Number.isSafeInteger(value)) throw new SpateError('USAGE', `expected at most 2^53 - 1 bytes, got "${text}"`);
  return value;
}

interface Unit {
  readonly name: string;
  readonly bytes: number;
}

const UNITS: readonly Unit[] = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'].map((name, power) => ({
  name,
  bytes: 1024 ** power,
}));

/** The unit in which the value, as it is printed, stays under 1024. */
function unitOf(bytes: number): Unit {
  return UNITS.find((unit) => Math.round(bytes / unit.bytes) < 1024) ?? UNITS.at(-1)!;
}

/** One decimal below 100, none above; bytes are whole. */
function inUnit(bytes: number, unit: Unit): string {
  const value = bytes / unit.bytes;
  return value.toFixed(bytes === 0 || unit.bytes === 1 || value >= 99.95 ? 0 : 1);
}

const padded = (value: number): string => String(value).padStart(2, '0');

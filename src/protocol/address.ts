/**
 * Peer addresses, family-neutral: their text and their compact bytes (BEP 23 for IPv4, BEP 7 for IPv6). `host` is an IP literal
 * in one canonical form (IPv4 dotted, IPv6 lower-case RFC 5952), so that two addresses are the same peer exactly when their keys
 * are equal. Pure; looks up no names: they are resolved before they become a `PeerAddress`.
 */
import { isIP } from 'node:net';
import { SpateError } from '../errors.js';

export interface PeerAddress {
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

/** Where to find something: as `PeerAddress`, but `host` may be a name that has not been looked up. */
export interface HostPort {
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

export type Family = 4 | 6;

/** Bytes of one compact entry: the IP address, then the port, both in network order. */
export const COMPACT_LENGTH = { 4: 6, 6: 18 } as const;

const PORT_LENGTH = 2;

/** Whether a number can be a peer's port; 0 cannot be dialled. */
export function isPort(port: unknown): port is number {
  return Number.isInteger(port) && (port as number) > 0 && (port as number) < 65_536;
}

/**
 * The one spelling of an IP literal: `::FFFF:102:304` becomes `1.2.3.4`, since both reach the same peer, and `0:0::1` becomes
 * `::1`. A zone (`fe80::1%eth0`) is kept: without it a link-local address reaches nobody.
 * @returns `undefined` when the text is no IP literal
 */
export function canonicalIp(text: string): string | undefined {
  const family = isIP(text);
  if (family === 4) return text;
  if (family !== 6) return undefined;
  const [literal, zone] = text.split('%', 2) as [string, string | undefined];
  const host = groupsText(ipv6Groups(literal));
  return zone === undefined || host.includes('.') ? host : `${host}%${zone}`;
}

/** The family of a canonical host. */
export function familyOf(host: string): Family {
  return host.includes(':') ? 6 : 4;
}

/** Whether a canonical host is one host at all: not unspecified, multicast or the broadcast address. */
export function isUnicast(host: string): boolean {
  if (familyOf(host) === 6) return host !== '::' && !host.startsWith('ff');
  const first = Number.parseInt(host, 10);
  return first > 0 && (first < 224 || first > 239) && host !== '255.255.255.255';
}

/** Whether a canonical host is this machine, as itself sees it. */
export function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

/** `1.2.3.4:80` or `[::1]:80`. */
export function formatAddress({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What identifies an address in a set or map; printable. */
export const addressKey: (address: PeerAddress) => string = formatAddress;

/**
 * Reads `HOST:PORT`; the host is an IPv4 address, an IPv6 address in brackets or a name, and comes back canonical.
 * @throws SpateError `USAGE` naming what was expected and found
 */
export function parseHostPort(text: string): HostPort {
  const fail = (why: string): SpateError =>
    new SpateError('USAGE', `expected HOST:PORT such as 192.0.2.1:6881 or [2001:db8::1]:6881, got "${text}": ${why}`);
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text);
  if (match === null) throw fail(unmatched(text));
  const [, bracketed, plain, digits] = match;
  const port = Number(digits);
  if (!isPort(port)) throw fail('a port is 1 to 65535');
  if (bracketed !== undefined) {
    if (isIP(bracketed) !== 6) throw fail(`"${bracketed}" is no IPv6 address`);
    return { host: canonicalIp(bracketed)!, port };
  }
  const host = plain!.toLowerCase();
  if (isIP(host) !== 4 && !isName(host)) throw fail(`"${host}" is neither an IP address nor a host name`);
  return { host, port };
}

/** Why a text has not even the shape of `HOST:PORT`. */
function unmatched(text: string): string {
  if (isIP(text) === 6) return 'put brackets around the IPv6 address and add a port';
  if (!text.includes(':')) return 'the port is missing';
  return /:\d{1,5}$/.test(text) ? 'an IPv6 address needs brackets' : 'a port is 1 to 65535';
}

/**
 * Whether a text may be looked up as a host name. A last label of digits alone is a mistyped IPv4 address.
 * @param text lower case or not; internationalised names are accepted as they are
 */
export function isName(text: string): boolean {
  return text.length <= 253 && /^[^\s\p{C}:/\\?#@%[\]"'<>]+$/u.test(text) && !/^\.|\.\.|(?:^|\.)\d+\.?$/.test(text);
}

/**
 * The compact form of the addresses of one family; those of the other are left out, and so are zones.
 * @returns 6 (IPv4) or 18 (IPv6) bytes each, in order
 */
export function encodeCompact(addresses: readonly PeerAddress[], family: Family): Uint8Array {
  const ours = addresses.filter(({ host }) => familyOf(host) === family);
  const stride = COMPACT_LENGTH[family];
  const bytes = new Uint8Array(ours.length * stride);
  for (const [index, { host, port }] of ours.entries()) {
    bytes.set(ipBytes(host), index * stride);
    bytes[(index + 1) * stride - 2] = port >>> 8;
    bytes[(index + 1) * stride - 1] = port & 0xff;
  }
  return bytes;
}

/**
 * The addresses in a compact list. Entries with port 0 are dropped, a trailing partial entry is ignored: both occur in answers
 * that are otherwise good.
 * @param limit most entries to read
 */
export function decodeCompact(bytes: Uint8Array, family: Family, limit = Number.POSITIVE_INFINITY): PeerAddress[] {
  const stride = COMPACT_LENGTH[family];
  const count = Math.min(Math.floor(bytes.length / stride), limit);
  const addresses: PeerAddress[] = [];
  for (let index = 0; index < count; index++) {
    const entry = bytes.subarray(index * stride, (index + 1) * stride);
    const port = (entry[stride - 2]! << 8) | entry[stride - 1]!;
    if (port !== 0) addresses.push({ host: ipText(entry.subarray(0, stride - PORT_LENGTH)), port });
  }
  return addresses;
}

/**
 * The canonical text of an address in network order.
 * @param bytes 4 or 16 bytes
 */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((bytes[i]! << 8) | bytes[i + 1]!);
  return groupsText(groups);
}

/**
 * The 4 or 16 bytes of an address in network order.
 * @param host canonical; a zone is dropped
 */
export function ipBytes(host: string): Uint8Array {
  if (familyOf(host) === 4) return Uint8Array.from(host.split('.'), Number);
  return Uint8Array.from(ipv6Groups(host.split('%', 1)[0]!).flatMap((group) => [group >>> 8, group & 0xff]));
}

/**
 * The eight 16-bit groups of an IPv6 literal.
 * @param literal valid, without zone
 */
function ipv6Groups(literal: string): number[] {
  const halves = literal.split('::', 2).map((half) => (half === '' ? [] : half.split(':').flatMap(group)));
  const [head, tail] = halves as [number[], number[] | undefined];
  if (tail === undefined) return head;
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** One part between colons: a hexadecimal group, or the two groups of an embedded IPv4 address. */
function group(part: string): number[] {
  if (!part.includes('.')) return [Number.parseInt(part, 16)];
  const [a, b, c, d] = part.split('.').map(Number) as [number, number, number, number];
  return [(a << 8) | b, (c << 8) | d];
}

/** RFC 5952: lower case, no leading zeros, `::` for the first of the longest runs of at least two zero groups. */
function groupsText(groups: readonly number[]): string {
  if (groups[5] === 0xffff && groups.slice(0, 5).every((value) => value === 0)) {
    const [high, low] = [groups[6]!, groups[7]!];
    return `${high >>> 8}.${high & 0xff}.${low >>> 8}.${low & 0xff}`;
  }
  let start = 0;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  const hex = groups.map((value) => value.toString(16));
  if (length < 2) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}

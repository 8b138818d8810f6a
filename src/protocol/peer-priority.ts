/**
 * Canonical peer priority (BEP 40): a number that both ends of a connection compute alike and nobody can choose. Clients that
 * are full keep the connections of the highest numbers, so that a swarm stays connected at random, whoever came first. Pure.
 */
import { COMPACT_LENGTH, familyOf, ipBytes, type PeerAddress } from './address.js';

/** Bytes at the front of an address that are never masked: a /16 of IPv4, a /48 of IPv6. */
const UNMASKED = { 4: 2, 6: 6 } as const;
const MASK = 0x55;
/** CRC32-C (Castagnoli), bits reflected. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ POLYNOMIAL : rest >>> 1;
  return rest;
});

/** CRC32-C (RFC 3720), as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * The priority of the connection between two peers, 0 to 2^32 - 1; the same whichever is named first.
 * @returns `undefined` for addresses of two families
 */
export function peerPriority(a: PeerAddress, b: PeerAddress): number | undefined {
  const family = familyOf(a.host);
  if (family !== familyOf(b.host)) return undefined;
  const [one, other] = [ipBytes(a.host), ipBytes(b.host)];
  let common = 0;
  while (common < one.length && one[common] === other[common]) common++;
  if (common === one.length) return ofPorts(a.port, b.port);
  // Who shares a prefix is told apart by the byte after it: that one is not masked either.
  const kept = Math.max(UNMASKED[family], common + 1);
  const pair = new Uint8Array(2 * (COMPACT_LENGTH[family] - 2));
  const [first, second] = one[common]! < other[common]! ? [one, other] : [other, one];
  pair.set(first);
  pair.set(second, first.length);
  for (let i = kept; i < first.length; i++) {
    pair[i]! &= MASK;
    pair[first.length + i]! &= MASK;
  }
  return crc32c(pair);
}

function ofPorts(a: number, b: number): number {
  const [low, high] = a < b ? [a, b] : [b, a];
  return crc32c(Uint8Array.of(low >>> 8, low & 0xff, high >>> 8, high & 0xff));
}

/**
 * The allowed fast set (BEP 6): pieces a choked peer may ask for all the same, derived from its address so that it gets the
 * same ones each time it connects. We compute the set we grant; the one a peer grants us is what it sends. Pure.
 */
import { createHash } from 'node:crypto';

/** Pieces granted: BEP 6 suggests 10. */
export const FAST_SET_SIZE = 10;

/**
 * @param address the peer's IPv4 address; BEP 6 defines the set for IPv4 only
 * @returns up to `size` different piece indices, fewer when the torrent has fewer
 */
export function fastSet(infohash: Uint8Array, address: string, pieceCount: number, size = FAST_SET_SIZE): number[] {
  const octets = address.split('.').map(Number);
  if (octets.length !== 4) return [];
  const pieces = new Set<number>();
  let x: Uint8Array = Uint8Array.of(octets[0]!, octets[1]!, octets[2]!, 0, ...infohash);
  const wanted = Math.min(size, pieceCount);
  while (pieces.size < wanted) {
    const digest = createHash('sha1').update(x).digest();
    for (let at = 0; at < 20 && pieces.size < wanted; at += 4) pieces.add(digest.readUInt32BE(at) % pieceCount);
    x = digest;
  }
  return [...pieces];
}

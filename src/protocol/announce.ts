/**
 * What a client tells a tracker and hears from it (BEP 3), the same over HTTP and UDP, and the one error of both codecs.
 * Only the shapes: the bytes are in `tracker-http.ts` and `tracker-udp.ts`. Pure.
 */
import type { HostPort, PeerAddress } from './address.js';

/** `paused` is a partial seed's, BEP 21: it wants nothing and does not have all. */
export type AnnounceEvent = 'started' | 'completed' | 'stopped' | 'paused';

export interface AnnounceRequest {
  /** 20 bytes. */
  readonly infohash: Uint8Array;
  /** 20 bytes. */
  readonly peerId: Uint8Array;
  /** Where peers reach the client. */
  readonly port: number;
  /** Bytes. */
  readonly uploaded: number;
  /** Bytes. */
  readonly downloaded: number;
  /** Bytes still to download; 0 makes the client a seed. */
  readonly left: number;
  /** Peers wanted. */
  readonly numwant: number;
  /** Unsigned 32-bit number that tells the tracker it is still us when our address changes. */
  readonly key: number;
  /** Nothing for a periodic announce. */
  readonly event?: AnnounceEvent | undefined;
  /** What the tracker's last answer named `tracker id`. HTTP only. */
  readonly trackerId?: Uint8Array | undefined;
}

export interface AnnounceAnswer {
  readonly peers: readonly PeerAddress[];
  /** Peers known by host name; whoever wants them looks them up. */
  readonly names: readonly HostPort[];
  readonly intervalMs: number | undefined;
  readonly minIntervalMs: number | undefined;
  readonly trackerId: Uint8Array | undefined;
  readonly seeders: number | undefined;
  readonly leechers: number | undefined;
  /** One printable line. */
  readonly warning: string | undefined;
}

/** A tracker that did not answer, refused, or answered what no tracker should; the message is one printable line. */
export class TrackerError extends Error {
  override readonly name = 'TrackerError';
}

/** Most peers taken from one list of an answer: far above any `numwant` that trackers honour. */
export const MAX_PEERS = 1000;

const MAX_TEXT = 200;

/**
 * Text from a tracker as one line that is safe to print: no control, format or bidi characters, at most 200 characters.
 * @param text bytes are read as UTF-8
 */
export function printable(text: Uint8Array | string): string {
  const decoded = typeof text === 'string' ? text : new TextDecoder().decode(text.subarray(0, MAX_TEXT * 4));
  const line = decoded.replaceAll(/[\s\p{C}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT).trimEnd()}…` : line;
}

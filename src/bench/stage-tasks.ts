/** The stages that run on threads: the Piscina entries of `stages.ts`. */
import { hash } from 'node:crypto';
import type { PeerAddress } from '../protocol/address.js';
import type { WireSink } from '../protocol/wire.js';
import { Pattern } from '../swarm/pattern.js';
import { leech } from '../swarm/pattern-leecher.js';
import type { PatternTorrent } from '../swarm/pattern-server.js';

export interface HashTask {
  readonly seed: string;
  readonly pieceLength: number;
  readonly bytes: number;
}

export interface NetTask {
  readonly seed: string;
  readonly pieceLength: number;
  readonly peers: readonly PeerAddress[];
  readonly torrent: PatternTorrent;
}

export function warm(): void {}

/** SHA-1 piece by piece, as a group hashes. @returns bytes hashed */
export function hashPieces({ pieceLength, bytes }: HashTask): number {
  const piece = new Uint8Array(pieceLength).fill(1);
  let done = 0;
  for (; done < bytes; done += pieceLength) hash('sha1', piece, 'buffer');
  return done;
}

/** Receives and parses, nothing else. @returns bytes received */
export async function fetch({ seed, pieceLength, peers, torrent }: NetTask): Promise<number> {
  return await leech({ peers, torrent, pattern: new Pattern(seed, pieceLength), compare: false });
}

const nothing = (): void => {};

/** Hears everything, does nothing. */
export const silentSink: WireSink = {
  onKeepAlive: nothing,
  onChoke: nothing,
  onUnchoke: nothing,
  onInterested: nothing,
  onNotInterested: nothing,
  onHave: nothing,
  onBitfield: nothing,
  onRequest: nothing,
  onCancel: nothing,
  onBlockStart: nothing,
  onBlockChunk: nothing,
  onBlockEnd: nothing,
  onPort: nothing,
  onSuggest: nothing,
  onHaveAll: nothing,
  onHaveNone: nothing,
  onReject: nothing,
  onAllowedFast: nothing,
  onExtended: nothing,
  onUnknown: nothing,
};

/** When a download gives up on its swarm, and what it says then. Pure. */
import { SpateError } from './errors.js';
import type { Options } from './options.js';

export interface Prospects {
  /** Whether any peer ever connected. */
  readonly everConnected: boolean;
  /** Since the swarm was joined. */
  readonly activeMs: number;
  /** Since a byte came, or the swarm was joined. */
  readonly idleMs: number;
  /** Nobody is connected, dialled or waiting to be, and nobody will tell of others. */
  readonly hopeless: boolean;
  /** Whether there is a tracker. */
  readonly announces: boolean;
  readonly knownPeers: number;
  /** The latest failure of a tracker, in words. */
  readonly trackerError: string | undefined;
  /** Whether a piece has failed its hash. */
  readonly sawCorruption: boolean;
  readonly options: Pick<Options, 'peerTimeoutMs' | 'stallTimeoutMs'>;
}

/** @returns UNAVAILABLE when no peer ever connected, BAD_DATA or STALLED when there were some; `undefined` to go on waiting */
export function outOfPatience(prospects: Prospects): SpateError | undefined {
  const { everConnected, activeMs, idleMs, hopeless, sawCorruption, options } = prospects;
  if (!everConnected) return hopeless || isOver(activeMs, options.peerTimeoutMs) ? noPeers(prospects) : undefined;
  if (!hopeless && !isOver(idleMs, options.stallTimeoutMs)) return undefined;
  const why = sawCorruption ? 'every peer left sent bad data' : 'no peer gives what is missing';
  return new SpateError(sawCorruption ? 'BAD_DATA' : 'STALLED', `${seconds(idleMs)} without a byte: ${why}`);
}

/** @param limitMs 0 waits for ever */
const isOver = (waitedMs: number, limitMs: number): boolean => limitMs > 0 && waitedMs >= limitMs;

function noPeers({ activeMs, announces, knownPeers, trackerError }: Prospects): SpateError {
  const tried = knownPeers > 0 ? `none of ${knownPeers} peers could be reached` : 'no peer is known';
  const tracker = trackerError === undefined ? '' : `; tracker ${trackerError}`;
  const none = announces || knownPeers > 0 ? '' : '; the torrent names no tracker, add --tracker or --peer';
  return new SpateError('UNAVAILABLE', `${tried} after ${seconds(activeMs)}${tracker}${none}`);
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;

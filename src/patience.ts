/** When a download gives up on its swarm, and what it says then. Pure; times are passed in. */
import { SpateError } from './errors.js';
import type { Options } from './options.js';

export interface Prospects {
  /** Whether any peer ever connected. */
  readonly everConnected: boolean;
  /** Nobody is connected, dialled or waiting to be, and nobody will tell of others. */
  readonly hopeless: boolean;
  /** Whether there is a tracker. */
  readonly announces: boolean;
  readonly knownPeers: number;
  /** Its first announce waits for its turn among those of other torrents, and nobody else could tell of peers. */
  readonly isQueued: boolean;
  /** The latest failure of a tracker, in words. */
  readonly trackerError: string | undefined;
  /** Whether a piece has failed its hash. */
  readonly sawCorruption: boolean;
  /** Pieces wait for the disk: if nothing comes meanwhile, that is not for want of peers. */
  readonly isWriting: boolean;
}

type PatienceOptions = Pick<Options, 'peerTimeoutMs' | 'stallTimeoutMs' | 'haveBatchMs' | 'quietPeerMs'>;

/** Intervals between ticks that one tick counts for at most. */
const MAX_TICKS = 2;

/**
 * Counts by ticks: while the process is stopped or starved it hears nothing, and that says nothing about the swarm.
 */
export class Patience {
  readonly #options: PatienceOptions;
  /** Since the swarm was joined, or a tracker asked. */
  #activeMs = 0;
  /** Since a byte came, or the first peer. */
  #idleMs = 0;
  #tickedAt: number;
  #everConnected = false;

  /** @param options `haveBatchMs` is the time between two ticks */
  constructor(options: PatienceOptions, now: number) {
    this.#options = options;
    this.#tickedAt = now;
  }

  /** Nobody gives anything, for as long as makes one peer a quiet one: other peers are wanted. */
  get isStarving(): boolean {
    return this.#idleMs >= this.#options.quietPeerMs;
  }

  /** A byte has come. */
  onProgress(): void {
    this.#idleMs = 0;
  }

  /** @returns UNAVAILABLE when no peer ever connected, BAD_DATA or STALLED when there were some; `undefined` to go on waiting */
  onTick(prospects: Prospects, now: number): SpateError | undefined {
    const { peerTimeoutMs, stallTimeoutMs, haveBatchMs } = this.#options;
    const waited = Math.min(now - this.#tickedAt, MAX_TICKS * Math.max(1, haveBatchMs));
    this.#tickedAt = now;
    const { everConnected, hopeless, isQueued, sawCorruption, isWriting } = prospects;
    if (!isQueued) this.#activeMs += waited;
    this.#idleMs = isWriting ? 0 : this.#idleMs + waited;
    if (!everConnected) {
      return hopeless || isOver(this.#activeMs, peerTimeoutMs) ? noPeers(prospects, this.#activeMs) : undefined;
    }
    // Who has only just come cannot have given anything.
    if (!this.#everConnected) this.#idleMs = 0;
    this.#everConnected = true;
    if (isWriting || (!hopeless && !isOver(this.#idleMs, stallTimeoutMs))) return undefined;
    const why = sawCorruption ? 'every peer left sent bad data' : 'no peer gives what is missing';
    return new SpateError(sawCorruption ? 'BAD_DATA' : 'STALLED', `${seconds(this.#idleMs)} without a byte: ${why}`);
  }
}

/** @param limitMs 0 waits for ever */
const isOver = (waitedMs: number, limitMs: number): boolean => limitMs > 0 && waitedMs >= limitMs;

function noPeers({ announces, knownPeers, trackerError }: Prospects, activeMs: number): SpateError {
  const tried = knownPeers > 0 ? `none of ${knownPeers} peers could be reached` : 'no peer is known';
  const tracker = trackerError === undefined ? '' : `; tracker ${trackerError}`;
  const none = announces || knownPeers > 0 ? '' : '; the torrent names no tracker, add --tracker or --peer';
  return new SpateError('UNAVAILABLE', `${tried} after ${seconds(activeMs)}${tracker}${none}`);
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;

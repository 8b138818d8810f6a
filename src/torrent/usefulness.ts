/**
 * Which peers of one torrent in one group have been of no use for a while, and so may make room for others. Pure; times are
 * passed in. It is asked every few seconds, and again when main has chosen one of them: much may happen in between.
 *
 * | a peer is | when |
 * | --- | --- |
 * | in use | payload moved a moment ago, or one side has just been allowed to ask and made use of it before, or it waits for its turn at a seed |
 * | quiet | it is not in use; only a better peer may take its place |
 * | useless | no payload for long, or neither side has wanted anything for a while; any peer may take its place |
 */
import type { Options } from '../options.js';

/** One peer, as `PeerSession` knows it. */
export interface UsedPeer {
  readonly peer: number;
  /** Payload so far, both directions. */
  readonly bytes: number;
  /** ms */
  readonly connectedAt: number;
  readonly amInterested: boolean;
  readonly peerChoking: boolean;
  /** It wants data, and is not just saying so. */
  readonly peerInterested: boolean;
  readonly amChoking: boolean;
}

export type Usefulness = 'used' | 'quiet' | 'useless';

interface Mark {
  bytes: number;
  /** The peer may be asked by us, we by the peer. */
  canAsk: boolean;
  canBeAsked: boolean;
  /** `bytes` when one of the two last came to be allowed; -1 before. */
  bytesThen: number;
  /** ms: payload moved, or could have from then on. */
  usedAt: number;
  /** ms: one of the two wanted something. */
  wantedAt: number;
}

type UsefulnessOptions = Pick<Options, 'quietPeerMs' | 'unwantedPeerMs' | 'idlePeerMs'>;

export class UsefulnessWatch {
  readonly #options: UsefulnessOptions;
  #marks = new Map<number, Mark>();

  constructor(options: UsefulnessOptions) {
    this.#options = options;
  }

  /**
   * Looks at a torrent's peers; who is not among them is forgotten.
   * @param seeding whether we need nothing ourselves
   * @returns the peers that are not in use
   */
  survey(peers: Iterable<UsedPeer>, seeding: boolean, now: number): { quiet: number[]; useless: number[] } {
    const before = this.#marks;
    this.#marks = new Map();
    const found = { quiet: [] as number[], useless: [] as number[] };
    for (const peer of peers) {
      const mark = before.get(peer.peer);
      if (mark !== undefined) this.#marks.set(peer.peer, mark);
      const usefulness = this.look(peer, seeding, now);
      if (usefulness !== 'used') found[usefulness].push(peer.peer);
    }
    return found;
  }

  /** Looks at one peer. */
  look(peer: UsedPeer, seeding: boolean, now: number): Usefulness {
    const mark = this.#update(peer, now);
    // Whose turn has not come is idle by our choice: a seed has nothing else to judge it by.
    if (seeding && peer.peerInterested && peer.amChoking) return 'used';
    const idleMs = now - mark.usedAt;
    const { quietPeerMs, unwantedPeerMs, idlePeerMs } = this.#options;
    if (idleMs >= idlePeerMs || Math.min(idleMs, now - mark.wantedAt) >= unwantedPeerMs) return 'useless';
    return idleMs >= quietPeerMs ? 'quiet' : 'used';
  }

  #update(peer: UsedPeer, now: number): Mark {
    const canAsk = peer.amInterested && !peer.peerChoking;
    const canBeAsked = peer.peerInterested && !peer.amChoking;
    let mark = this.#marks.get(peer.peer);
    if (mark === undefined) {
      const { connectedAt } = peer;
      mark = { bytes: 0, canAsk: false, canBeAsked: false, bytesThen: -1, usedAt: connectedAt, wantedAt: connectedAt };
      this.#marks.set(peer.peer, mark);
    }
    const moved = peer.bytes !== mark.bytes;
    const isAllowed = (canAsk && !mark.canAsk) || (canBeAsked && !mark.canBeAsked);
    // Leave to ask that came to nothing the last time proves nothing.
    if (moved || (isAllowed && mark.bytesThen !== peer.bytes)) mark.usedAt = now;
    if (isAllowed) mark.bytesThen = peer.bytes;
    if (peer.amInterested || peer.peerInterested) mark.wantedAt = now;
    mark.bytes = peer.bytes;
    mark.canAsk = canAsk;
    mark.canBeAsked = canBeAsked;
    return mark;
  }
}

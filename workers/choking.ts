/**
 * Whom one torrent's group uploads to: asks the choker every round and whenever interest changes, and tells the peers. Which
 * of them deserve it is `torrent/choker.ts`'s to know.
 */
import type { Options } from '../src/options.js';
import { Choker, type ChokerPeer } from '../src/torrent/choker.js';
import type { PeerSession } from '../src/torrent/peer-session.js';

/** Changes that come faster wait for the next tick: a peer that toggles its interest must not cost a choice each time. */
const CHANGE_EVERY_MS = 20;

export class Choking {
  /** Peers that may be unchoked: the group's share, as soon as main has told it. */
  slots: number;
  readonly #chokeRoundMs: number;
  readonly #choker: Choker;
  /** Payload of each peer at the last round, in the direction that counts. */
  #counted = new Map<number, number>();
  #roundAt = 0;
  #changeAt = Number.NEGATIVE_INFINITY;
  #hasChanged = false;

  /** @param random uniform in [0, 1) */
  constructor(options: Pick<Options, 'uploadSlots' | 'chokeRoundMs'>, random: () => number) {
    this.slots = options.uploadSlots;
    this.#chokeRoundMs = options.chokeRoundMs;
    this.#choker = new Choker(random);
  }

  /** A peer came, went or changed its interest. @param seeding whether we need nothing ourselves */
  onChange(sessions: readonly PeerSession[], seeding: boolean, now: number): void {
    this.#hasChanged = now < this.#changeAt;
    if (this.#hasChanged) return;
    this.#changeAt = now + CHANGE_EVERY_MS;
    const peers = sessions.map((session) => this.#describe(session, seeding));
    this.#apply(sessions, this.#choker.onChange(peers, this.slots, seeding, now));
  }

  onTick(sessions: readonly PeerSession[], seeding: boolean, now: number): void {
    if (now < this.#roundAt) {
      if (this.#hasChanged) this.onChange(sessions, seeding, now);
      return;
    }
    this.#roundAt = now + this.#chokeRoundMs;
    const peers = sessions.map((session) => this.#describe(session, seeding));
    this.#counted = new Map(sessions.map((session) => [session.peer, bytesOf(session, seeding)]));
    this.#apply(sessions, this.#choker.onRound(peers, this.slots, seeding, now));
  }

  #describe(session: PeerSession, seeding: boolean): ChokerPeer {
    return {
      id: session.peer,
      interested: session.peerInterested,
      // At the change to seeding the other direction begins to count.
      bytes: Math.max(0, bytesOf(session, seeding) - (this.#counted.get(session.peer) ?? 0)),
      snubbed: session.downloads.pipeline.snubbed,
      connectedAt: session.connectedAt,
      unchoked: !session.uploads.amChoking,
      uploadOnly: session.isUploadOnly,
    };
  }

  #apply(sessions: readonly PeerSession[], unchoked: ReadonlySet<number>): void {
    for (const session of sessions) {
      if (unchoked.has(session.peer)) session.uploads.unchoke();
      else session.uploads.choke();
    }
  }
}

const bytesOf = (session: PeerSession, seeding: boolean): number =>
  seeding ? session.uploaded : session.downloads.downloaded;

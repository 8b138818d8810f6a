/**
 * What one torrent's group tells of its peers every few seconds: main, who is not in use and who only uploads; the peers, of
 * one another (BEP 11). When a peer counts as in use is `torrent/usefulness.ts`'s to know.
 */
import type { PexPeer } from '../src/protocol/extension.js';
import type { PeerSession } from '../src/torrent/peer-session.js';
import { type UsedPeer, UsefulnessWatch } from '../src/torrent/usefulness.js';
import type { Connection } from './connection.js';
import type { GroupContext } from './context.js';
import { exchangePeers } from './exchange.js';

export class PeerSurvey {
  readonly #torrent: number;
  readonly #context: Pick<GroupContext, 'options' | 'post'>;
  readonly #watch: UsefulnessWatch;
  /** The torrent's peers in all groups. */
  #roster: readonly PexPeer[] = [];
  #nextAt = 0;
  /** What main was told last. */
  #told = '';

  constructor(torrent: number, context: Pick<GroupContext, 'options' | 'post'>) {
    this.#torrent = torrent;
    this.#context = context;
    this.#watch = new UsefulnessWatch(context.options);
  }

  onRoster(peers: readonly PexPeer[]): void {
    this.#roster = peers;
  }

  /** @param seeding whether we need nothing ourselves */
  onTick(connections: ReadonlySet<Connection>, seeding: boolean, isPrivate: boolean, now: number): void {
    if (now < this.#nextAt) return;
    this.#nextAt = now + this.#context.options.surveyMs;
    const sessions = [...connections].flatMap(({ session }) => (session === undefined ? [] : [session]));
    const { quiet, useless } = this.#watch.survey(sessions.map(describe), seeding, now);
    const seeds = sessions.filter((session) => session.isUploadOnly).map(({ peer }) => peer);
    const survey = { useless, quiet, seeds };
    const told = JSON.stringify(survey);
    if (told !== this.#told && (this.#told !== '' || useless.length + quiet.length + seeds.length > 0)) {
      this.#told = told;
      this.#context.post({ type: 'survey', torrent: this.#torrent, ...survey });
    }
    if (!isPrivate) exchangePeers(connections, this.#roster, now);
  }

  /** Whether a peer may be dropped for others: much may have happened since the last survey. */
  isInUse(session: PeerSession, seeding: boolean, now: number): boolean {
    return this.#watch.look(describe(session), seeding, now) === 'used';
  }
}

function describe(session: PeerSession): UsedPeer {
  const { peer, connectedAt, amInterested, peerChoking, uploads, downloads, uploaded } = session;
  return {
    peer,
    bytes: downloads.downloaded + uploaded,
    connectedAt,
    amInterested,
    peerChoking,
    peerInterested: session.peerInterested && !session.isUploadOnly,
    amChoking: uploads.amChoking,
  };
}

/** What one torrent has moved in one group since main was last told, and who had a part in it. */
import type { TorrentStats } from '../src/messages.js';
import type { PeerSession } from '../src/torrent/peer-session.js';

export class Tally {
  /** Bytes. */
  downloaded = 0;
  wasted = 0;
  #uploaded = 0;
  /** Connections that gave or took a block. */
  readonly #working = new Set<number>();
  /** Peers, and interested ones, that main has been told of. */
  #told = { peers: 0, interested: 0 };

  onSent(peer: number, bytes: number): void {
    this.#uploaded += bytes;
    this.#working.add(peer);
  }

  /** What happened since the last call; `undefined` when nothing did. */
  take(sessions: Iterable<PeerSession>): Omit<TorrentStats, 'torrent'> | undefined {
    let [peers, interested, active] = [0, 0, 0];
    for (const session of sessions) {
      peers++;
      if (session.peerInterested && !session.isUploadOnly) interested++;
      if (session.downloads.recent > 0) {
        active++;
        this.#working.add(session.peer);
      }
      session.downloads.recent = 0;
    }
    const { downloaded, wasted } = this;
    const uploaded = this.#uploaded;
    const isNews = peers !== this.#told.peers || interested !== this.#told.interested;
    if (downloaded + uploaded + wasted === 0 && !isNews) return undefined;
    this.#told = { peers, interested };
    this.downloaded = this.wasted = this.#uploaded = 0;
    const working = [...this.#working];
    this.#working.clear();
    return { downloaded, uploaded, wasted, peers, interested, active, working };
  }
}

/**
 * The endgame of one torrent in one group (BEP 3): when main has nothing more to give, idle peers are asked for what others owe. A
 * piece that one peer alone may give cannot be asked of two; when it takes too long, an idle peer starts it again.
 */
import type { LeaseTable } from '../src/torrent/lease-table.js';
import type { PieceBuffer } from '../src/torrent/piece-buffer.js';
import type { Connection } from './connection.js';

export class Endgame {
  readonly #leases: LeaseTable;
  readonly #patienceMs: number;

  /** @param patienceMs how long one peer may have an exclusive piece */
  constructor(leases: LeaseTable, patienceMs: number) {
    this.#leases = leases;
    this.#patienceMs = patienceMs;
  }

  /**
   * On every tick, in the endgame or not: that is how it knows who has had what since when.
   * @param ask asks a peer for the blocks it may be asked for
   */
  onTick(
    connections: ReadonlySet<Connection>,
    isEndgame: boolean,
    ask: (connection: Connection) => void,
    now: number,
  ): void {
    for (const lease of this.#leases) {
      if (!lease.isOverdue(this.#patienceMs, now) || !isEndgame) continue;
      const heir = heirOf(lease, connections, now);
      if (heir?.session === undefined) continue;
      for (const { session } of connections) session?.downloads.cancelPiece(lease.piece);
      this.#leases.handOver(lease, heir.session.peer);
      ask(heir);
    }
    // Few are asked for one block: those first that have shown that they give.
    if (isEndgame) for (const { session } of byGiven(connections)) session?.contest(now);
  }
}

/** Who has given most comes first. */
const byGiven = (connections: ReadonlySet<Connection>): Connection[] =>
  [...connections].sort((a, b) => givenBy(b) - givenBy(a));

const givenBy = ({ session }: Connection): number => session?.downloads.downloaded ?? 0;

/** Of the idle peers that have the piece and are not asked for it, the one that has given most. */
function heirOf(lease: PieceBuffer, connections: ReadonlySet<Connection>, now: number): Connection | undefined {
  let heir: Connection | undefined;
  let most = -1;
  for (const connection of connections) {
    const { session } = connection;
    if (session?.askable?.has(lease.piece) !== true || lease.admits(session.peer)) continue;
    const { downloads } = session;
    if (downloads.downloaded <= most || !downloads.isIdle(now)) continue;
    heir = connection;
    most = downloads.downloaded;
  }
  return heir;
}

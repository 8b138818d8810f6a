/**
 * How many pieces a group should ask main for. Enough is leased ahead that peers never wait for main, and no more: leased
 * bytes are budget. The gauge also writes the *hungry* bitset, the pieces it would be of use to get.
 */
import type { Options } from '../src/options.js';
import { BLOCK_LENGTH } from '../src/protocol/wire.js';
import type { Geometry } from '../src/torrent/geometry.js';
import type { LeaseTable } from '../src/torrent/lease-table.js';
import type { PeerSession } from '../src/torrent/peer-session.js';
import type { GroupSection } from '../src/torrent/shared-memory.js';

/** The rate is measured over at least this; shorter is noise. */
const RATE_OVER_MS = 25;
/** An unanswered want is looked at again after this, and later when the look is costly. */
const ASK_AGAIN_MS = 2;
const SURVEYED_PER_MS = 50_000;

export class WantGauge {
  readonly #geometry: Geometry;
  readonly #section: GroupSection;
  readonly #options: Options;
  /** Leases this group was ever sent: lets main see which of them a `want` knew of. */
  #leased = 0;
  #asked = { count: 0, leased: 0 };
  #askAgainAt = 0;
  /** When main was first asked since its last grant. */
  #askedAt = 0;
  /** Bytes per ms. */
  #rate = 0;
  #markAt: number | undefined;
  #markBytes = 0;

  constructor(geometry: Geometry, section: GroupSection, options: Options) {
    this.#geometry = geometry;
    this.#section = section;
    this.#options = options;
  }

  onGrant(count: number): void {
    this.#leased += count;
  }

  /**
   * Whether main has left a want unanswered for so long that what is leased should be asked of more than one peer. Who is
   * held up by a slow peer or a rate limit and has not asked is not starved.
   */
  isStarved(now: number): boolean {
    const isAsking = this.#asked.count > 0 && this.#asked.leased === this.#leased;
    return isAsking && now - this.#askedAt >= this.#options.endgameAfterMs;
  }

  /** The byte counter the rate is read from starts again at 0. @param bytes where it stood */
  onReset(bytes: number): void {
    this.#markBytes -= bytes;
  }

  /**
   * The `want` to post, or `undefined` when main's knowledge is as good. Runs after every read, so that it looks at the
   * sessions only when there is reason to.
   * @param short whether the peer just read from found too little to request
   * @param downloaded bytes counted so far
   * @param now ms
   */
  measure(
    sessions: Iterable<PeerSession>,
    leases: LeaseTable,
    short: boolean,
    downloaded: number,
    now: number,
  ): { count: number; leased: number } | undefined {
    this.#measureRate(downloaded, now);
    const ahead = this.#ahead();
    const unrequested = (leases.missingBlocks * BLOCK_LENGTH) / this.#geometry.pieceLength;
    // Refilled when half is gone: one message for many pieces.
    const low = unrequested <= ahead / 2;
    const answered = this.#leased !== this.#asked.leased;
    if (!(low || short) || !(answered || now >= this.#askAgainAt)) return undefined;
    const shortage = this.#survey(sessions, now);
    if (shortage === undefined || (shortage === 0 && !low)) return undefined;
    const count = Math.ceil((shortage * BLOCK_LENGTH) / this.#geometry.pieceLength + Math.max(0, ahead - unrequested));
    if (count === this.#asked.count && !answered) return undefined;
    if (answered || this.#asked.count === 0) this.#askedAt = now;
    this.#asked = { count, leased: this.#leased };
    return this.#asked;
  }

  #measureRate(downloaded: number, now: number): void {
    if (this.#markAt === undefined) {
      this.#markAt = now;
      this.#markBytes = downloaded;
      return;
    }
    const elapsed = now - this.#markAt;
    if (elapsed < RATE_OVER_MS) return;
    const rate = (downloaded - this.#markBytes) / elapsed;
    this.#rate = this.#rate === 0 ? rate : (this.#rate + rate) / 2;
    this.#markAt = now;
    this.#markBytes = downloaded;
  }

  /** Pieces to lease ahead at the present rate. */
  #ahead(): number {
    const pieces = (this.#rate * this.#options.leaseAheadMs) / this.#geometry.pieceLength;
    return Math.max(this.#options.leaseAheadPieces, Math.ceil(pieces));
  }

  /**
   * Writes the hungry bitset: the pieces of the peers that found too little, or of all that may be asked when none did.
   * @returns blocks found too little; `undefined` when nobody may be asked for anything
   */
  #survey(sessions: Iterable<PeerSession>, now: number): number | undefined {
    const able: PeerSession[] = [];
    let shortage = 0;
    for (const session of sessions) {
      if (session.askable === undefined) continue;
      able.push(session);
      shortage += session.downloads.shortage;
    }
    const hungry = shortage > 0 ? able.filter((session) => session.downloads.shortage > 0) : able;
    const touched = this.#writeHungry(hungry);
    this.#askAgainAt = now + ASK_AGAIN_MS + touched / SURVEYED_PER_MS;
    return able.length > 0 ? shortage : undefined;
  }

  /** @returns bytes touched */
  #writeHungry(sessions: readonly PeerSession[]): number {
    const { hungry } = this.#section;
    this.#section.anyPiece = sessions.some((session) => session.askable?.isFull === true);
    if (this.#section.anyPiece) return 0;
    hungry.fill(0);
    for (const { askable } of sessions) {
      if (askable !== undefined) for (let i = 0; i < hungry.length; i++) hungry[i]! |= askable.bytes[i]!;
    }
    return hungry.length * sessions.length;
  }
}

/**
 * The choker (BEP 3): who may request blocks of us, for one torrent in one group. Pure: asked on a round, every 10 s, and
 * whenever interest changes; it answers with the peers to be unchoked. It sends nothing and measures nothing.
 *
 * While we download: tit for tat. Slots are *earned* by those that gave most since the last round; one in four, and all
 * that nobody has earned, are *drawn* (the optimistic unchoke): each peer has its turn before anybody has a second one, and
 * newcomers are three times as likely to be next. A peer that snubs us earns nothing, and draws no slot but one in four.
 *
 * When we seed: turns. A peer keeps its slot until it has received its fill or a minute is over, and who has waited longest
 * is next. To serve the fastest first would serve nobody else.
 *
 * What always holds:
 *
 * - Never more peers than slots, and never fewer while interested ones wait; but of those that snub us one in four slots.
 * - Only interested peers that want data are unchoked; one that loses interest gives its slot up at once.
 * - A peer keeps its slot for a whole round at least, unless it loses interest or begins to snub us, or slots are taken away.
 * - Between rounds, free slots are filled and nobody is choked for another.
 * - An interested peer has its turn, sooner or later, whatever it gives.
 */

export interface ChokerPeer {
  readonly id: number;
  readonly interested: boolean;
  /** Payload since the last round: from the peer while we download, to the peer when we seed. */
  readonly bytes: number;
  /** It has owed us blocks for too long. Of no account when we seed. */
  readonly snubbed: boolean;
  /** ms */
  readonly connectedAt: number;
  readonly unchoked: boolean;
  /** A seed, or it told us that it only uploads: whatever it says, it wants nothing. */
  readonly uploadOnly: boolean;
}

interface Slot {
  /** Whole rounds it has been held for; -1 when it was given between two rounds, of which the next one does not count. */
  rounds: number;
  /** By the optimistic unchoke, or a turn of a seed's; else it was earned. */
  drawn: boolean;
  /** Bytes sent to the peer in this turn, when seeding. */
  sent: number;
}

/** Of so many slots one is optimistic. */
const SLOTS_PER_OPTIMISTIC = 4;
/** The optimistic unchoke is rotated every third round (BEP 3). */
const OPTIMISTIC_ROUNDS = 3;
/** A peer is new for two rotations, and then this much more likely to be drawn (BEP 3). */
const NEW_MS = 60_000;
const NEW_WEIGHT = 3;
/** A seed's turn: bytes after which a peer has had enough for now, and rounds after which it had its chance. */
const TURN_BYTES = 16 * 1_048_576;
const TURN_ROUNDS = 6;

/** How many of the slots are optimistic, and open to peers that snub us. */
export function optimisticSlots(slots: number): number {
  return slots < 1 ? 0 : Math.max(1, Math.floor(slots / SLOTS_PER_OPTIMISTIC));
}

export class Choker {
  /** Uniform in [0, 1). */
  readonly #random: () => number;
  #held: ReadonlyMap<number, Slot> = new Map();
  /** Peers that have drawn a slot since everybody had. */
  readonly #served = new Set<number>();
  /** Interested peers without a slot, who has waited longest first. */
  readonly #waiting = new Set<number>();

  /** @param random uniform in [0, 1) */
  constructor(random: () => number) {
    this.#random = random;
  }

  /**
   * A round, every 10 s.
   * @param slots peers that may be unchoked
   * @param now ms
   * @returns the ids of the peers to be unchoked; all others are to be choked
   */
  onRound(peers: readonly ChokerPeer[], slots: number, seeding: boolean, now: number): Set<number> {
    return this.#choose(peers, slots, seeding, now, true);
  }

  /** A peer came, went or changed its interest, or the number of slots did; as `onRound`. */
  onChange(peers: readonly ChokerPeer[], slots: number, seeding: boolean, now: number): Set<number> {
    return this.#choose(peers, slots, seeding, now, false);
  }

  #choose(peers: readonly ChokerPeer[], slots: number, seeding: boolean, now: number, isRound: boolean): Set<number> {
    const candidates = peers.filter((peer) => peer.interested && !peer.uploadOnly);
    const held = this.#reconcile(candidates, seeding, isRound);
    this.#held = held;
    keepOnly(this.#served, peers);
    keepOnly(this.#waiting, candidates);
    for (const { id } of candidates) if (!held.has(id)) this.#waiting.add(id);
    const next = new Map<number, Slot>();
    if (seeding) this.#takeTurns(next, candidates, slots, isRound);
    else if (slots > 0) {
      this.#earn(next, candidates, slots, isRound);
      this.#draw(next, candidates, slots, now, isRound);
    }
    for (const { id } of candidates) {
      if (next.has(id)) this.#waiting.delete(id);
      else this.#waiting.add(id);
    }
    this.#held = next;
    return new Set(next.keys());
  }

  /** The slots still held, after this round: by what the peers say of themselves, since others may choke them too. */
  #reconcile(candidates: readonly ChokerPeer[], seeding: boolean, isRound: boolean): Map<number, Slot> {
    const held = new Map<number, Slot>();
    for (const { id, unchoked, bytes } of candidates) {
      if (!unchoked) continue;
      const { rounds, drawn, sent } = this.#held.get(id) ?? { rounds: 0, drawn: true, sent: 0 };
      const got = seeding && isRound ? bytes : 0;
      held.set(id, { rounds: isRound ? rounds + 1 : rounds, drawn, sent: sent + got });
    }
    return held;
  }

  /** Whether a peer's slot is not up for grabs. */
  #isFixed({ id }: ChokerPeer, isRound: boolean): boolean {
    const slot = this.#held.get(id);
    return slot !== undefined && (!isRound || slot.rounds < 1);
  }

  /** Gives all but the optimistic slots to those that gave most; with equals, to who has one. */
  #earn(next: Map<number, Slot>, candidates: readonly ChokerPeer[], slots: number, isRound: boolean): void {
    const held = this.#held;
    const fixed = new Set(candidates.filter((peer) => this.#isFixed(peer, isRound)).map(({ id }) => id));
    const hasEarned = (id: number): boolean => fixed.has(id) && held.get(id)?.drawn === false;
    const ranked = candidates
      .filter(({ id, snubbed, bytes }) => !snubbed && (bytes > 0 || hasEarned(id)))
      .sort(
        (a, b) =>
          Number(hasEarned(b.id)) - Number(hasEarned(a.id)) ||
          b.bytes - a.bytes ||
          Number(held.has(b.id)) - Number(held.has(a.id)),
      );
    // Slots drawn since the last round stay drawn, unless their holders have earned one meanwhile.
    let pinned = 0;
    for (const id of fixed) if (!hasEarned(id)) pinned++;
    for (const { id } of ranked) {
      if (next.size === slots - optimisticSlots(slots)) return;
      const isPinned = fixed.has(id) && !hasEarned(id);
      if (isPinned) pinned--;
      else if (next.size + pinned >= slots) continue;
      next.set(id, { ...(held.get(id) ?? slotGiven(isRound)), drawn: false });
    }
  }

  /** Gives what is left: to those that drew a slot and whose time is not up, then by lot. */
  #draw(
    next: Map<number, Slot>,
    candidates: readonly ChokerPeer[],
    slots: number,
    now: number,
    isRound: boolean,
  ): void {
    let snubs = optimisticSlots(slots);
    const admit = ({ id, snubbed }: ChokerPeer, slot: Slot): void => {
      if (next.size >= slots || (snubbed && snubs === 0)) return;
      if (snubbed) snubs--;
      next.set(id, slot);
    };
    const lately = (a: ChokerPeer, b: ChokerPeer): number =>
      this.#held.get(a.id)!.rounds - this.#held.get(b.id)!.rounds;
    const drawn = candidates.filter(({ id }) => !next.has(id) && this.#held.get(id)?.drawn === true);
    for (const peer of drawn.sort(lately)) {
      const slot = this.#held.get(peer.id)!;
      if (!isRound || slot.rounds < OPTIMISTIC_ROUNDS) admit(peer, slot);
    }
    while (next.size < slots) {
      const pool = candidates.filter(({ id, snubbed }) => !next.has(id) && (!snubbed || snubs > 0));
      if (pool.length === 0) return;
      const peer = this.#pick(pool, now);
      this.#served.add(peer.id);
      admit(peer, slotGiven(isRound));
    }
  }

  /** One by lot, of those that have had no turn while others had. */
  #pick(pool: readonly ChokerPeer[], now: number): ChokerPeer {
    let lots = pool.filter(({ id }) => !this.#served.has(id));
    if (lots.length === 0) {
      for (const { id } of pool) this.#served.delete(id);
      lots = [...pool];
    }
    const weight = ({ connectedAt }: ChokerPeer): number => (now - connectedAt < NEW_MS ? NEW_WEIGHT : 1);
    let lot = this.#random() * lots.reduce((sum, peer) => sum + weight(peer), 0);
    for (const peer of lots) {
      lot -= weight(peer);
      if (lot < 0) return peer;
    }
    return lots[lots.length - 1]!;
  }

  /** Round robin: who has had enough makes room for who has waited longest. */
  #takeTurns(next: Map<number, Slot>, candidates: readonly ChokerPeer[], slots: number, isRound: boolean): void {
    const holders = candidates
      .filter(({ id }) => this.#held.has(id))
      .map(({ id }) => ({ id, slot: this.#held.get(id)! }))
      .sort((a, b) => a.slot.sent - b.slot.sent);
    const isOver = ({ rounds, sent }: Slot): boolean =>
      isRound && rounds >= 1 && (sent >= TURN_BYTES || rounds >= TURN_ROUNDS);
    const give = (id: number, slot: Slot): void => {
      if (next.size < slots) next.set(id, slot);
    };
    for (const { id, slot } of holders) if (!isOver(slot)) give(id, slot);
    for (const id of this.#waiting) give(id, slotGiven(isRound));
    for (const { id, slot } of holders) if (isOver(slot)) give(id, slot);
  }
}

function slotGiven(isRound: boolean): Slot {
  return { rounds: isRound ? 0 : -1, drawn: true, sent: 0 };
}

function keepOnly(ids: Set<number>, peers: readonly ChokerPeer[]): void {
  const present = new Set(peers.map(({ id }) => id));
  for (const id of ids) if (!present.has(id)) ids.delete(id);
}

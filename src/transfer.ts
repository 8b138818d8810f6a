/**
 * The download proper of one torrent: pieces go out to the groups as leases, come home verified and are written. It wires
 * the picker, the lease ledger, the byte budget, the write queue and the evidence of who sent bad blocks, and knows no
 * tracker and nothing of peers but what they gave.
 *
 * One owner per piece: whoever holds its buffer. No free buffer means no lease, so a slow disk holds the swarm back.
 */
import { type ErrorCode, SpateError } from './errors.js';
import type { FromGroup, LeaseGrant, ToGroup, VerifiedLease } from './messages.js';
import type { WriteQueue } from './storage/write-queue.js';
import type { Bitfield } from './torrent/bitfield.js';
import type { ByteBudget } from './torrent/byte-budget.js';
import { Evidence, type Giver } from './torrent/evidence.js';
import type { Geometry, PieceIndex } from './torrent/geometry.js';
import { LeaseLedger } from './torrent/lease-ledger.js';
import { Picker, PieceState } from './torrent/picker.js';
import type { GroupSection, SharedMemory } from './torrent/shared-memory.js';

type Returned = Extract<FromGroup, { type: 'returned' }>;
type Shared = Extract<FromGroup, { type: 'shared' }>;
type Corrupt = Extract<FromGroup, { type: 'corrupt' }>;

/** Of buffers, a torrent has so much even when its rate is not known yet: little pieces come in numbers. */
const LEAST_BYTES = 256 * 1024;

/** An unfinished piece. */
export interface Partial {
  readonly buffer: ArrayBuffer;
  /** One byte per block, 1 = present. */
  readonly present: Uint8Array;
}

export interface TransferSettings {
  readonly torrent: number;
  readonly geometry: Geometry;
  readonly have: Bitfield;
  readonly wanted: Bitfield;
  readonly memory: SharedMemory;
  readonly groupCount: number;
  readonly budget: ByteBudget;
  readonly queue: WriteQueue;
  /** Times one piece may fail its hash. */
  readonly corruptPieceLimit: number;
  readonly endgameAfterMs: number;
  /** Whether other torrents may want the buffers that this one has. */
  readonly isShared: () => boolean;
  /** Of its rate the torrent may have in buffers then, while memory is scarce. */
  readonly budgetAheadMs: number;
  /** Received now, bytes per second. */
  readonly rate: (now: number) => number;
  /** Cap of what is kept of pieces that failed their hash. */
  readonly evidenceBytes: number;
  /** Whose connection it is or was. */
  readonly giverOf: (group: number, peer: number) => Giver;
  readonly random: () => number;
  readonly send: (group: number, message: ToGroup) => void;
}

export interface TransferEvents {
  /** Pieces could be leased now, by this torrent or, since a buffer came free, by any other. */
  onCanLease(): void;
  onWritten(piece: PieceIndex): void;
  /** A peer has sent bad data, beyond doubt. */
  onGuilty(giver: string): void;
  /** Every wanted piece is on disk. */
  onComplete(): void;
  onError(error: SpateError): void;
}

/** One at home. */
interface Unfinished extends Partial {
  /** Of each block; nobody is known for those of an earlier run. */
  readonly givers: readonly Giver[];
}

export class Transfer {
  /** Pieces on disk, verified. */
  readonly have: Bitfield;
  readonly #settings: TransferSettings;
  readonly #events: TransferEvents;
  readonly #picker: Picker;
  readonly #ledger: LeaseLedger;
  readonly #sections: readonly GroupSection[];
  /** Unfinished pieces at home, with the blocks they hold. */
  readonly #partials = new Map<PieceIndex, Unfinished>();
  /** Copies of leases that are being made: who makes it, for which group. */
  readonly #copies = new Map<number, { holder: number; group: number; piece: PieceIndex }>();
  /** Granted but not posted yet, per group. */
  readonly #outbox: LeaseGrant[][];
  readonly #failures = new Map<PieceIndex, number>();
  readonly #evidence: Evidence;
  /** Since when every wanted piece is leased or had, ms. */
  #exhaustedAt: number | undefined;
  #stopped = false;

  constructor(settings: TransferSettings, events: TransferEvents) {
    const { geometry, have, wanted, memory, groupCount, random } = settings;
    this.#settings = settings;
    this.#events = events;
    this.have = have;
    this.#sections = Array.from({ length: groupCount }, (_, group) => memory.section(group));
    this.#picker = new Picker(geometry, wanted, have, this.#sections, random);
    this.#ledger = new LeaseLedger(groupCount);
    this.#evidence = new Evidence(settings.evidenceBytes);
    this.#outbox = Array.from({ length: groupCount }, () => []);
  }

  /** Wanted pieces not on disk yet. */
  get left(): number {
    return this.#picker.left;
  }

  /** Whether a group has asked for pieces it has not been given. */
  get wantsMore(): boolean {
    return !this.#stopped && this.left > 0 && this.#outbox.some((_, group) => this.#ledger.open(group) > 0);
  }

  /** Whether any piece has failed its hash. */
  get sawCorruption(): boolean {
    return this.#failures.size > 0;
  }

  onWant(group: number, count: number, leased: number): void {
    this.#ledger.onWant(group, count, leased);
    this.#events.onCanLease();
  }

  /**
   * Grants a group one run of pieces, as far as it wants any and the budget goes; `flush` posts them.
   * @returns whether it granted one
   */
  grant(group: number, now: number): boolean {
    if (this.#stopped) return false;
    const open = Math.min(this.#ledger.open(group), this.#picker.runLength);
    if (open === 0) return false;
    const { geometry, budget, memory } = this.#settings;
    memory.isScarce = budget.isScarce;
    // A partial piece has its buffer already: it goes out even when the budget is spent.
    const fresh = Math.min(budget.room(geometry.pieceLength), this.#allowance(now));
    const pieces = this.#picker.pick(group, this.#sections[group]!, open, now, fresh);
    for (const piece of pieces) this.#outbox[group]!.push(this.#grantOf(group, piece));
    memory.isSpent = pieces.length === 0 && fresh === 0 && !this.#picker.isExhausted;
    if (pieces.length === 0 && this.#isEndgame(now)) this.#askForCopy(group);
    return pieces.length > 0;
  }

  /**
   * New pieces that may be leased. While memory is scarce a torrent among others has a few blocks' worth, one piece at least, and beyond that
   * what its rate is worth: of many slow ones none keeps the buffers that a fast one would use a hundred times meanwhile.
   */
  #allowance(now: number): number {
    const { budget, geometry, isShared, budgetAheadMs, rate } = this.#settings;
    if (!budget.isScarce || !isShared()) return Number.POSITIVE_INFINITY;
    const worth = Math.max(LEAST_BYTES, (rate(now) * budgetAheadMs) / 1000);
    return Math.max(0, Math.max(1, Math.floor(worth / geometry.pieceLength)) - this.#ledger.size);
  }

  /** Nothing is left to lease, and that for a while: at full speed the last pieces come before copies of them would. */
  #isEndgame(now: number): boolean {
    if (!this.#picker.isExhausted) this.#exhaustedAt = undefined;
    else this.#exhaustedAt ??= now;
    return this.#exhaustedAt !== undefined && now - this.#exhaustedAt >= this.#settings.endgameAfterMs;
  }

  /** Endgame: peers of this group are idle while another group fetches the last pieces; it gets a copy of one of them. */
  #askForCopy(group: number): void {
    const { budget, geometry, torrent, send } = this.#settings;
    const section = this.#sections[group]!;
    const shared = this.#ledger.share(group, (piece) => section.canGive(piece) && !this.#failures.has(piece));
    if (shared === undefined) return;
    const { lease, holder, piece } = shared;
    const buffer = budget.take(geometry.lengthOf(piece));
    if (buffer === undefined) return;
    this.#copies.set(lease, { holder, piece, group });
    send(holder, { type: 'share', torrent, lease, buffer });
  }

  /** A copy has come: it is leased to the group it is for, if the piece is still being fetched. The first verified one wins. */
  onShared({ lease, buffer, present, givers }: Shared): void {
    const copy = this.#copies.get(lease);
    this.#copies.delete(lease);
    const isWanted = copy !== undefined && this.#picker.stateOf(copy.piece) === PieceState.fetching;
    if (!isWanted || present === undefined || givers === undefined || this.#stopped) return this.#free(buffer);
    const { holder, group, piece } = copy;
    const number = this.#ledger.grant(group, piece, this.#giversOf(holder, lease, givers));
    this.#outbox[group]!.push({ lease: number, piece, buffer, present, suspect: this.#failures.has(piece) });
    this.flush();
  }

  /** Posts what `grant` has granted, one message per group. */
  flush(): void {
    this.#outbox.forEach((leases, group) => {
      if (leases.length === 0) return;
      this.#outbox[group] = [];
      this.#settings.send(group, { type: 'lease', torrent: this.#settings.torrent, leases });
    });
  }

  onVerified(leases: readonly VerifiedLease[]): void {
    for (const { lease, piece, buffer, digests } of leases) {
      this.#ledger.settle(lease);
      if (digests !== undefined) for (const giver of this.#evidence.onVerified(piece, digests)) this.#accuse(giver);
      // It has been hash-checked: whatever the number says, it is good unless it came before. Also at a stop.
      if (this.#isDone(piece)) {
        this.#free(buffer);
        continue;
      }
      this.#recallOthers(piece);
      this.#write(piece, buffer);
    }
  }

  #recallOthers(piece: PieceIndex): void {
    const { torrent, send } = this.#settings;
    for (const { group, lease } of this.#ledger.leasesOf(piece)) send(group, { type: 'recall', torrent, lease });
  }

  /** Whether a piece that has just come home unfinished is nobody's now: not written, and not leased a second time. */
  #isOrphan(piece: PieceIndex): boolean {
    return this.#picker.stateOf(piece) === PieceState.fetching && !this.#ledger.isLeased(piece);
  }

  /** Who gave each block of a lease: peers of the group that has it, and of those it was in before. */
  #giversOf(group: number, lease: number, peers: Uint32Array): Giver[] {
    const before = this.#ledger.giversOf(lease);
    return Array.from(peers, (peer, block) => (peer === 0 ? before[block] : this.#settings.giverOf(group, peer)));
  }

  onReturned(group: number, { lease, piece, buffer, present, givers: peers }: Returned): void {
    const givers = this.#giversOf(group, lease, peers);
    const isKnown = this.#ledger.settle(lease);
    if (!isKnown || !this.#isOrphan(piece)) return this.#free(buffer);
    const partial = present.includes(1);
    if (partial) this.#partials.set(piece, { buffer, present, givers });
    else this.#free(buffer);
    this.#picker.onReturned(piece, partial);
    this.#events.onCanLease();
  }

  /** Who alone gave a bad piece is guilty. Of several nobody is, until the piece passes and shows which blocks were bad. */
  onCorrupt(group: number, { lease, piece, buffer, givers: peers, digests }: Corrupt): void {
    const givers = this.#giversOf(group, lease, peers);
    const known = this.#ledger.settle(lease);
    this.#free(buffer);
    if (!known || this.#stopped) return;
    this.#accuse(this.#evidence.onCorrupt(piece, givers, digests));
    if (this.#isDone(piece)) return this.#evidence.drop(piece);
    if (this.#isOrphan(piece)) this.#picker.onLost(piece);
    const failures = (this.#failures.get(piece) ?? 0) + 1;
    this.#failures.set(piece, failures);
    if (failures >= this.#settings.corruptPieceLimit) {
      this.#fail('BAD_DATA', `piece ${piece} failed its SHA-1 ${failures} times; the torrent or its peers are bad`);
    }
  }

  #accuse(giver: Giver): void {
    if (giver !== undefined) this.#events.onGuilty(giver);
  }

  /** Whether a piece has passed its hash. */
  #isDone(piece: PieceIndex): boolean {
    const state = this.#picker.stateOf(piece);
    return state === PieceState.writing || state === PieceState.have;
  }

  /** The buffers a dead group held are gone; its pieces are missing again. */
  onGroupDeath(group: number): void {
    this.#sections[group]!.reset();
    for (const [lease, { holder, piece }] of this.#copies) {
      if (holder !== group) continue;
      this.#copies.delete(lease);
      this.#settings.budget.forget(this.#settings.geometry.lengthOf(piece));
    }
    for (const piece of this.#ledger.forgetGroup(group)) {
      this.#settings.budget.forget(this.#settings.geometry.lengthOf(piece));
      if (this.#isOrphan(piece)) this.#picker.onLost(piece);
    }
    this.#events.onCanLease();
  }

  /** No more leases; what is verified is written. */
  stop(): void {
    this.#stopped = true;
  }

  /** Unfinished pieces at home: their blocks, and which there are. All that will come, once the groups have left. */
  get partials(): ReadonlyMap<PieceIndex, Partial> {
    return this.#partials;
  }

  /** An unfinished piece of an earlier run: leased before anything missing, with the blocks it has. */
  adopt(piece: PieceIndex, partial: Partial): void {
    this.#partials.set(piece, { ...partial, givers: [] });
    this.#picker.onReturned(piece, true);
  }

  /** Gives the buffers of unfinished pieces up. */
  dropPartials(): void {
    for (const { buffer } of this.#partials.values()) this.#settings.budget.give(buffer);
    this.#partials.clear();
  }

  #grantOf(group: number, piece: PieceIndex): LeaseGrant {
    const suspect = this.#failures.has(piece);
    const partial = this.#partials.get(piece);
    this.#partials.delete(piece);
    const lease = this.#ledger.grant(group, piece, partial?.givers);
    if (partial !== undefined) {
      const { buffer, present } = partial;
      return { lease, piece, buffer, present, suspect };
    }
    const buffer = this.#settings.budget.take(this.#settings.geometry.lengthOf(piece));
    if (buffer === undefined) throw new SpateError('INTERNAL', `no buffer for piece ${piece} after room was promised`);
    return { lease, piece, buffer, exclusive: suspect, suspect };
  }

  #write(piece: PieceIndex, buffer: ArrayBuffer): void {
    const { queue, geometry } = this.#settings;
    this.#dropPartial(piece);
    this.#picker.onVerified(piece);
    queue.enqueue(piece, new Uint8Array(buffer, 0, geometry.lengthOf(piece))).then(
      () => {
        this.#free(buffer);
        this.#onWritten(piece);
      },
      (error: unknown) => {
        this.#free(buffer);
        this.#events.onError(error as SpateError);
      },
    );
  }

  /** A stale `verified` can overtake a piece that is here half done. */
  #dropPartial(piece: PieceIndex): void {
    const partial = this.#partials.get(piece);
    if (partial === undefined) return;
    this.#partials.delete(piece);
    this.#free(partial.buffer);
  }

  #onWritten(piece: PieceIndex): void {
    this.have.set(piece);
    this.#picker.onWritten(piece);
    this.#failures.delete(piece);
    this.#evidence.drop(piece);
    this.#events.onWritten(piece);
    if (this.#picker.left === 0) this.#events.onComplete();
  }

  #free(buffer: ArrayBuffer): void {
    this.#settings.budget.give(buffer);
    this.#events.onCanLease();
  }

  #fail(code: ErrorCode, message: string): void {
    this.#events.onError(new SpateError(code, message));
  }
}

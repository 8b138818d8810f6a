/**
 * The download proper of one torrent: pieces go out to the groups as leases, come home verified and are written. It wires
 * the picker, the lease ledger, the byte budget, the write queue and the evidence of who sent bad blocks, and knows no
 * tracker and nothing of peers but what they gave.
 *
 * One owner per piece: whoever holds its buffer. No free buffer means no lease, so a slow disk holds the swarm back.
 */
import { type ErrorCode, SpateError } from './errors.js';
import type { FromGroup, LeaseGrant, ToGroup, VerifiedLease } from './messages.js';
import type { Partial, Spills } from './spill.js';
import type { WriteQueue } from './storage/write-queue.js';
import { BadPieces } from './torrent/bad-pieces.js';
import type { Bitfield } from './torrent/bitfield.js';
import type { ByteBudget } from './torrent/byte-budget.js';
import { Evidence, type Giver } from './torrent/evidence.js';
import type { Geometry, PieceIndex } from './torrent/geometry.js';
import type { IdleBuffer, IdleBuffers } from './torrent/idle-buffers.js';
import { LeaseLedger } from './torrent/lease-ledger.js';
import { Picker, PieceState } from './torrent/picker.js';
import type { GroupSection, SharedMemory } from './torrent/shared-memory.js';

type Returned = Extract<FromGroup, { type: 'returned' }>;
type Shared = Extract<FromGroup, { type: 'shared' }>;
type Corrupt = Extract<FromGroup, { type: 'corrupt' }>;

/** Of buffers, a torrent has so much even when its rate is not known yet: little pieces come in numbers. */
const LEAST_BYTES = 256 * 1024;

export interface TransferSettings {
  readonly torrent: number;
  readonly geometry: Geometry;
  readonly have: Bitfield;
  readonly wanted: Bitfield;
  readonly memory: SharedMemory;
  readonly groupCount: number;
  readonly budget: ByteBudget;
  readonly idle: IdleBuffers;
  readonly queue: WriteQueue;
  /** Unfinished pieces on disk; absent where storage could not give them back. */
  readonly spills?: Spills | undefined;
  /** Times one piece may fail its hash with nobody to blame. */
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

/** One at home, in memory. */
interface Unfinished extends Partial, IdleBuffer {
  /** Of each block; nobody is known for those that have been on disk. */
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
  readonly #bad: BadPieces;
  readonly #evidence: Evidence;
  /** Since when every wanted piece is leased or had, ms. */
  #exhaustedAt: number | undefined;
  #stopped = false;

  constructor(settings: TransferSettings, events: TransferEvents) {
    const { geometry, have, wanted, memory, groupCount, random, spills } = settings;
    this.#settings = settings;
    this.#events = events;
    this.have = have;
    this.#sections = Array.from({ length: groupCount }, (_, group) => memory.section(group));
    this.#picker = new Picker(geometry, wanted, have, this.#sections, random);
    this.#ledger = new LeaseLedger(groupCount);
    this.#bad = new BadPieces(settings.corruptPieceLimit);
    this.#evidence = new Evidence(settings.evidenceBytes);
    this.#outbox = Array.from({ length: groupCount }, () => []);
    for (const piece of spills?.pieces ?? []) this.#picker.onReturned(piece, false);
  }

  /** Wanted pieces not on disk yet. */
  get left(): number {
    return this.#picker.left;
  }

  /** Whether a group has asked for pieces it has not been given. */
  get wantsMore(): boolean {
    return !this.#stopped && this.left > 0 && this.#outbox.some((_, group) => this.#ledger.open(group) > 0);
  }

  /** Whether no buffer is free, and one that came free could be this torrent's. */
  lacksMemory(now: number): boolean {
    const { budget, geometry } = this.#settings;
    return budget.room(geometry.pieceLength) === 0 && this.#allowance(now) > 0;
  }

  /** Whether any piece has failed its hash. */
  get sawCorruption(): boolean {
    return this.#bad.size > 0;
  }

  onSuggested(piece: PieceIndex): void {
    this.#picker.onSuggested(piece);
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
    const { geometry, budget, idle, memory } = this.#settings;
    memory.isScarce = budget.isScarce;
    // A partial piece has its buffer already: it goes out even when the budget is spent.
    const room = budget.room(geometry.pieceLength);
    const fresh = Math.min(room, this.#allowance(now));
    const pieces = this.#picker.pick(group, this.#sections[group]!, open, now, fresh);
    for (const piece of pieces) this.#lease(group, piece);
    memory.isSpent = pieces.length === 0 && fresh === 0 && !this.#picker.isExhausted;
    if (memory.isSpent && room === 0) idle.relieve(geometry.pieceLength, now);
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

  /**
   * Endgame: peers of this group are idle while another group fetches the last pieces; it gets a copy of one of them. Of a piece that is
   * for one peer alone it gets nothing but the piece: one peer of each group may try.
   */
  #askForCopy(group: number): void {
    const { budget, geometry, torrent, send } = this.#settings;
    const section = this.#sections[group]!;
    const canTake = (piece: PieceIndex): boolean => section.canGive(piece) && budget.room(geometry.lengthOf(piece)) > 0;
    for (const piece of this.#bad) {
      if (!this.#bad.isExclusive(piece) || !this.#isOthers(piece, group) || !canTake(piece)) continue;
      this.#lease(group, piece);
      return this.flush();
    }
    const shared = this.#ledger.share(group, (piece) => !this.#bad.isExclusive(piece) && canTake(piece));
    const buffer = shared && budget.take(geometry.lengthOf(shared.piece));
    if (shared === undefined || buffer === undefined) return;
    const { lease, holder, piece } = shared;
    this.#copies.set(lease, { holder, piece, group });
    send(holder, { type: 'share', torrent, lease, buffer });
  }

  /** Whether others fetch a piece, and not this group. */
  #isOthers(piece: PieceIndex, group: number): boolean {
    if (this.#picker.stateOf(piece) !== PieceState.fetching) return false;
    const leases = this.#ledger.leasesOf(piece);
    return leases.length > 0 && leases.every((lease) => lease.group !== group);
  }

  /** A copy has come: it is leased to the group it is for, if the piece is still being fetched. The first verified one wins. */
  onShared({ lease, buffer, present, givers }: Shared): void {
    const copy = this.#copies.get(lease);
    this.#copies.delete(lease);
    const isWanted = copy !== undefined && this.#picker.stateOf(copy.piece) === PieceState.fetching;
    if (present === undefined) {
      // Not there yet, or being hashed: it is asked again, though not at once.
      this.#ledger.unshare(lease);
      this.#exhaustedAt = undefined;
    }
    if (!isWanted || present === undefined || givers === undefined || this.#stopped) return this.#free(buffer);
    const { holder, group, piece } = copy;
    const number = this.#ledger.grant(group, piece, this.#giversOf(holder, lease, givers));
    this.#outbox[group]!.push({ lease: number, piece, buffer, present, suspect: this.#bad.has(piece) });
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
      // It has been hash-checked: whatever the number says, it is good unless it came before. Also at a stop. While blocks of it
      // are being written, those could come out on top.
      if (this.#isDone(piece) || this.#settings.spills?.isWriting(piece) === true) {
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

  onReturned(group: number, { lease, piece, buffer, present, givers: peers }: Returned, now: number): void {
    const givers = this.#giversOf(group, lease, peers);
    const isKnown = this.#ledger.settle(lease);
    const partial = present.includes(1);
    if (isKnown && !partial) this.#bad.onEmpty(piece);
    if (!isKnown || !this.#isOrphan(piece)) return this.#free(buffer);
    if (partial) this.#keep(piece, { buffer, present }, givers, now);
    else this.#free(buffer);
    this.#picker.onReturned(piece, partial);
    this.#events.onCanLease();
  }

  /** Who alone gave a bad piece is guilty. Of several nobody is, until the piece passes and shows which blocks were bad. */
  onCorrupt(group: number, { lease, piece, buffer, givers: peers, digests }: Corrupt): void {
    const givers = this.#giversOf(group, lease, peers);
    const known = this.#ledger.settle(lease);
    this.#free(buffer);
    this.#settings.spills?.forget(piece);
    if (!known || this.#stopped) return;
    const guilty = this.#evidence.onCorrupt(piece, givers, digests);
    this.#accuse(guilty);
    if (this.#isDone(piece)) return this.#evidence.drop(piece);
    if (this.#isOrphan(piece)) this.#picker.onLost(piece);
    const failures = this.#bad.onFailed(piece, guilty !== undefined);
    if (failures !== undefined) {
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

  /** No more leases; what is verified is written. Unfinished pieces stay at home, for whoever saves them. */
  stop(): void {
    this.#stopped = true;
    for (const partial of this.#partials.values()) this.#settings.idle.delete(partial);
  }

  /** Unfinished pieces at home: their blocks, and which there are. All that will come, once the groups have left. */
  get partials(): ReadonlyMap<PieceIndex, Partial> {
    return this.#partials;
  }

  /** Gives the buffers of unfinished pieces up. */
  dropPartials(): void {
    for (const piece of this.#partials.keys()) this.#settings.budget.give(this.#takePartial(piece)!.buffer);
  }

  /** Nobody works on the piece until a group wants it, or others its buffer. */
  #keep(piece: PieceIndex, { buffer, present }: Partial, givers: readonly Giver[], since: number): void {
    const spill = (): Promise<void> => this.#spill(piece);
    const unfinished = { buffer, present, givers, bytes: buffer.byteLength, since, spill };
    this.#partials.set(piece, unfinished);
    if (this.#settings.spills !== undefined && !this.#stopped) this.#settings.idle.add(unfinished);
  }

  #takePartial(piece: PieceIndex): Unfinished | undefined {
    const partial = this.#partials.get(piece);
    if (partial === undefined) return undefined;
    this.#partials.delete(piece);
    this.#settings.idle.delete(partial);
    return partial;
  }

  /** The blocks of a piece go to disk, its buffer to whoever wants one. A stop waits for it (`Spills.idle`). */
  async #spill(piece: PieceIndex): Promise<void> {
    const partial = this.#takePartial(piece)!;
    this.#picker.onSpilling(piece);
    await this.#settings.spills!.write(piece, partial).catch((error: SpateError) => this.#events.onError(error));
    this.#picker.onReturned(piece, false);
    this.#free(partial.buffer);
  }

  /** Leases a piece to a group: with its blocks, if it has any. */
  #lease(group: number, piece: PieceIndex): void {
    const { budget, geometry, spills } = this.#settings;
    const suspect = this.#bad.has(piece);
    const exclusive = this.#bad.isExclusive(piece);
    const partial = this.#takePartial(piece);
    const lease = this.#ledger.grant(group, piece, partial?.givers);
    if (partial !== undefined) {
      const { buffer, present } = partial;
      this.#outbox[group]!.push({ lease, piece, buffer, present, suspect });
      return;
    }
    const buffer = budget.take(geometry.lengthOf(piece));
    if (buffer === undefined) throw new SpateError('INTERNAL', `no buffer for piece ${piece} after room was promised`);
    if (spills?.has(piece) === true) void this.#readBack(spills, group, { lease, piece, buffer, exclusive, suspect });
    else this.#outbox[group]!.push({ lease, piece, buffer, exclusive, suspect });
  }

  /** A lease of a piece that lies on disk is posted when it has been read. */
  async #readBack(spills: Spills, group: number, grant: LeaseGrant): Promise<void> {
    const { lease, piece, buffer } = grant;
    const present = await spills.read(piece, buffer);
    // Its group has died: the buffer was written off with those it held.
    if (!this.#ledger.isOut(lease)) return;
    if (this.#stopped || this.#isDone(piece)) {
      this.#ledger.settle(lease);
      return this.#free(buffer);
    }
    this.#outbox[group]!.push(present === undefined ? grant : { ...grant, exclusive: false, present });
    this.flush();
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
    const partial = this.#takePartial(piece);
    if (partial !== undefined) this.#free(partial.buffer);
  }

  #onWritten(piece: PieceIndex): void {
    this.have.set(piece);
    this.#picker.onWritten(piece);
    this.#bad.delete(piece);
    this.#evidence.drop(piece);
    this.#settings.spills?.forget(piece);
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

/**
 * The piece picker: which piece a group fetches next. Events in, one question out (`pick`). Pure; runs on main, once per
 * piece, never per block.
 *
 * | state | leaves it when |
 * | --- | --- |
 * | missing | picked -> fetching |
 * | fetching | verified -> writing; returned -> partial or missing; corrupt or lost -> missing |
 * | partial | picked, before anything missing -> fetching; being spilled -> fetching, then missing |
 * | writing | written -> have |
 * | have, unwanted | never |
 *
 * Rarest first: the missing pieces are sorted by availability, random among equals (one shuffle for the torrent's life, a
 * stable counting sort by availability on top), re-sorted lazily. A cursor per group walks the order, so that a pick costs
 * what it passes over once per sort. The very first pieces are picked at random, so that there is something to upload soon.
 * Neighbours are picked in runs, which become one disk write: small pieces whatever their rarity, larger ones that are no less rare.
 */
import type { Bitfield } from './bitfield.js';
import type { Geometry, PieceIndex } from './geometry.js';

export const PieceState = { missing: 0, fetching: 1, partial: 2, writing: 3, have: 4, unwanted: 5 } as const;
export type PieceState = (typeof PieceState)[keyof typeof PieceState];

/** What a group's peers can give. */
export interface Source {
  canGive(piece: number): boolean;
}

/** Availability of each piece in one group. */
export interface Availability {
  readonly availability: Uint16Array;
  readonly version: number;
}

/** Bytes of neighbouring pieces that are picked together, if none is less rare than the first. */
const RUN_BYTES = 4 * 1_048_576;
/** Of so many bytes the neighbours are picked whatever their rarity: one by one, small pieces cost the disk too much. */
const SMALL_RUN_BYTES = 1_048_576;
/** Pieces picked at random before rarity counts (BEP 3: a random first piece). */
const RANDOM_FIRST = 4;
/** Suggested pieces that stand before their equals; of more the oldest give their places. */
const SUGGESTED_FIRST = 64;
const RESORT_MS = 500;
/** Bounds what an unanswerable question costs: the order is walked again from its start no more often than this allows. */
const WRAPPED_PER_MS = 20_000;

export class Picker {
  readonly #states: Uint8Array;
  /** All pieces in random order, but for those that peers suggested last: the order among equals. */
  readonly #shuffled: Uint32Array;
  /** Pieces picked together at most. */
  readonly runLength: number;
  readonly #smallRunLength: number;
  readonly #availability: readonly Availability[];
  /** The missing pieces at the last sort, rarest first. */
  #order: Uint32Array;
  /** Peers that had each piece at the last sort; seeds do not count. */
  #rarity: Uint32Array;
  #sortedAt = Number.NEGATIVE_INFINITY;
  #sortedVersion = -1;
  readonly #cursors: number[];
  /** Per group: the piece whose run was cut short by what was asked for; -1 for none. The rest of it is next. */
  readonly #begun: number[];
  /** When a group that reached the end may walk the order again, for pieces that its peers could not give before. */
  readonly #wrapAt: number[];
  /** Pieces that came back: partial ones, and missing ones that a cursor may have passed. */
  readonly #returned = new Set<PieceIndex>();
  #suggestions = 0;
  #left: number;
  /** Missing and partial pieces. */
  #pickable: number;
  #have: number;

  /**
   * @param wanted pieces to fetch
   * @param have pieces on disk already
   * @param availability one per group, live
   * @param random uniform in [0, 1)
   */
  constructor(
    geometry: Geometry,
    wanted: Bitfield,
    have: Bitfield,
    availability: readonly Availability[],
    random: () => number,
  ) {
    const count = geometry.pieceCount;
    this.#availability = availability;
    this.runLength = Math.max(1, Math.floor(RUN_BYTES / geometry.pieceLength));
    this.#smallRunLength = Math.max(1, Math.floor(SMALL_RUN_BYTES / geometry.pieceLength));
    this.#rarity = new Uint32Array(count);
    this.#states = new Uint8Array(count);
    for (let piece = 0; piece < count; piece++) {
      if (have.has(piece)) this.#states[piece] = PieceState.have;
      else if (!wanted.has(piece)) this.#states[piece] = PieceState.unwanted;
    }
    this.#shuffled = shuffled(count, random);
    this.#order = this.#missing();
    this.#left = this.#order.length;
    this.#pickable = this.#left;
    this.#have = have.count;
    this.#cursors = availability.map(() => 0);
    this.#begun = availability.map(() => -1);
    this.#wrapAt = availability.map(() => Number.NEGATIVE_INFINITY);
  }

  /** Wanted pieces not on disk yet. */
  get left(): number {
    return this.#left;
  }

  /** Whether nothing is left to pick: every wanted piece is being fetched, written or had. The endgame. */
  get isExhausted(): boolean {
    return this.#pickable === 0;
  }

  stateOf(piece: PieceIndex): PieceState {
    return this.#states[piece] as PieceState;
  }

  /**
   * Up to `most` pieces for a group to fetch, marked as fetching; fewer when there is nothing else its peers can give.
   * @param now ms
   * @param fresh how many of them may be other than partial: those need a new buffer
   */
  pick(group: number, source: Source, most: number, now: number, fresh: number = most): PieceIndex[] {
    this.#sortWhenStale(now);
    const picked: PieceIndex[] = [];
    this.#takeReturned(PieceState.partial, source, most, picked);
    const count = Math.min(most, picked.length + fresh);
    this.#takeReturned(PieceState.missing, source, count, picked);
    const begun = this.#begun[group]!;
    if (begun !== -1) this.#takeRun(begun, group, source, count, picked);
    const passed = this.#cursors[group]!;
    this.#walk(group, passed, this.#order.length, source, count, picked);
    if (picked.length < count && passed > 0 && now >= this.#wrapAt[group]!) {
      this.#wrapAt[group] = now + this.#order.length / WRAPPED_PER_MS;
      this.#walk(group, 0, passed, source, count, picked);
    }
    return picked;
  }

  /** A peer suggests a piece (BEP 6): of those that are as rare it comes first, after the next sort. */
  onSuggested(piece: PieceIndex): void {
    const front = this.#suggestions++ % Math.min(SUGGESTED_FIRST, this.#shuffled.length);
    const at = this.#shuffled.indexOf(piece);
    this.#shuffled[at] = this.#shuffled[front]!;
    this.#shuffled[front] = piece;
    this.#sortedVersion = -1;
  }

  onVerified(piece: PieceIndex): void {
    this.#returned.delete(piece);
    this.#move(piece, PieceState.writing);
  }

  onWritten(piece: PieceIndex): void {
    this.#states[piece] = PieceState.have;
    this.#left--;
    this.#have++;
  }

  /** Came back unfinished. @param partial whether it holds blocks in memory; those on disk are picked before other missing ones */
  onReturned(piece: PieceIndex, partial: boolean): void {
    this.#move(piece, partial ? PieceState.partial : PieceState.missing);
    this.#returned.add(piece);
  }

  /** A partial piece is on its way to disk: nobody can have it until it is returned from there, as missing. */
  onSpilling(piece: PieceIndex): void {
    this.#returned.delete(piece);
    this.#move(piece, PieceState.fetching);
  }

  /** Failed its hash, or its group died. */
  onLost(piece: PieceIndex): void {
    this.onReturned(piece, false);
  }

  #move(piece: PieceIndex, state: PieceState): void {
    if (isPickable(this.#states[piece]!)) this.#pickable--;
    if (isPickable(state)) this.#pickable++;
    this.#states[piece] = state;
  }

  #take(piece: PieceIndex, picked: PieceIndex[]): void {
    this.#move(piece, PieceState.fetching);
    this.#returned.delete(piece);
    picked.push(piece);
  }

  #takeReturned(state: PieceState, source: Source, count: number, picked: PieceIndex[]): void {
    for (const piece of this.#returned) {
      if (picked.length === count) return;
      if (this.#states[piece] === state && source.canGive(piece)) this.#take(piece, picked);
    }
  }

  #walk(group: number, from: number, to: number, source: Source, count: number, picked: PieceIndex[]): void {
    let cursor = from;
    while (cursor < to && picked.length < count) {
      const piece = this.#order[cursor++] as PieceIndex;
      if (this.#states[piece] !== PieceState.missing || !source.canGive(piece)) continue;
      this.#takeRun(piece, group, source, count, picked);
    }
    this.#cursors[group] = cursor;
  }

  /** Takes a piece and its neighbours inside the same aligned run, as far as they are missing and no less rare, or small. */
  #takeRun(piece: number, group: number, source: Source, count: number, picked: PieceIndex[]): void {
    const first = piece - (piece % this.runLength);
    const end = Math.min(first + this.runLength, this.#states.length);
    // Of a run begun before, the piece itself has gone out, and may have come back.
    const isMissing = this.#states[piece] === PieceState.missing && source.canGive(piece);
    if (isMissing && picked.length < count) this.#take(piece as PieceIndex, picked);
    for (let next = first; next < end && picked.length < count; next++) {
      if (this.#states[next] !== PieceState.missing || !this.#goesWith(piece, next)) continue;
      if (source.canGive(next)) this.#take(next as PieceIndex, picked);
    }
    this.#begun[group] = picked.length < count ? -1 : piece;
  }

  #goesWith(piece: number, next: number): boolean {
    const offset = piece % this.#smallRunLength;
    const isClose = next >= piece - offset && next < piece - offset + this.#smallRunLength;
    return isClose || this.#rarity[next]! <= this.#rarity[piece]!;
  }

  #sortWhenStale(now: number): void {
    if (now - this.#sortedAt < RESORT_MS) return;
    const version = this.#availability.reduce((sum, group) => sum + group.version, 0);
    this.#sortedAt = now;
    if (version === this.#sortedVersion || this.#have < RANDOM_FIRST) return;
    this.#sortedVersion = version;
    this.#sort();
  }

  /** The missing pieces in shuffled order. Plain loops here and in `#sort`: a million pieces cost 15 ms instead of 100. */
  #missing(): Uint32Array {
    const missing = new Uint32Array(this.#shuffled.length);
    let count = 0;
    for (let i = 0; i < this.#shuffled.length; i++) {
      const piece = this.#shuffled[i]!;
      if (this.#states[piece] === PieceState.missing) missing[count++] = piece;
    }
    return missing.subarray(0, count);
  }

  /** Stable counting sort of the missing pieces, as they were shuffled, by availability. */
  #sort(): void {
    this.#rarity = this.#totalAvailability();
    const total = this.#rarity;
    const missing = this.#missing();
    let most = 0;
    for (let piece = 0; piece < total.length; piece++) if (total[piece]! > most) most = total[piece]!;
    const starts = new Uint32Array(most + 2);
    for (let i = 0; i < missing.length; i++) starts[total[missing[i]!]! + 1]!++;
    for (let n = 1; n < starts.length; n++) starts[n]! += starts[n - 1]!;
    this.#order = new Uint32Array(missing.length);
    for (let i = 0; i < missing.length; i++) {
      const piece = missing[i]!;
      this.#order[starts[total[piece]!]!++] = piece;
    }
    this.#cursors.fill(0);
    this.#begun.fill(-1);
  }

  #totalAvailability(): Uint32Array {
    const total = new Uint32Array(this.#states.length);
    for (const { availability } of this.#availability) {
      for (let piece = 0; piece < total.length; piece++) total[piece]! += availability[piece]!;
    }
    return total;
  }
}

const isPickable = (state: number): boolean => state === PieceState.missing || state === PieceState.partial;

/** 0 to `count` - 1 in random order (Fisher-Yates, inside out). */
function shuffled(count: number, random: () => number): Uint32Array {
  const values = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const j = Math.floor(random() * (i + 1));
    values[i] = values[j]!;
    values[j] = i;
  }
  return values;
}

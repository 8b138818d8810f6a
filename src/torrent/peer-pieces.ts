/**
 * What one peer has (BEP 3, have-all and allowed fast BEP 6, `lt_donthave` BEP 54), and what of it may be asked for while it
 * chokes us. Pure; the session says what comes of it.
 */
import { WireError } from '../protocol/wire.js';
import { Bitfield } from './bitfield.js';
import type { PieceIndex } from './geometry.js';

export interface PeerPiecesEvents {
  /** It has other pieces than before: more, or all but one of all. */
  onPieces(before: Bitfield): void;
  /** It has one more. */
  onPiece(piece: PieceIndex): void;
  /** It, no seed before, has one less. */
  onLost(piece: PieceIndex): void;
}

/** Allowed fast pieces remembered of a peer that does not have them yet; BEP 6 suggests 10. */
const MAX_GRANTED = 64;

/** Between seed and not, all pieces are counted anew: a peer that goes to and fro wants just that. */
const MAX_LAPSES = 16;

export class PeerPieces {
  readonly #full: Bitfield;
  readonly #events: PeerPiecesEvents;
  #has: Bitfield;
  /** Pieces the peer lets us ask for while it chokes us, and does not have yet (BEP 6: it may grant these too). */
  readonly #granted = new Set<PieceIndex>();
  /** Those that it has. */
  #allowedFast: Bitfield | undefined;
  /** Times it was a seed and lost a piece. */
  #lapses = 0;

  /** @param full stands for every seed */
  constructor(full: Bitfield, events: PeerPiecesEvents) {
    this.#full = full;
    this.#events = events;
    this.#has = new Bitfield(full.size);
  }

  /** Shared with every seed, so read-only. */
  get has(): Bitfield {
    return this.#has;
  }

  /** What may be asked for while the peer chokes us; `undefined` until there is something. */
  get allowedFast(): Bitfield | undefined {
    return this.#allowedFast;
  }

  /** @returns whether it is new */
  onHave(piece: PieceIndex): boolean {
    if (this.#has.has(piece)) return false;
    this.#has.set(piece);
    this.#events.onPiece(piece);
    if (this.#has.isFull) this.#has = this.#full;
    if (this.#granted.has(piece)) this.#useGrants();
    return true;
  }

  /**
   * At any time: aria2 sends it again later. HAVEs may complete it: a lazy bitfield.
   * @returns whether any of it is new
   * @throws WireError when its length or spare bits are wrong
   */
  onBitfield(bytes: Uint8Array): boolean {
    const given = Bitfield.fromWire(bytes, this.#full.size);
    if (given === undefined) {
      throw new WireError(`bitfield of ${bytes.length} bytes does not fit ${this.#full.size} pieces`);
    }
    given.include(this.#has);
    return given.count > this.#has.count && this.#become(given.isFull ? this.#full : given);
  }

  /** @returns whether any of it is new */
  onHaveAll(): boolean {
    return !this.#has.isFull && this.#become(this.#full);
  }

  /**
   * @returns whether it had it
   * @throws WireError of a seed that loses pieces all the time
   */
  onDontHave(piece: PieceIndex): boolean {
    if (!this.#has.has(piece)) return false;
    this.#allowedFast?.clear(piece);
    if (!this.#has.isFull) {
      this.#has.clear(piece);
      this.#events.onLost(piece);
      return true;
    }
    if (++this.#lapses > MAX_LAPSES) throw new WireError(`a seed that loses pieces ${this.#lapses} times`);
    // What it has is shared with every seed.
    const rest = Bitfield.full(this.#has.size);
    rest.clear(piece);
    return this.#become(rest);
  }

  /** The piece may be asked for while the peer chokes us. */
  grant(piece: PieceIndex): void {
    if (this.#granted.size < MAX_GRANTED) this.#granted.add(piece);
    this.#useGrants();
  }

  /** It may not after all. */
  revoke(piece: PieceIndex): void {
    this.#allowedFast?.clear(piece);
  }

  #become(has: Bitfield): true {
    const before = this.#has;
    this.#has = has;
    this.#events.onPieces(before);
    this.#useGrants();
    return true;
  }

  /** What was granted may be asked for as soon as the peer has it. */
  #useGrants(): void {
    for (const piece of this.#granted) {
      if (!this.#has.has(piece)) continue;
      this.#allowedFast ??= new Bitfield(this.#has.size);
      this.#allowedFast.set(piece);
      this.#granted.delete(piece);
    }
  }
}

/**
 * What we give one peer (BEP 3, fast extension BEP 6): whether it is choked, what it asked for, what it may ask for all the
 * same. Pure; reading and sending blocks is the group's.
 */
import type { Options } from '../options.js';
import { CHOKE, encodeAllowedFast, encodeReject, UNCHOKE, WireError } from '../protocol/wire.js';
import type { Bitfield } from './bitfield.js';
import type { Geometry, PieceIndex } from './geometry.js';
import { UploadQueue } from './upload-queue.js';

export interface UploadSettings {
  readonly geometry: Geometry;
  /** Pieces that may be served. */
  readonly have: Bitfield;
  readonly options: Pick<Options, 'uploadQueue' | 'uploadRequestBytes'>;
  /** Whether the fast extension is spoken: then every request has an answer, be it a reject. */
  readonly fast: boolean;
  /** Whether the peer has so little that it may still use what `allowFast` granted. */
  isNew(): boolean;
  send(bytes: Uint8Array): void;
  /** There is something to upload. */
  serve(): void;
  /** Nothing more is to be read from the peer until the queue is half empty. */
  hold(): void;
}

/** Of an allowed fast piece each block may be asked for so often: some answers are lost to a choke or a bad hash. */
const FAST_TIMES = 3;

export class UploadSide {
  readonly queue = new UploadQueue();
  readonly #settings: UploadSettings;
  /** Pieces the peer may ask for while it is choked, and how many times more. */
  readonly #allowedFast = new Map<number, number>();
  #choking = true;
  /** Not sent yet. */
  #rejects: Uint8Array[] = [];

  constructor(settings: UploadSettings) {
    this.#settings = settings;
  }

  get amChoking(): boolean {
    return this.#choking;
  }

  /** Grants pieces to ask for while choked, so that a new peer has something to trade soon (BEP 6). */
  allowFast(pieces: readonly number[]): void {
    if (!this.#settings.fast || pieces.length === 0) return;
    const { blocksPerPiece } = this.#settings.geometry;
    for (const piece of pieces) this.#allowedFast.set(piece, FAST_TIMES * blocksPerPiece);
    this.#settings.send(encodeAllowedFast(pieces));
  }

  choke(): void {
    if (this.#choking) return;
    this.#choking = true;
    this.#settings.send(CHOKE);
    for (const { piece, begin, length } of this.queue.clear((request) => this.#allowedFast.has(request.piece))) {
      this.#reject(piece, begin, length);
    }
    this.flush();
  }

  unchoke(): void {
    if (!this.#choking) return;
    this.#choking = false;
    this.#settings.send(UNCHOKE);
  }

  /**
   * @returns whether it will be served
   * @throws WireError for a range outside of the piece or longer than anybody asks for
   */
  onRequest(piece: PieceIndex, begin: number, length: number): boolean {
    const { geometry, have, options } = this.#settings;
    if (!geometry.contains(piece, begin, length) || length > options.uploadRequestBytes) {
      throw new WireError(`request for ${length} bytes at ${begin} of piece ${piece} is out of range`);
    }
    const admitted = !this.#choking || this.#admitsFast(piece);
    const isFull = this.queue.size >= options.uploadQueue;
    // Who knows our `reqq` and can be told no is told no. Anybody else would wait for the answer for ever: such a peer is
    // held back instead, since transmission asks for 10 s of its rate when it knows no limit.
    if (!admitted || !have.has(piece) || (isFull && this.#settings.fast)) {
      this.#reject(piece, begin, length);
      return false;
    }
    this.queue.push({ piece, begin, length });
    if (this.queue.size >= options.uploadQueue) this.#settings.hold();
    this.#settings.serve();
    return true;
  }

  /** Who says that it has nothing and asks for the same again and again (BEP 6: MAY be rejected) takes what it was not given. */
  #admitsFast(piece: PieceIndex): boolean {
    const left = this.#allowedFast.get(piece) ?? 0;
    if (left === 0 || !this.#settings.isNew()) return false;
    this.#allowedFast.set(piece, left - 1);
    return true;
  }

  /** Whether a peer that was held back may be read from again. */
  get hasRoom(): boolean {
    return this.queue.size <= this.#settings.options.uploadQueue / 2;
  }

  /** @returns whether it was still waiting */
  onCancel(piece: number, begin: number, length: number): boolean {
    const isWaiting = this.queue.cancel(piece, begin, length);
    if (isWaiting) this.#reject(piece, begin, length);
    return isWaiting;
  }

  /** BEP 3 has no word for it: a request that crossed our choke, or is one too many, stays without an answer there. */
  #reject(piece: number, begin: number, length: number): void {
    if (this.#settings.fast) this.#rejects.push(encodeReject(piece, begin, length));
  }

  /** Sends the rejects of one read as one write: one by one they cost far more memory than they have bytes. */
  flush(): void {
    if (this.#rejects.length === 0) return;
    this.#settings.send(Buffer.concat(this.#rejects));
    this.#rejects = [];
  }
}

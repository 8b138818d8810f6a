/**
 * The blocks a peer has asked us for, in order, bounded. Pure. Transmission's requests follow a torrent-wide grid and may be
 * unaligned and short, so that any range inside a piece is kept as it is.
 */
import type { PieceIndex } from './geometry.js';

export interface UploadRequest {
  readonly piece: PieceIndex;
  readonly begin: number;
  readonly length: number;
}

export class UploadQueue {
  readonly #limit: number;
  #requests: UploadRequest[] = [];

  /** @param limit requests kept; further ones are refused */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#requests.length;
  }

  /** @returns whether there was room */
  push(request: UploadRequest): boolean {
    if (this.#requests.length >= this.#limit) return false;
    this.#requests.push(request);
    return true;
  }

  /** A CANCEL: the block may be on its way already. */
  cancel(piece: number, begin: number, length: number): void {
    const at = this.#requests.findIndex((r) => r.piece === piece && r.begin === begin && r.length === length);
    if (at !== -1) this.#requests.splice(at, 1);
  }

  /** Removes the oldest requests that continue one another in one piece, up to `maxBytes` but at least one. */
  takeRun(maxBytes: number): UploadRequest[] {
    const first = this.#requests[0];
    if (first === undefined) return [];
    let end = first.begin + first.length;
    let count = 1;
    for (; count < this.#requests.length; count++) {
      const { piece, begin, length } = this.#requests[count]!;
      if (piece !== first.piece || begin !== end || end + length - first.begin > maxBytes) break;
      end += length;
    }
    return this.#requests.splice(0, count);
  }

  /** After a choke nothing is owed (BEP 3). */
  clear(): void {
    this.#requests = [];
  }
}

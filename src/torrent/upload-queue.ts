/**
 * The blocks a peer has asked us for, in order. Pure; how many may wait is for `upload-side.ts` to say. Transmission's requests follow a torrent-wide grid and may be
 * unaligned and short, so that any range inside a piece is kept as it is.
 */
import type { PieceIndex } from './geometry.js';

export interface UploadRequest {
  readonly piece: PieceIndex;
  readonly begin: number;
  readonly length: number;
}

export class UploadQueue {
  #requests: UploadRequest[] = [];

  get size(): number {
    return this.#requests.length;
  }

  /** Bytes of the oldest request, 0 when there is none. */
  get firstLength(): number {
    return this.#requests[0]?.length ?? 0;
  }

  push(request: UploadRequest): void {
    this.#requests.push(request);
  }

  /** A CANCEL: the block may be on its way already. @returns whether it was still waiting */
  cancel(piece: number, begin: number, length: number): boolean {
    const at = this.#requests.findIndex((r) => r.piece === piece && r.begin === begin && r.length === length);
    if (at !== -1) this.#requests.splice(at, 1);
    return at !== -1;
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

  /** A choke: nothing is owed but what may be asked for all the same (BEP 6). @returns what was dropped */
  clear(keeps: (request: UploadRequest) => boolean = () => false): UploadRequest[] {
    const dropped = this.#requests.filter((request) => !keeps(request));
    this.#requests = this.#requests.filter(keeps);
    return dropped;
  }
}

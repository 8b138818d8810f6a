/**
 * Who spoilt a piece: what its givers sent each time it failed its hash, kept until it passes. Then the block digests of the
 * good piece tell who sent another block than that, and nobody else is named. Pure; it neither hashes nor bans.
 *
 * A giver is an IP address, since that is what is banned: it outlives its connection and the group that held it. What nobody
 * is known to have given, such as a block that was on disk, speaks against nobody.
 */
import type { PieceIndex } from './geometry.js';

/** The IP address of the peer that gave a block; `undefined` when it is not known. */
export type Giver = string | undefined;

const DIGEST_LENGTH = 20;
/** What a failure costs beside its blocks: bounds how many small ones are kept. */
const FAILURE_BYTES = 256;
/** A digest and a reference to the giver. */
const BLOCK_BYTES = DIGEST_LENGTH + 8;

interface Failure {
  /** One per block. */
  readonly givers: readonly Giver[];
  /** 20 bytes per block. */
  readonly digests: Uint8Array;
}

export class Evidence {
  readonly #capBytes: number;
  /** The piece that failed first comes first. */
  readonly #failures = new Map<PieceIndex, Failure[]>();
  #bytes = 0;

  /** @param capBytes of what is kept; beyond that the oldest is forgotten, and who is guilty of it gets away */
  constructor(capBytes: number) {
    this.#capBytes = capBytes;
  }

  /** Bytes that what is kept is charged with. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * A piece has failed its hash.
   * @returns who gave all of it and is guilty already; of several givers nobody is yet
   */
  onCorrupt(piece: PieceIndex, givers: readonly Giver[], digests: Uint8Array): Giver {
    const [first] = givers;
    if (givers.every((giver) => giver === first)) return first;
    const failures = this.#failures.get(piece) ?? [];
    failures.push({ givers, digests });
    this.#failures.set(piece, failures);
    this.#bytes += bytesOf(givers);
    for (const oldest of this.#failures.keys()) {
      if (this.#bytes <= this.#capBytes) break;
      this.drop(oldest);
    }
    return undefined;
  }

  /**
   * A piece has passed its hash: who gave a block that differs from it is guilty. What was kept of the piece is dropped.
   * @param digests of its blocks, 20 bytes each
   */
  onVerified(piece: PieceIndex, digests: Uint8Array): Set<string> {
    const guilty = new Set<string>();
    for (const failure of this.#failures.get(piece) ?? []) {
      for (const [block, giver] of failure.givers.entries()) {
        if (giver !== undefined && !isSame(failure.digests, digests, block)) guilty.add(giver);
      }
    }
    this.drop(piece);
    return guilty;
  }

  drop(piece: PieceIndex): void {
    for (const { givers } of this.#failures.get(piece) ?? []) this.#bytes -= bytesOf(givers);
    this.#failures.delete(piece);
  }
}

const bytesOf = (givers: readonly Giver[]): number => FAILURE_BYTES + givers.length * BLOCK_BYTES;

/** Whether a block has one digest in both; two that are not there are the same. */
function isSame(a: Uint8Array, b: Uint8Array, block: number): boolean {
  for (let at = block * DIGEST_LENGTH; at < (block + 1) * DIGEST_LENGTH; at++) if (a[at] !== b[at]) return false;
  return true;
}

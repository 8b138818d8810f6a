/**
 * The leases of one torrent in one group on their way in and out: a lease comes as an empty buffer, and goes home verified,
 * corrupt or unfinished. Which block is asked of whom is the `LeaseTable`'s.
 */
import type { LeaseGrant, VerifiedLease } from '../src/messages.js';
import type { Geometry } from '../src/torrent/geometry.js';
import type { LeaseTable } from '../src/torrent/lease-table.js';
import { PieceBuffer } from '../src/torrent/piece-buffer.js';
import type { GroupContext } from './context.js';
import { hashBlocks, hashPiece } from './hash.js';

export interface LeaseDeskEvents {
  onWaste(bytes: number): void;
  /** The last lease is about to go home. */
  onLast(): void;
  /** A piece has been hashed, with whatever result. */
  onHashed(): void;
}

export class LeaseDesk {
  readonly #torrent: number;
  readonly #table: LeaseTable;
  readonly #geometry: Geometry;
  /** 20 bytes per piece. */
  readonly #hashes: Uint8Array;
  readonly #context: Pick<GroupContext, 'post' | 'options'>;
  readonly #events: LeaseDeskEvents;
  /** On their way home: posted together, and not much later than the first was ready. */
  #verified: VerifiedLease[] = [];
  #verifiedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Pieces being hashed across turns of the loop. */
  #hashing = 0;

  constructor(
    torrent: number,
    table: LeaseTable,
    geometry: Geometry,
    hashes: Uint8Array,
    context: Pick<GroupContext, 'post' | 'options'>,
    events: LeaseDeskEvents,
  ) {
    this.#torrent = torrent;
    this.#table = table;
    this.#geometry = geometry;
    this.#hashes = hashes;
    this.#context = context;
    this.#events = events;
  }

  get isHashing(): boolean {
    return this.#hashing > 0;
  }

  grant(grants: readonly LeaseGrant[], now: number): void {
    for (const grant of grants) {
      const lease = new PieceBuffer(grant, this.#geometry, now);
      this.#table.add(lease);
      // A spilled piece can come complete: it is still hashed as a whole.
      if (lease.isComplete) this.hash(lease);
    }
  }

  /** Endgame: copies what is there of a lease. @returns the blocks it holds and who gave them; `undefined` when it is not held */
  copy(number: number, buffer: ArrayBuffer): { present: Uint8Array; givers: Uint32Array } | undefined {
    const lease = this.#held(number);
    if (lease === undefined) return undefined;
    new Uint8Array(buffer).set(lease.bytes);
    return { present: lease.presence(), givers: lease.givers() };
  }

  /** Sends a lease home unfinished. @returns the lease, if it was held */
  giveBack(number: number): PieceBuffer | undefined {
    const lease = this.#held(number);
    if (lease !== undefined) this.#return(lease);
    return lease;
  }

  giveBackAll(): void {
    for (const lease of [...this.#table]) this.#return(lease);
  }

  /** Leases that nobody here can go on with, and those without progress, are somebody else's to finish. */
  giveBackIdle(canProgress: (lease: PieceBuffer) => boolean, now: number): void {
    const { tickMs, leaseIdleMs } = this.#context.options;
    for (const lease of [...this.#table]) {
      const idle = now - lease.progressAt;
      if (idle >= tickMs && (idle >= leaseIdleMs || !canProgress(lease))) this.#return(lease);
    }
  }

  /** A piece has all its blocks. */
  hash(lease: PieceBuffer): void {
    this.#table.remove(lease);
    this.#tellDiscarded(lease, false);
    this.#hashing++;
    hashPiece(lease.bytes, (digest) => {
      const { lease: number, piece, buffer } = lease;
      const expected = this.#hashes.subarray(piece * 20, piece * 20 + 20);
      const isGood = Buffer.compare(digest, expected) === 0;
      if (isGood && !lease.suspect) {
        this.#onVerified({ lease: number, piece, buffer }, lease.bytes.length);
        return this.#onHashed();
      }
      hashBlocks(lease.bytes, (digests) => {
        if (isGood) this.#onVerified({ lease: number, piece, buffer, digests }, lease.bytes.length);
        else this.#onCorrupt(lease, digests);
        this.#onHashed();
      });
    });
  }

  #onHashed(): void {
    this.#hashing--;
    this.#events.onHashed();
  }

  #onVerified(lease: VerifiedLease, bytes: number): void {
    const { verifiedBatchMs, verifiedBatchBytes } = this.#context.options;
    this.#verified.push(lease);
    this.#verifiedBytes += bytes;
    const isLast = this.#table.size === 0 && this.#hashing === 1;
    if (isLast) this.#events.onLast();
    if (this.#verifiedBytes >= verifiedBatchBytes || this.#table.size === 0) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), verifiedBatchMs);
  }

  /** Posts what has been verified. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#verified.length === 0) return;
    const leases = this.#verified;
    this.#verified = [];
    this.#verifiedBytes = 0;
    this.#context.post({ type: 'verified', torrent: this.#torrent, leases });
  }

  #onCorrupt(lease: PieceBuffer, digests: Uint8Array): void {
    this.#events.onWaste(lease.bytes.length);
    const { lease: number, piece, buffer } = lease;
    const givers = lease.givers();
    this.#context.post({ type: 'corrupt', torrent: this.#torrent, lease: number, piece, buffer, givers, digests });
  }

  #return(lease: PieceBuffer): void {
    this.#table.remove(lease);
    this.#tellDiscarded(lease, true);
    const { lease: number, piece, buffer } = lease;
    const present = lease.presence();
    const givers = lease.givers();
    this.#context.post({ type: 'returned', torrent: this.#torrent, lease: number, piece, buffer, present, givers });
  }

  #tellDiscarded(lease: PieceBuffer, isOver: boolean): void {
    const bytes = lease.discarded(isOver);
    if (bytes > 0) this.#events.onWaste(bytes);
  }

  #held(number: number): PieceBuffer | undefined {
    for (const lease of this.#table) if (lease.lease === number) return lease;
    return undefined;
  }
}

/**
 * What one peer gives us (BEP 3, fast extension BEP 6): what is requested of it, what it owes, and the block that is
 * arriving. Pure; times are passed in. Which pieces it may be asked for is the session's to know.
 */
import type { Options } from '../options.js';
import { BLOCK_LENGTH, REQUEST_LENGTH, WireError, writeCancel, writeRequest } from '../protocol/wire.js';
import type { Bitfield } from './bitfield.js';
import type { Geometry, PieceIndex } from './geometry.js';
import type { LeaseTable } from './lease-table.js';
import type { PieceBuffer } from './piece-buffer.js';
import { Pipeline } from './pipeline.js';
import { Match, RequestQueue } from './request-queue.js';

/** The torrent, as far as downloading goes. */
export interface DownloadTorrent {
  readonly geometry: Geometry;
  readonly leases: LeaseTable;
  /** Whether memory is short. */
  readonly isTight: boolean;
  /** A block of a lease is in place. */
  onBlock(lease: PieceBuffer, bytes: number): void;
  onWaste(bytes: number): void;
  /** @returns how many blocks may be requested under the rate limit, 0 to `blocks` */
  takeRequests(blocks: number, now: number): number;
  /** Blocks that were taken and not requested, or will not be answered. */
  returnRequests(blocks: number, now: number): void;
  /** Endgame: a block that others owe too has come from this peer. */
  onContested(peer: number, piece: PieceIndex, block: number): void;
}

/**
 * Requests are topped up when there is room for this part of the window, or for so many: one write for many, and yet nearly the
 * whole of a long window on its way to a peer far away.
 */
const TOP_UP_SHARE = 0.25;
const TOP_UP_BLOCKS = 64;

/** How long a peer is left alone that rejects without choking or chokes instead of giving; doubles until it gives a block. */
const REST_MS = 500;

export class DownloadSide {
  readonly requests = new RequestQueue();
  readonly pipeline: Pipeline;
  /** Blocks the window had room for when the torrent's leases offered nothing more. */
  shortage = 0;
  /** Whether a rate limit left less than there was room for. */
  isHeldBack = false;
  /** Payload bytes kept. */
  downloaded = 0;
  /** Bytes since somebody last looked; the torrent's statistics reset it. */
  recent = 0;
  readonly #peer: number;
  readonly #torrent: DownloadTorrent;
  readonly #send: (bytes: Uint8Array) => void;
  readonly #requestTimeoutMs: number;
  /** When the peer last gave a block, or began to owe us one. */
  #answeredAt: number;
  /** A peer that rejects a request is asked for nothing until then. */
  #restUntil = Number.NEGATIVE_INFINITY;
  #restMs = REST_MS;
  /** Chokes in a row that came instead of blocks. */
  #fruitless = 0;
  /** Blocks that may still come: those ever asked for and not answered, and some more. */
  #welcome: number;
  // The block that is arriving
  #piece = 0;
  #block = 0;
  #at = 0;
  #length = 0;
  /** Where it is kept while another peer writes the same block in place. */
  #apart: Uint8Array | undefined;
  /** Whether it was asked for. */
  #isAnswer = false;
  /** Number of the lease it goes to; 0 when it is thrown away. */
  #lease = 0;
  /** Whether the lease counts it as requested of this peer. */
  #claimed = false;

  constructor(
    peer: number,
    torrent: DownloadTorrent,
    send: (bytes: Uint8Array) => void,
    options: Options,
    now: number,
  ) {
    this.#peer = peer;
    this.#torrent = torrent;
    this.#send = send;
    this.#requestTimeoutMs = options.requestTimeoutMs;
    this.#welcome = options.unaskedBlocks;
    this.#answeredAt = now;
    this.pipeline = new Pipeline(options);
  }

  /**
   * Requests blocks up to the window; notes a shortage when the leases do not offer enough.
   * @param askable pieces that may be asked for; nothing when `undefined`
   */
  fill(askable: Bitfield | undefined, now: number): void {
    this.shortage = 0;
    this.isHeldBack = false;
    // A snubbed peer has enough to answer: asking it again for the same block gets us dropped by some.
    if (askable === undefined || (this.pipeline.snubbed && this.requests.released > 0) || now < this.#restUntil) return;
    const outstanding = this.requests.size;
    const window = this.#torrent.isTight ? this.pipeline.tightWindow : this.pipeline.window;
    const room = Math.max(0, window - outstanding);
    if (outstanding > 0 && room < Math.min(TOP_UP_SHARE * window, TOP_UP_BLOCKS)) return;
    const { leases } = this.#torrent;
    const possible = Math.min(room, leases.missingBlocks);
    const allowed = this.#torrent.takeRequests(possible, now);
    const assigned = leases.assign(this.#peer, askable, allowed, (piece, block) => this.requests.push(piece, block));
    this.#torrent.returnRequests(allowed - assigned, now);
    // Who is held back by the rate limit lacks no work.
    this.isHeldBack = allowed < possible;
    this.shortage = this.isHeldBack ? 0 : room - assigned;
    if (assigned === 0) return;
    if (outstanding === 0) {
      // A window that came whole with this very read has not been idle.
      if (this.#answeredAt !== now) this.pipeline.onIdleEnd(now);
      this.#answeredAt = now;
    }
    this.#sendLast(assigned);
  }

  /** Whether it could do more than the leases offered. */
  isIdle(now: number): boolean {
    return this.shortage > 0 && !this.pipeline.snubbed && now >= this.#restUntil;
  }

  /** Endgame: a peer with nothing to do is asked for what others owe; the slower ones get a CANCEL (BEP 3). */
  contest(askable: Bitfield | undefined, now: number): void {
    const { requests, pipeline } = this;
    const room = pipeline.window - requests.size;
    if (askable === undefined || room <= 0 || !this.isIdle(now)) return;
    const allowed = this.#torrent.takeRequests(room, now);
    const contested = this.#torrent.leases.contest(
      this.#peer,
      askable,
      allowed,
      this.downloaded > 0,
      now,
      (piece, block) => requests.has(piece, block),
      (piece, block) => requests.push(piece, block),
    );
    this.#torrent.returnRequests(allowed - contested, now);
    if (contested > 0 && requests.size === contested) this.#answeredAt = now;
    this.#sendLast(contested);
  }

  /**
   * Deadlines: a peer that owes blocks and gives none is snubbed, and what it owes is asked for elsewhere. Another time-out
   * later its requests count as lost.
   */
  onTick(now: number): void {
    const owes = this.requests.size > 0 || this.requests.released > 0 || this.#lease !== 0;
    if (!owes || now - this.#answeredAt < this.#requestTimeoutMs) return;
    this.#answeredAt = now;
    if (this.pipeline.snubbed) return this.#drop(now);
    this.pipeline.onSnub();
    this.requests.release(this.#release);
    this.#releaseBlock();
  }

  /** Nothing that is outstanding will be answered (BEP 3). Who gives one choke after the other for requests is left alone for a while. */
  onChoke(now: number): void {
    if (this.requests.size > 0 && ++this.#fruitless > 1) this.#rest(now);
    this.#drop(now);
  }

  /** Nothing that was asked for is waited for any more, and the rate limit has it back. */
  #drop(now: number): void {
    const { size, released } = this.requests;
    this.requests.clear(this.#release);
    this.#torrent.returnRequests(size + released, now);
  }

  /** The connection is gone: what the peer owed is missing again. */
  onClose(now: number): void {
    this.#releaseBlock();
    this.#lease = 0;
    this.#drop(now);
  }

  /** The block has come from elsewhere. */
  cancelBlock(piece: PieceIndex, block: number): void {
    if (this.requests.take(piece, block) === Match.live) this.#send(this.#cancelOf(piece, block));
  }

  /** The piece has come from elsewhere, or is to: takes back the requests for its blocks. Those that come all the same are waste. */
  cancelPiece(piece: PieceIndex): void {
    const cancels: Uint8Array[] = [];
    this.requests.takePiece(piece, (block) => cancels.push(this.#cancelOf(piece, block)));
    if (cancels.length > 0) this.#send(Buffer.concat(cancels));
  }

  /**
   * The peer will not give a block.
   * @param rests whether it is left alone for a while: without a choke it would say the same again at once
   * @returns whether it owed the block
   */
  onRejected(piece: PieceIndex, block: number, rests: boolean, now: number): boolean {
    const match = this.requests.take(piece, block);
    if (match !== Match.none) this.#torrent.returnRequests(1, now);
    if (match !== Match.live) return false;
    this.#release(piece, block);
    if (rests && now >= this.#restUntil) {
      this.#rest(now);
      this.pipeline.onOverflow(this.requests.size);
    }
    return true;
  }

  #rest(now: number): void {
    // Of several rejects in a row the first one counts.
    if (now < this.#restUntil) return;
    this.#restUntil = now + this.#restMs;
    this.#restMs = Math.min(this.#restMs * 2, this.#requestTimeoutMs);
  }

  /**
   * A whole block begins to arrive; what was never asked for is thrown away.
   * @throws WireError when more has come than was ever asked for
   */
  onBlockStart(piece: PieceIndex, block: number, length: number, now: number): void {
    this.#countBlock();
    this.#piece = piece;
    this.#block = block;
    this.#at = block * BLOCK_LENGTH;
    this.#length = length;
    this.#lease = 0;
    const match = this.requests.take(piece, block);
    this.#isAnswer = match !== Match.none;
    if (match === Match.none) return;
    this.#answeredAt = now;
    // Who was snubbed has to end a block first.
    if (!this.pipeline.snubbed) this.pipeline.onBlock(length, now);
    const lease = this.#torrent.leases.get(piece);
    if (lease?.begin(block, this.#peer) !== true) return;
    this.#lease = lease.lease;
    this.#apart = lease.isWriter(block, this.#peer) ? undefined : new Uint8Array(length);
    this.#claimed = this.#claim(piece, block) || match === Match.live;
  }

  #countBlock(): void {
    if (--this.#welcome < 0) throw new WireError('more blocks than were asked for');
  }

  /** Something arrives that is no block of ours. @throws WireError as `onBlockStart` */
  onWasteStart(length: number): void {
    this.#countBlock();
    this.#length = length;
    this.#isAnswer = false;
    this.#lease = 0;
  }

  onBlockChunk(bytes: Uint8Array, start: number, end: number, now: number): void {
    const lease = this.#target();
    if (lease === undefined) return;
    lease.progressAt = now;
    if (this.#apart === undefined) lease.write(this.#at, bytes, start, end);
    else this.#apart.set(bytes.subarray(start, end), this.#at - this.#block * BLOCK_LENGTH);
    this.#at += end - start;
  }

  onBlockEnd(now: number): void {
    if (this.#isAnswer && this.pipeline.snubbed) this.#recover(now);
    const lease = this.#target();
    const apart = this.#apart;
    this.#apart = undefined;
    if (lease === undefined) {
      this.#releaseBlock();
      this.#lease = 0;
      return this.#torrent.onWaste(this.#length);
    }
    this.#lease = 0;
    this.downloaded += this.#length;
    this.#restMs = REST_MS;
    this.#fruitless = 0;
    this.recent += this.#length;
    if (apart !== undefined) lease.write(this.#block * BLOCK_LENGTH, apart, 0, this.#length);
    const isContested = lease.isContested(this.#block);
    this.#torrent.leases.complete(lease, this.#block, this.#peer, now);
    if (isContested) this.#torrent.onContested(this.#peer, lease.piece, this.#block);
    this.#torrent.onBlock(lease, this.#length);
  }

  /** A snubbed peer has answered after all: what it owed is waited for again. */
  #recover(now: number): void {
    this.pipeline.onBlock(this.#length, now);
    this.requests.reclaim(this.#claim);
  }

  /** The lease that the arriving block goes to, looked up anew: it may have been recalled, or the block come from elsewhere. */
  #target(): PieceBuffer | undefined {
    if (this.#lease === 0) return undefined;
    const lease = this.#torrent.leases.get(this.#piece);
    if (lease?.lease !== this.#lease || !lease.lacks(this.#block)) return undefined;
    return this.#apart !== undefined || lease.isWriter(this.#block, this.#peer) ? lease : undefined;
  }

  /** The block that is arriving is no longer waited for; it is still welcome. */
  #releaseBlock(): void {
    const piece = this.#piece as PieceIndex;
    if (this.#claimed && this.#torrent.leases.get(piece)?.lease === this.#lease) this.#release(piece, this.#block);
    this.#claimed = false;
  }

  /** Asks for the blocks that were put in the queue last. */
  #sendLast(count: number): void {
    if (count === 0) return;
    this.#welcome += count;
    const { geometry } = this.#torrent;
    const bytes = Buffer.allocUnsafe(count * REQUEST_LENGTH);
    let at = 0;
    this.requests.forLast(count, (piece, block) => {
      writeRequest(bytes, at, piece, block * BLOCK_LENGTH, geometry.blockLengthOf(piece, block));
      at += REQUEST_LENGTH;
    });
    this.#send(bytes);
  }

  #cancelOf(piece: PieceIndex, block: number): Uint8Array {
    const bytes = new Uint8Array(REQUEST_LENGTH);
    writeCancel(bytes, 0, piece, block * BLOCK_LENGTH, this.#torrent.geometry.blockLengthOf(piece, block));
    return bytes;
  }

  readonly #claim = (piece: PieceIndex, block: number): boolean => this.#torrent.leases.claim(piece, block, this.#peer);

  readonly #release = (piece: PieceIndex, block: number): void =>
    this.#torrent.leases.release(piece, block, this.#peer);
}

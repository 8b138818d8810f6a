/**
 * One peer's conversation (BEP 3): who chokes and wants whom, what the peer has, what is requested of it and what it asks of
 * us. Pure: bytes and times come in, bytes go out through a `PeerLink`; there is no socket, clock or disk here.
 *
 * `am…` is our side, `peer…` is the peer's.
 */
import type { Options } from '../options.js';
import {
  BLOCK_LENGTH,
  CHOKE,
  encodeBitfield,
  encodeHaves,
  INTERESTED,
  NOT_INTERESTED,
  REQUEST_LENGTH,
  UNCHOKE,
  WireDecoder,
  WireError,
  type WireSink,
  writeRequest,
} from '../protocol/wire.js';
import { Bitfield } from './bitfield.js';
import type { Geometry, PieceIndex } from './geometry.js';
import type { LeaseTable } from './lease-table.js';
import type { PieceBuffer } from './piece-buffer.js';
import { Pipeline } from './pipeline.js';
import { Match, RequestQueue } from './request-queue.js';
import { UploadQueue } from './upload-queue.js';

/** The peer's connection, as the session sees it. */
export interface PeerLink {
  /** Sends bytes; the session does not touch them afterwards. */
  send(bytes: Uint8Array): void;
  /** There is something to upload. */
  serve(): void;
}

/** The torrent, as its sessions see it. */
export interface SessionTorrent {
  readonly geometry: Geometry;
  /** Pieces that may be served. */
  readonly have: Bitfield;
  /** Wanted pieces that are not on disk. */
  readonly needs: Bitfield;
  /** Stands for every seed. */
  readonly full: Bitfield;
  readonly leases: LeaseTable;
  /** The peer has more pieces than before. */
  onPeerPieces(session: PeerSession, before: Bitfield): void;
  onPeerPiece(session: PeerSession, piece: PieceIndex): void;
  onPeerInterest(session: PeerSession): void;
  /** A block of a lease is in place. */
  onBlock(lease: PieceBuffer, bytes: number): void;
  onWaste(bytes: number): void;
}

/** Requests are topped up when fewer than this part of the window is outstanding: one write for many. */
const TOP_UP_BELOW = 0.75;

export class PeerSession implements WireSink {
  /** The connection's number, > 0. */
  readonly peer: number;
  readonly requests = new RequestQueue();
  readonly pipeline: Pipeline;
  readonly uploads: UploadQueue;
  amChoking = true;
  amInterested = false;
  peerChoking = true;
  peerInterested = false;
  /** Blocks the window had room for when the torrent's leases offered nothing more. */
  shortage = 0;
  /** Payload bytes kept and sent. */
  downloaded = 0;
  uploaded = 0;
  /** Bytes since somebody last looked; the torrent's statistics reset it. */
  recent = 0;
  #has: Bitfield;
  readonly #torrent: SessionTorrent;
  readonly #link: PeerLink;
  readonly #options: Options;
  readonly #decoder: WireDecoder;
  #now: number;
  /** When the peer last gave a block, or began to owe us one. */
  #answeredAt: number;
  // The block that is arriving
  #piece = 0;
  #block = 0;
  #at = 0;
  #length = 0;
  /** Number of the lease it goes to; 0 when it is thrown away. */
  #lease = 0;

  constructor(peer: number, torrent: SessionTorrent, link: PeerLink, options: Options, now: number) {
    this.peer = peer;
    this.#torrent = torrent;
    this.#link = link;
    this.#options = options;
    this.#now = now;
    this.#answeredAt = now;
    this.#has = new Bitfield(torrent.geometry.pieceCount);
    this.#decoder = new WireDecoder(this);
    this.pipeline = new Pipeline(options);
    this.uploads = new UploadQueue(options.uploadQueue);
  }

  /** What the peer has; shared with every seed, so read-only. */
  get has(): Bitfield {
    return this.#has;
  }

  get isSeed(): boolean {
    return this.#has.isFull;
  }

  /** Whether blocks may be requested now. */
  get canRequest(): boolean {
    return this.amInterested && !this.peerChoking;
  }

  /** The first message: a bitfield only where it says something. */
  start(): void {
    if (this.#torrent.have.count > 0) this.#link.send(encodeBitfield(this.#torrent.have.bytes));
  }

  /** @throws WireError when the peer breaks the protocol */
  receive(bytes: Uint8Array, start: number, end: number, now: number): void {
    this.#now = now;
    this.#decoder.push(bytes, start, end);
  }

  /** Requests blocks up to the window; notes a shortage when the leases do not offer enough. */
  fill(now: number): void {
    this.shortage = 0;
    // A snubbed peer has enough to answer: asking it again for the same block gets us dropped by some.
    if (!this.canRequest || (this.pipeline.snubbed && this.requests.released > 0)) return;
    const outstanding = this.requests.size;
    const window = this.pipeline.window;
    if (outstanding > 0 && outstanding > window * TOP_UP_BELOW) return;
    const room = window - outstanding;
    const { leases, geometry } = this.#torrent;
    const assigned = leases.assign(this.peer, this.#has, room, (piece, block) => this.requests.push(piece, block));
    this.shortage = room - assigned;
    if (assigned === 0) return;
    if (outstanding === 0) {
      this.#answeredAt = now;
      this.pipeline.onIdleEnd(now);
    }
    const bytes = Buffer.allocUnsafe(assigned * REQUEST_LENGTH);
    let at = 0;
    this.requests.forLast(assigned, (piece, block) => {
      writeRequest(bytes, at, piece, block * BLOCK_LENGTH, geometry.blockLengthOf(piece, block));
      at += REQUEST_LENGTH;
    });
    this.#link.send(bytes);
  }

  /**
   * Deadlines: a peer that owes blocks and gives none is snubbed, and what it owes is asked for elsewhere. Another time-out
   * later its requests count as lost.
   */
  onTick(now: number): void {
    const owes = this.requests.size > 0 || this.requests.released > 0 || this.#lease !== 0;
    if (!owes || now - this.#answeredAt < this.#options.requestTimeoutMs) return;
    this.#answeredAt = now;
    if (this.pipeline.snubbed) return this.requests.clear(this.#release);
    this.pipeline.onSnub();
    this.requests.release(this.#release);
    this.#releaseBlock();
  }

  /** The connection is gone: what the peer owed is missing again. */
  onClose(): void {
    this.#decoder.pause();
    this.#releaseBlock();
    this.#lease = 0;
    this.requests.clear(this.#release);
    this.uploads.clear();
  }

  choke(): void {
    if (this.amChoking) return;
    this.amChoking = true;
    this.uploads.clear();
    this.#link.send(CHOKE);
  }

  unchoke(): void {
    if (!this.amChoking) return;
    this.amChoking = false;
    this.#link.send(UNCHOKE);
  }

  /** Announces pieces, leaving out what the peer has: it would not ask for them. */
  sendHaves(pieces: readonly PieceIndex[], encoded: Uint8Array): void {
    if (this.isSeed) return;
    const news = pieces.filter((piece) => !this.#has.has(piece));
    if (news.length > 0) this.#link.send(news.length === pieces.length ? encoded : encodeHaves(news));
  }

  /** Tells the peer whether it has anything we need. */
  updateInterest(): void {
    const interested = intersects(this.#has, this.#torrent.needs);
    if (interested === this.amInterested) return;
    this.amInterested = interested;
    this.#link.send(interested ? INTERESTED : NOT_INTERESTED);
  }

  onKeepAlive(): void {}

  /** BEP 3: without the fast extension a choke drops everything outstanding; what was sent before it has arrived before it. */
  onChoke(): void {
    this.peerChoking = true;
    this.requests.clear(this.#release);
  }

  onUnchoke(): void {
    this.peerChoking = false;
  }

  onInterested(): void {
    this.peerInterested = true;
    this.#torrent.onPeerInterest(this);
  }

  onNotInterested(): void {
    this.peerInterested = false;
    this.#torrent.onPeerInterest(this);
  }

  onHave(index: number): void {
    const piece = this.#checked(index, 'have');
    if (this.#has.has(piece)) return;
    this.#has.set(piece);
    this.#torrent.onPeerPiece(this, piece);
    if (this.isSeed) this.#has = this.#torrent.full;
    if (this.amInterested || !this.#torrent.needs.has(piece)) return;
    this.amInterested = true;
    this.#link.send(INTERESTED);
  }

  /** At any time: aria2 sends it again later. HAVEs may complete it: a lazy bitfield. */
  onBitfield(bytes: Uint8Array): void {
    const { geometry, full } = this.#torrent;
    const given = Bitfield.fromWire(bytes, geometry.pieceCount);
    if (given === undefined) {
      throw new WireError(`bitfield of ${bytes.length} bytes does not fit ${geometry.pieceCount} pieces`);
    }
    const before = this.#has;
    for (const piece of before) given.set(piece);
    this.#has = given.isFull ? full : given;
    this.#torrent.onPeerPieces(this, before);
    this.updateInterest();
  }

  onRequest(index: number, begin: number, length: number): void {
    const piece = this.#checked(index, 'request');
    if (!this.#torrent.geometry.contains(piece, begin, length) || length > this.#options.uploadRequestBytes) {
      throw new WireError(`request for ${length} bytes at ${begin} of piece ${piece} is out of range`);
    }
    // Requests that crossed our choke, or for a piece we lack, have no answer in BEP 3.
    if (this.amChoking || !this.#torrent.have.has(piece)) return;
    if (this.uploads.push({ piece, begin, length })) this.#link.serve();
  }

  onCancel(index: number, begin: number, length: number): void {
    this.uploads.cancel(index, begin, length);
  }

  onBlockStart(index: number, begin: number, length: number): void {
    const piece = this.#checked(index, 'piece');
    this.#piece = piece;
    this.#block = Math.floor(begin / BLOCK_LENGTH);
    this.#at = begin;
    this.#length = length;
    this.#lease = 0;
    const { geometry, leases } = this.#torrent;
    const whole = begin % BLOCK_LENGTH === 0 && begin < geometry.lengthOf(piece);
    if (!whole || length !== geometry.blockLengthOf(piece, this.#block)) {
      // An empty block is how BitComet rejects a request; anything else was never asked for.
      if (length === 0 && this.requests.take(piece, this.#block) === Match.live) leases.release(piece, this.#block);
      return;
    }
    if (this.requests.take(piece, this.#block) === Match.none) return;
    this.#answeredAt = this.#now;
    this.pipeline.onBlock(length, this.#now);
    const lease = leases.get(piece);
    if (lease?.lacks(this.#block) && lease.admits(this.peer)) this.#lease = lease.lease;
  }

  onBlockChunk(bytes: Uint8Array, start: number, end: number): void {
    const lease = this.#target();
    if (lease === undefined) return;
    lease.write(this.#at, bytes, start, end);
    this.#at += end - start;
  }

  onBlockEnd(): void {
    const lease = this.#target();
    this.#lease = 0;
    if (lease === undefined) return this.#torrent.onWaste(this.#length);
    this.downloaded += this.#length;
    this.recent += this.#length;
    this.#torrent.leases.complete(lease, this.#block, this.peer, this.#now);
    this.#torrent.onBlock(lease, this.#length);
  }

  onPort(): void {}

  /** Nothing was negotiated, so that there is nothing to understand; ignoring it is kinder than closing. */
  onUnknown(): void {}

  /** The lease that the arriving block goes to, looked up anew: it may have been recalled, or the block come from elsewhere. */
  #target(): PieceBuffer | undefined {
    if (this.#lease === 0) return undefined;
    const lease = this.#torrent.leases.get(this.#piece);
    return lease !== undefined && lease.lease === this.#lease && lease.lacks(this.#block) ? lease : undefined;
  }

  /** The block that is arriving is no longer waited for; it is still welcome. */
  #releaseBlock(): void {
    if (this.#target() !== undefined) this.#torrent.leases.release(this.#piece as PieceIndex, this.#block);
  }

  readonly #release = (piece: PieceIndex, block: number): void => this.#torrent.leases.release(piece, block);

  #checked(index: number, message: string): PieceIndex {
    const { geometry } = this.#torrent;
    const piece = geometry.pieceIndex(index);
    if (piece === undefined) throw new WireError(`${message} for piece ${index} of ${geometry.pieceCount}`);
    return piece;
  }
}

function intersects(a: Bitfield, b: Bitfield): boolean {
  for (let i = 0; i < a.bytes.length; i++) if ((a.bytes[i]! & b.bytes[i]!) !== 0) return true;
  return false;
}

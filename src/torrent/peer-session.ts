/**
 * One peer's conversation (BEP 3, fast extension BEP 6): who wants whom, what the peer has and what is requested of it. What
 * it asks of us is in `upload-side.ts`, the extension protocol in `peer-extensions.ts`. Pure: bytes and times come in, bytes go out through a `PeerLink`; there is no socket, clock or disk here.
 *
 * `am…` is our side, `peer…` is the peer's.
 */
import type { Options } from '../options.js';
import type { PeerAddress } from '../protocol/address.js';
import type { ExtendedHandshake, OurHandshake } from '../protocol/extension.js';
import { FAST_SET_SIZE } from '../protocol/fast-set.js';
import type { Features } from '../protocol/handshake.js';
import {
  BLOCK_LENGTH,
  encodeBitfield,
  encodeHaves,
  HAVE_ALL,
  HAVE_NONE,
  INTERESTED,
  NOT_INTERESTED,
  REQUEST_LENGTH,
  WireDecoder,
  WireError,
  type WireSink,
  writeCancel,
  writeRequest,
} from '../protocol/wire.js';
import { Bitfield } from './bitfield.js';
import type { Geometry, PieceIndex } from './geometry.js';
import type { LeaseTable } from './lease-table.js';
import { PeerExtensions } from './peer-extensions.js';
import type { PieceBuffer } from './piece-buffer.js';
import { Pipeline } from './pipeline.js';
import { Match, RequestQueue } from './request-queue.js';
import { UploadSide } from './upload-side.js';

/** The peer's connection, as the session sees it. */
export interface PeerLink {
  /** The peer's IP address. */
  readonly host: string;
  /** Sends bytes; the session does not touch them afterwards. */
  send(bytes: Uint8Array): void;
  /** There is something to upload. */
  serve(): void;
  /** Nothing more is to be read until `uploads.hasRoom`. */
  hold(): void;
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
  /** The extended handshake for a peer (BEP 10). */
  extendedHandshakeFor(host: string): OurHandshake;
  /** Pieces a peer may ask for while choked (BEP 6). */
  fastSetFor(host: string): readonly number[];
  /** The peer has other pieces than before, as a rule more. */
  onPeerPieces(session: PeerSession, before: Bitfield): void;
  onPeerPiece(session: PeerSession, piece: PieceIndex): void;
  onPeerInterest(session: PeerSession): void;
  /** Addresses that the peer is connected to (BEP 11). */
  onDiscovered(peers: readonly PeerAddress[]): void;
  /** The peer has named the port it listens on (BEP 10). */
  onListenPort(session: PeerSession, port: number): void;
  /** A block of a lease is in place. */
  onBlock(lease: PieceBuffer, bytes: number): void;
  onWaste(bytes: number): void;
  /** @returns how many blocks may be requested under the rate limit, 0 to `blocks` */
  takeRequests(blocks: number, now: number): number;
  /** Blocks that were taken and not requested. */
  returnRequests(blocks: number, now: number): void;
  /** Endgame: a block that others owe too has come from this peer. */
  onContested(session: PeerSession, piece: PieceIndex, block: number): void;
}

/** Allowed fast pieces remembered; BEP 6 suggests 10. */
const MAX_ALLOWED_FAST = 64;

/** Requests are topped up when fewer than this part of the window is outstanding: one write for many. */
const TOP_UP_BELOW = 0.75;

export class PeerSession implements WireSink {
  /** The connection's number, > 0. */
  readonly peer: number;
  /** ms */
  readonly connectedAt: number;
  readonly requests = new RequestQueue();
  readonly pipeline: Pipeline;
  readonly uploads: UploadSide;
  /** `undefined` when one of us does not speak the extension protocol. */
  readonly extensions: PeerExtensions | undefined;
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
  readonly #fast: boolean;
  /** Pieces the peer lets us ask for while it chokes us; empty until it names one. */
  #allowedFast: Bitfield | undefined;
  #now: number;
  /** When the peer last gave a block, or began to owe us one. */
  #answeredAt: number;
  /** A peer that rejects a request is asked for nothing until then. */
  #restUntil = Number.NEGATIVE_INFINITY;
  // The block that is arriving
  #piece = 0;
  #block = 0;
  #at = 0;
  #length = 0;
  /** Number of the lease it goes to; 0 when it is thrown away. */
  #lease = 0;
  /** Whether the lease counts it as requested of this peer. */
  #claimed = false;

  constructor(
    peer: number,
    torrent: SessionTorrent,
    link: PeerLink,
    features: Features,
    options: Options,
    now: number,
  ) {
    this.peer = peer;
    this.#torrent = torrent;
    this.#link = link;
    this.#options = options;
    this.connectedAt = now;
    this.#now = now;
    this.#answeredAt = now;
    this.#has = new Bitfield(torrent.geometry.pieceCount);
    this.#decoder = new WireDecoder(this, this.#has.bytes.length);
    this.#fast = features.fast;
    this.pipeline = new Pipeline(options);
    const send = (bytes: Uint8Array): void => link.send(bytes);
    this.uploads = new UploadSide({
      geometry: torrent.geometry,
      have: torrent.have,
      options,
      fast: features.fast,
      send,
      serve: () => link.serve(),
      hold: () => link.hold(),
      isNew: () => this.#has.count < FAST_SET_SIZE,
    });
    this.extensions = features.extended
      ? new PeerExtensions(torrent.extendedHandshakeFor(link.host), {
          send,
          onExtendedHandshake: (handshake) => this.#onExtendedHandshake(handshake),
          onDiscovered: (peers) => torrent.onDiscovered(peers),
          onDontHave: (index) => this.#onDontHave(index),
        })
      : undefined;
  }

  /** What the peer has; shared with every seed, so read-only. */
  get has(): Bitfield {
    return this.#has;
  }

  get isSeed(): boolean {
    return this.#has.isFull;
  }

  /** BEP 21: it wants nothing. */
  get isUploadOnly(): boolean {
    return this.isSeed || this.extensions?.theirs?.uploadOnly === true;
  }

  /** What may be requested now: pieces the peer has, only the allowed fast ones while it chokes us. */
  get askable(): Bitfield | undefined {
    if (!this.amInterested) return undefined;
    return this.peerChoking ? this.#allowedFast : this.#has;
  }

  /** The first messages: a bitfield only where it says something, or one of its short forms (BEP 6). */
  start(): void {
    const { have } = this.#torrent;
    this.extensions?.start();
    if (this.#fast && have.isFull) this.#link.send(HAVE_ALL);
    else if (have.count > 0) this.#link.send(encodeBitfield(have.bytes));
    else if (this.#fast) this.#link.send(HAVE_NONE);
    this.uploads.allowFast(this.#fast ? this.#torrent.fastSetFor(this.#link.host) : []);
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
    const askable = this.askable;
    if (askable === undefined || (this.pipeline.snubbed && this.requests.released > 0) || now < this.#restUntil) return;
    const outstanding = this.requests.size;
    const window = this.pipeline.window;
    if (outstanding > 0 && outstanding > window * TOP_UP_BELOW) return;
    const { leases } = this.#torrent;
    const room = window - outstanding;
    const possible = Math.min(room, leases.missingBlocks);
    const allowed = this.#torrent.takeRequests(possible, now);
    const assigned = leases.assign(this.peer, askable, allowed, (piece, block) => this.requests.push(piece, block));
    this.#torrent.returnRequests(allowed - assigned, now);
    // Who is held back by the rate limit lacks no work.
    this.shortage = allowed < possible ? 0 : room - assigned;
    if (assigned === 0) return;
    if (outstanding === 0) {
      // A window that came whole with this very read has not been idle.
      if (this.#answeredAt !== now) this.pipeline.onIdleEnd(now);
      this.#answeredAt = now;
    }
    this.#sendLast(assigned);
  }

  /** Endgame: a peer with nothing to do is asked for what others owe; the slower ones get a CANCEL (BEP 3). */
  contest(now: number): void {
    const askable = this.askable;
    const room = this.pipeline.window - this.requests.size;
    if (askable === undefined || this.shortage === 0 || room <= 0 || this.pipeline.snubbed || now < this.#restUntil)
      return;
    const { requests } = this;
    const contested = this.#torrent.leases.contest(
      this.peer,
      askable,
      room,
      (piece, block) => requests.has(piece, block),
      (piece, block) => requests.push(piece, block),
    );
    if (contested > 0 && requests.size === contested) this.#answeredAt = now;
    this.#sendLast(contested);
  }

  /** Asks for the blocks that were put in the queue last. */
  #sendLast(count: number): void {
    if (count === 0) return;
    const bytes = Buffer.allocUnsafe(count * REQUEST_LENGTH);
    let at = 0;
    this.requests.forLast(count, (piece, block) => {
      writeRequest(bytes, at, piece, block * BLOCK_LENGTH, this.#torrent.geometry.blockLengthOf(piece, block));
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

  /** The block has come from elsewhere. */
  cancelBlock(piece: PieceIndex, block: number): void {
    if (this.requests.take(piece, block) !== Match.live) return;
    const bytes = new Uint8Array(REQUEST_LENGTH);
    writeCancel(bytes, 0, piece, block * BLOCK_LENGTH, this.#torrent.geometry.blockLengthOf(piece, block));
    this.#link.send(bytes);
  }

  /** The piece has come from elsewhere: takes back the requests for its blocks. Those that come all the same are waste. */
  cancelPiece(piece: PieceIndex): void {
    const { geometry } = this.#torrent;
    const cancels: Uint8Array[] = [];
    this.requests.takePiece(piece, (block) => {
      const bytes = new Uint8Array(REQUEST_LENGTH);
      writeCancel(bytes, 0, piece, block * BLOCK_LENGTH, geometry.blockLengthOf(piece, block));
      cancels.push(bytes);
    });
    if (cancels.length > 0) this.#link.send(Buffer.concat(cancels));
  }

  /** The connection is gone: what the peer owed is missing again. */
  onClose(): void {
    this.#decoder.pause();
    // Nothing may be asked for from now on, allowed fast pieces neither.
    this.amInterested = false;
    this.#releaseBlock();
    this.#lease = 0;
    this.requests.clear(this.#release);
    this.uploads.queue.clear();
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

  /**
   * BEP 3: a choke drops everything outstanding; what was sent before it has arrived before it. With the fast extension each
   * request is still answered, by its block or a reject.
   */
  onChoke(): void {
    this.peerChoking = true;
    if (!this.#fast) this.requests.clear(this.#release);
  }

  onUnchoke(): void {
    this.peerChoking = false;
    this.#restUntil = Number.NEGATIVE_INFINITY;
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

  onHaveAll(): void {
    if (!this.#fast) return;
    const before = this.#has;
    this.#has = this.#torrent.full;
    this.#torrent.onPeerPieces(this, before);
    this.updateInterest();
  }

  /** What we assume of a peer that has said nothing. */
  onHaveNone(): void {}

  /** A hint which piece the peer has in memory; main chooses pieces by other things. */
  onSuggest(): void {}

  onAllowedFast(index: number): void {
    if (!this.#fast) return;
    const piece = this.#checked(index, 'allowed fast');
    this.#allowedFast ??= new Bitfield(this.#torrent.geometry.pieceCount);
    if (this.#allowedFast.count < MAX_ALLOWED_FAST && this.#has.has(piece)) this.#allowedFast.set(piece);
  }

  onExtended(id: number, body: Uint8Array): void {
    this.extensions?.onExtended(id, body, this.#now);
  }

  #onExtendedHandshake({ reqq, port }: ExtendedHandshake): void {
    if (reqq !== undefined) this.pipeline.onReqq(reqq);
    if (port !== undefined) this.#torrent.onListenPort(this, port);
  }

  #onDontHave(index: number): void {
    const piece = this.#checked(index, 'lt_donthave');
    if (!this.#has.has(piece)) return;
    const before = this.#has;
    this.#has = new Bitfield(before.size);
    for (const kept of before) if (kept !== piece) this.#has.set(kept);
    this.#torrent.onPeerPieces(this, before);
    this.updateInterest();
  }

  onRequest(index: number, begin: number, length: number): void {
    this.uploads.onRequest(this.#checked(index, 'request'), begin, length);
  }

  onCancel(index: number, begin: number, length: number): void {
    this.uploads.onCancel(index, begin, length);
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
      if (whole && length === 0) this.#onRejected(piece, this.#block);
      return;
    }
    const match = this.requests.take(piece, this.#block);
    if (match === Match.none) return;
    this.#answeredAt = this.#now;
    const recovers = this.pipeline.snubbed;
    this.pipeline.onBlock(length, this.#now);
    if (recovers) this.requests.reclaim(this.#claim);
    const lease = leases.get(piece);
    if (lease?.begin(this.#block, this.peer) !== true) return;
    this.#lease = lease.lease;
    this.#claimed = this.#claim(piece, this.#block) || match === Match.live;
  }

  onReject(index: number, begin: number): void {
    if (this.#fast) this.#onRejected(this.#checked(index, 'reject'), Math.floor(begin / BLOCK_LENGTH));
  }

  /** A reject while we are not choked would come again at once: the peer is left alone for a while. */
  #onRejected(piece: PieceIndex, block: number): void {
    if (this.requests.take(piece, block) !== Match.live) return;
    this.#torrent.leases.release(piece, block);
    if (!this.peerChoking) this.#restUntil = this.#now + this.#options.requestTimeoutMs;
    else this.#allowedFast?.clear(piece);
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
    const isContested = lease.isContested(this.#block);
    this.#torrent.leases.complete(lease, this.#block, this.peer, this.#now);
    if (isContested) this.#torrent.onContested(this, lease.piece, this.#block);
    this.#torrent.onBlock(lease, this.#length);
  }

  onPort(): void {}

  /** Nothing was negotiated, so that there is nothing to understand; ignoring it is kinder than closing. */
  onUnknown(): void {}

  /** The lease that the arriving block goes to, looked up anew: it may have been recalled, or the block come from elsewhere. */
  #target(): PieceBuffer | undefined {
    if (this.#lease === 0) return undefined;
    const lease = this.#torrent.leases.get(this.#piece);
    const takes = lease?.lease === this.#lease && lease.takes(this.#block, this.peer);
    return takes ? lease : undefined;
  }

  /** The block that is arriving is no longer waited for; it is still welcome. */
  #releaseBlock(): void {
    if (this.#claimed && this.#target() !== undefined) {
      this.#torrent.leases.release(this.#piece as PieceIndex, this.#block);
    }
    this.#claimed = false;
  }

  readonly #claim = (piece: PieceIndex, block: number): boolean => this.#torrent.leases.claim(piece, block, this.peer);

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

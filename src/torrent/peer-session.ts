/**
 * One peer's conversation (BEP 3, fast extension BEP 6): who wants whom. What the peer has is in `peer-pieces.ts`,
 * what it gives us in `download-side.ts`, what it asks of us in `upload-side.ts`, the extension protocol in `peer-extensions.ts`. Pure: bytes and
 * times come in, bytes go out through a `PeerLink`; there is no socket, clock or disk here.
 *
 * `am…` is our side, `peer…` is the peer's.
 */
import type { Options } from '../options.js';
import type { PeerAddress } from '../protocol/address.js';
import { EXTENDED_HANDSHAKE, type ExtendedHandshake, type OurHandshake } from '../protocol/extension.js';
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
  WireDecoder,
  WireError,
  type WireSink,
} from '../protocol/wire.js';
import type { Bitfield } from './bitfield.js';
import { DownloadSide, type DownloadTorrent } from './download-side.js';
import type { PieceIndex } from './geometry.js';
import { costOfBytes, IdleTalk, LONG_MESSAGE } from './idle-talk.js';
import { PeerExtensions } from './peer-extensions.js';
import { PeerPieces } from './peer-pieces.js';
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
export interface SessionTorrent extends DownloadTorrent {
  /** Pieces that may be served. */
  readonly have: Bitfield;
  /** Wanted pieces that are not on disk. */
  readonly needs: Bitfield;
  /** Stands for every seed. */
  readonly full: Bitfield;
  /** The extended handshake for a peer (BEP 10). */
  extendedHandshakeFor(host: string): OurHandshake;
  /** Pieces a peer may ask for while choked (BEP 6). */
  fastSetFor(host: string): readonly number[];
  /** The peer has other pieces than before: more, or all but one of all. */
  onPeerPieces(session: PeerSession, before: Bitfield): void;
  onPeerPiece(session: PeerSession, piece: PieceIndex): void;
  /** BEP 54: the peer, no seed before, has a piece no more. */
  onPeerLostPiece(piece: PieceIndex): void;
  /** BEP 6: a peer that has the piece would like to be asked for it. */
  onSuggested(piece: PieceIndex): void;
  onPeerInterest(session: PeerSession): void;
  /** Addresses that the peer is connected to (BEP 11). */
  onDiscovered(session: PeerSession, peers: readonly PeerAddress[]): void;
  /** The peer has named the port it listens on (BEP 10). */
  onListenPort(session: PeerSession, port: number): void;
  /** The peer has told the address it sees us at (BEP 10). */
  onSeenAs(session: PeerSession, host: string): void;
}

/** Suggestions of one peer that are passed on; libtorrent keeps as many. */
const MAX_SUGGESTIONS = 16;

export class PeerSession implements WireSink {
  /** The connection's number, > 0. */
  readonly peer: number;
  /** ms */
  readonly connectedAt: number;
  readonly downloads: DownloadSide;
  readonly uploads: UploadSide;
  /** `undefined` when one of us does not speak the extension protocol. */
  readonly extensions: PeerExtensions | undefined;
  amInterested = false;
  peerChoking = true;
  peerInterested = false;
  /** Payload bytes sent. */
  uploaded = 0;
  readonly #pieces: PeerPieces;
  readonly #torrent: SessionTorrent;
  readonly #link: PeerLink;
  readonly #decoder: WireDecoder;
  readonly #fast: boolean;
  #suggestions = 0;
  /** One port is believed: a peer that names thousands wants our address book. */
  #hasNamedPort = false;
  #hasNamedUs = false;
  #now: number;
  readonly #idleTalk: IdleTalk;
  #hasGivenBitfield = false;
  /** Byte of the bitfields where there was last something that the peer has and we need. */
  #neededAt = 0;

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
    this.connectedAt = now;
    this.#now = now;
    this.#pieces = new PeerPieces(torrent.full, {
      onPieces: (before) => torrent.onPeerPieces(this, before),
      onPiece: (piece) => torrent.onPeerPiece(this, piece),
      onLost: (piece) => torrent.onPeerLostPiece(piece),
    });
    this.#decoder = new WireDecoder(this, this.has.bytes.length);
    this.#fast = features.fast;
    this.#idleTalk = new IdleTalk(options);
    const send = (bytes: Uint8Array): void => link.send(bytes);
    this.downloads = new DownloadSide(peer, torrent, send, options, now);
    this.uploads = new UploadSide({
      geometry: torrent.geometry,
      have: torrent.have,
      options,
      fast: features.fast,
      send,
      serve: () => link.serve(),
      hold: () => link.hold(),
      isNew: () => this.has.count < FAST_SET_SIZE,
    });
    this.extensions = features.extended
      ? new PeerExtensions(torrent.extendedHandshakeFor(link.host), {
          send,
          onExtendedHandshake: (handshake) => this.#onExtendedHandshake(handshake),
          onDiscovered: (peers) => torrent.onDiscovered(this, peers),
          onDontHave: (index) => this.#onDontHave(index),
        })
      : undefined;
  }

  /** What the peer has; shared with every seed, so read-only. */
  get has(): Bitfield {
    return this.#pieces.has;
  }

  get isSeed(): boolean {
    return this.has.isFull;
  }

  /** BEP 21: it wants nothing. */
  get isUploadOnly(): boolean {
    return this.isSeed || this.extensions?.theirs?.uploadOnly === true;
  }

  /** What may be requested now: pieces the peer has, only the allowed fast ones while it chokes us. */
  get askable(): Bitfield | undefined {
    if (!this.amInterested) return undefined;
    return this.peerChoking ? this.#pieces.allowedFast : this.has;
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
    this.uploads.flush();
  }

  /** Requests blocks up to the window. */
  fill(now: number): void {
    this.downloads.fill(this.askable, now);
  }

  /** Endgame: asks for what others owe. */
  contest(now: number): void {
    this.downloads.contest(this.askable, now);
  }

  /** The connection is gone: what the peer owed is missing again. */
  onClose(now: number): void {
    this.#decoder.pause();
    // Nothing may be asked for from now on, allowed fast pieces neither.
    this.amInterested = false;
    this.downloads.onClose(now);
    this.uploads.queue.clear();
  }

  /** Announces pieces, leaving out what the peer has: it would not ask for them. */
  sendHaves(pieces: readonly PieceIndex[], encoded: Uint8Array): void {
    if (this.isSeed) return;
    const news = pieces.filter((piece) => !this.has.has(piece));
    if (news.length > 0) this.#link.send(news.length === pieces.length ? encoded : encodeHaves(news));
  }

  /** Tells the peer whether it has anything we need. Looked for where it was last: costs next to nothing until that is there. */
  updateInterest(): void {
    this.#neededAt = commonByte(this.has, this.#torrent.needs, this.#neededAt);
    const interested = this.#neededAt !== -1;
    if (interested === this.amInterested) return;
    this.amInterested = interested;
    this.#link.send(interested ? INTERESTED : NOT_INTERESTED);
  }

  onKeepAlive(): void {
    this.#onIdleTalk();
  }

  /**
   * BEP 3: a choke drops everything outstanding; what was sent before it has arrived before it. With the fast extension each
   * request is still answered, by its block or a reject.
   */
  onChoke(): void {
    this.#onIdleTalk();
    this.peerChoking = true;
    if (!this.#fast) this.downloads.onChoke(this.#now);
  }

  onUnchoke(): void {
    this.#onIdleTalk();
    this.peerChoking = false;
  }

  onInterested(): void {
    this.#onIdleTalk();
    this.peerInterested = true;
    this.#torrent.onPeerInterest(this);
  }

  onNotInterested(): void {
    this.#onIdleTalk();
    this.peerInterested = false;
    this.#torrent.onPeerInterest(this);
  }

  onHave(index: number): void {
    const piece = this.#checked(index, 'have');
    if (!this.#pieces.onHave(piece)) return this.#onIdleTalk();
    if (this.amInterested || !this.#torrent.needs.has(piece)) return;
    this.amInterested = true;
    this.#link.send(INTERESTED);
  }

  onBitfield(bytes: Uint8Array): void {
    this.#onIdleTalk(this.#hasGivenBitfield ? LONG_MESSAGE + costOfBytes(bytes.length) : 1);
    this.#hasGivenBitfield = true;
    if (this.#pieces.onBitfield(bytes)) this.updateInterest();
  }

  onHaveAll(): void {
    this.#expectFast('have-all');
    this.#onIdleTalk(LONG_MESSAGE);
    if (this.#pieces.onHaveAll()) this.updateInterest();
  }

  /** What we assume of a peer that has said nothing. */
  onHaveNone(): void {
    this.#expectFast('have-none');
    this.#onIdleTalk();
  }

  /** A hint which piece would be good to ask for. The first few count: who suggests everything suggests nothing. */
  onSuggest(index: number): void {
    this.#expectFast('suggest');
    this.#onIdleTalk();
    const piece = this.#checked(index, 'suggest');
    if (this.#suggestions === MAX_SUGGESTIONS || !this.has.has(piece) || !this.#torrent.needs.has(piece)) return;
    this.#suggestions++;
    this.#torrent.onSuggested(piece);
  }

  onAllowedFast(index: number): void {
    this.#expectFast('allowed fast');
    this.#onIdleTalk();
    const piece = this.#checked(index, 'allowed fast');
    this.#pieces.grant(piece);
  }

  onExtended(id: number, body: Uint8Array): void {
    this.#onIdleTalk((id === EXTENDED_HANDSHAKE ? LONG_MESSAGE : 0) + costOfBytes(body.length));
    this.extensions?.onExtended(id, body, this.#now);
  }

  #onExtendedHandshake({ reqq, port, yourIp }: ExtendedHandshake): void {
    if (reqq !== undefined) this.downloads.pipeline.onReqq(reqq);
    if (yourIp !== undefined && !this.#hasNamedUs) {
      this.#hasNamedUs = true;
      this.#torrent.onSeenAs(this, yourIp);
    }
    if (port === undefined || this.#hasNamedPort) return;
    this.#hasNamedPort = true;
    this.#torrent.onListenPort(this, port);
  }

  #onDontHave(index: number): void {
    const piece = this.#checked(index, 'lt_donthave');
    if (this.#pieces.onDontHave(piece) && this.#torrent.needs.has(piece)) this.updateInterest();
  }

  onRequest(index: number, begin: number, length: number): void {
    if (!this.uploads.onRequest(this.#checked(index, 'request'), begin, length)) this.#onIdleTalk();
  }

  onCancel(index: number, begin: number, length: number): void {
    this.uploads.onCancel(index, begin, length);
    // Also where it is heeded: with the request it takes back it was of no use.
    this.#onIdleTalk();
  }

  onBlockStart(index: number, begin: number, length: number): void {
    const piece = this.#checked(index, 'piece');
    const { geometry } = this.#torrent;
    const block = Math.floor(begin / BLOCK_LENGTH);
    const isAligned = begin % BLOCK_LENGTH === 0 && begin < geometry.lengthOf(piece);
    if (isAligned && length === geometry.blockLengthOf(piece, block)) {
      return this.downloads.onBlockStart(piece, block, length, this.#now);
    }
    this.downloads.onWasteStart(length);
    // An empty block is how BitComet rejects a request; anything else was never asked for.
    if (isAligned && length === 0) this.#onRejected(piece, block);
  }

  onBlockChunk(bytes: Uint8Array, start: number, end: number): void {
    this.downloads.onBlockChunk(bytes, start, end, this.#now);
  }

  onBlockEnd(): void {
    this.downloads.onBlockEnd(this.#now);
  }

  onReject(index: number, begin: number): void {
    this.#expectFast('reject');
    const owed = this.#onRejected(this.#checked(index, 'reject'), Math.floor(begin / BLOCK_LENGTH));
    if (!owed) this.#onIdleTalk();
  }

  /** @returns whether the peer owed the block */
  #onRejected(piece: PieceIndex, block: number): boolean {
    const owed = this.downloads.onRejected(piece, block, !this.peerChoking, this.#now);
    if (owed && this.peerChoking) this.#pieces.revoke(piece);
    return owed;
  }

  onPort(): void {
    this.#onIdleTalk();
  }

  /** Nothing was negotiated, so that there is nothing to understand; ignoring it is kinder than closing. */
  onUnknown(_id: number, length: number): void {
    this.#onIdleTalk(costOfBytes(length));
  }

  /** @throws WireError when the peer says too much that is of no use */
  #onIdleTalk(weight = 1): void {
    this.#idleTalk.onMessage(this.#now, weight);
  }

  /** @throws WireError (BEP 6: the connection MUST be closed) */
  #expectFast(message: string): void {
    if (!this.#fast) throw new WireError(`${message} without the fast extension`);
  }

  #checked(index: number, message: string): PieceIndex {
    const { geometry } = this.#torrent;
    const piece = geometry.pieceIndex(index);
    if (piece === undefined) throw new WireError(`${message} for piece ${index} of ${geometry.pieceCount}`);
    return piece;
  }
}

/** @returns a byte, from one on and round, in which both have a bit; -1 when there is none */
function commonByte(a: Bitfield, b: Bitfield, from: number): number {
  const { length } = a.bytes;
  for (let n = 0, i = Math.max(from, 0); n < length; n++, i = i + 1 === length ? 0 : i + 1) {
    if ((a.bytes[i]! & b.bytes[i]!) !== 0) return i;
  }
  return -1;
}

// One peer's conversation without a socket: what the peer says goes in as bytes written by hand, what the client says is kept.
import { type Options, resolveOptions } from '../../src/options.js';
import { formatAddress, type PeerAddress } from '../../src/protocol/address.js';
import type { OurHandshake } from '../../src/protocol/extension.js';
import type { Features } from '../../src/protocol/handshake.js';
import { Bitfield } from '../../src/torrent/bitfield.js';
import { Geometry, type PieceIndex } from '../../src/torrent/geometry.js';
import { LeaseTable } from '../../src/torrent/lease-table.js';
import { type PeerLink, PeerSession, type SessionTorrent } from '../../src/torrent/peer-session.js';
import { PieceBuffer } from '../../src/torrent/piece-buffer.js';

const BLOCK = 16_384;

/** Whether nothing of a lease is there yet. */
export function isEmpty(lease: PieceBuffer): boolean {
  return Array.from({ length: lease.blockCount }, (_, block) => lease.lacks(block)).every((lacks) => lacks);
}

const u32 = (value: number): string => value.toString(16).padStart(8, '0');

// Messages in hexadecimal.
export const CHOKE = '0000000100';
export const UNCHOKE = '0000000101';
export const INTERESTED = '0000000102';
export const NOT_INTERESTED = '0000000103';
export const have = (piece: number): string => `0000000504${u32(piece)}`;
export const bitfield = (hex: string): string => `${u32(1 + hex.length / 2)}05${hex}`;
export const request = (piece: number, begin: number, length = BLOCK): string =>
  `0000000d06${u32(piece)}${u32(begin)}${u32(length)}`;
export const cancel = (piece: number, begin: number, length = BLOCK): string =>
  `0000000d08${u32(piece)}${u32(begin)}${u32(length)}`;
export const blockOf = (piece: number, begin: number, payload: Uint8Array): string =>
  `${u32(9 + payload.length)}07${u32(piece)}${u32(begin)}${Buffer.from(payload).toString('hex')}`;

/** A torrent with five pieces: four of 2 whole blocks and one of 7,232 bytes, and a last one of 20,000 bytes. */
export class FakeTorrent implements SessionTorrent {
  readonly geometry: Geometry;
  readonly have: Bitfield;
  readonly needs: Bitfield;
  readonly full: Bitfield;
  readonly leases = new LeaseTable();
  /** What the sessions told, one line each. */
  events: string[] = [];
  waste = 0;
  /** Blocks that the rate limit lets a peer be asked for at once. */
  allowance = Number.POSITIVE_INFINITY;
  /** Blocks taken of the rate limit and not given back. */
  taken = 0;
  /** Granted to every peer that speaks the fast extension. */
  fastSet: readonly number[] = [];
  readonly complete: PieceBuffer[] = [];
  #leases = 0;

  /** Four pieces of three blocks and one of two, unless told otherwise. */
  constructor(geometry = new Geometry({ length: 180_000, pieceLength: 40_000 })) {
    this.geometry = geometry;
    this.have = new Bitfield(geometry.pieceCount);
    this.needs = Bitfield.full(geometry.pieceCount);
    this.full = Bitfield.full(geometry.pieceCount);
  }

  piece(index: number): PieceIndex {
    const piece = this.geometry.pieceIndex(index);
    if (piece === undefined) throw new RangeError(`no piece ${index}`);
    return piece;
  }

  /** The bytes of a block as a good peer has them, or with another `salt` a bad one. */
  payload(piece: number, block: number, salt = 0): Uint8Array {
    const length = this.geometry.blockLengthOf(this.piece(piece), block);
    return Uint8Array.from({ length }, (_, i) => (piece * 31 + block * 7 + i + salt) & 0xff);
  }

  /** A `piece` message with a whole block, in hexadecimal. */
  block(piece: number, block: number, salt = 0): string {
    return blockOf(piece, block * BLOCK, this.payload(piece, block, salt));
  }

  /** The request of a whole block, in hexadecimal. */
  request(piece: number, block: number): string {
    return request(piece, block * BLOCK, this.payload(piece, block).length);
  }

  lease(piece: number, extra: { present?: Uint8Array; exclusive?: boolean } = {}): PieceBuffer {
    const buffer = new ArrayBuffer(this.geometry.lengthOf(this.piece(piece)));
    const lease = new PieceBuffer(
      { lease: ++this.#leases, piece: this.piece(piece), buffer, ...extra },
      this.geometry,
      0,
    );
    this.leases.add(lease);
    return lease;
  }

  onPeerPieces(session: PeerSession, before: Bitfield): void {
    this.events.push(`peer ${session.peer}: ${before.count} -> ${session.has.count} pieces`);
  }

  onPeerPiece(session: PeerSession, piece: PieceIndex): void {
    this.events.push(`peer ${session.peer}: piece ${piece}`);
  }

  onSuggested(piece: PieceIndex): void {
    this.events.push(`suggested ${piece}`);
  }

  extendedHandshakeFor(host: string): OurHandshake {
    const uploadOnly = this.needs.count === 0;
    return { client: 'spate', reqq: 2000, port: 6881, yourIp: host, uploadOnly, metadataSize: 0, pex: true };
  }

  fastSetFor(): readonly number[] {
    return this.fastSet;
  }

  onDiscovered(_session: PeerSession, peers: readonly PeerAddress[]): void {
    this.events.push(`discovered ${peers.map(formatAddress).join(' ')}`);
  }

  onListenPort(session: PeerSession, port: number): void {
    this.events.push(`peer ${session.peer}: listens on ${port}`);
  }

  onSeenAs(session: PeerSession, host: string): void {
    this.events.push(`peer ${session.peer}: sees us at ${host}`);
  }

  onPeerLostPiece(piece: PieceIndex): void {
    this.events.push(`lost piece ${piece}`);
  }

  onPeerInterest(session: PeerSession): void {
    this.events.push(`peer ${session.peer}: ${session.peerInterested ? '' : 'not '}interested`);
  }

  onBlock(lease: PieceBuffer, bytes: number): void {
    this.events.push(`block of piece ${lease.piece}: ${bytes}`);
    if (!lease.isComplete) return;
    this.leases.remove(lease);
    this.complete.push(lease);
  }

  onWaste(bytes: number): void {
    this.waste += bytes;
  }

  isTight = false;

  takeRequests(blocks: number): number {
    const granted = Math.min(blocks, this.allowance);
    this.taken += granted;
    return granted;
  }

  returnRequests(blocks: number): void {
    this.taken -= blocks;
  }

  onContested(peer: number, piece: PieceIndex, block: number): void {
    this.events.push(`peer ${peer}: won block ${block} of piece ${piece}`);
  }
}

export const PLAIN: Features = { fast: false, extended: false };
export const FAST: Features = { fast: true, extended: false };

export class Conversation implements PeerLink {
  readonly session: PeerSession;
  readonly torrent: FakeTorrent;
  readonly host = '192.0.2.7';
  /** Virtual time, ms. */
  now = 1_000;
  /** How often there was something to upload. */
  served = 0;
  /** How often the peer was not to be read from for a while. */
  held = 0;
  #said = '';

  /** @param features what the peer speaks beside BEP 3 */
  constructor(torrent: FakeTorrent, overrides: Partial<Options> = {}, peer = 1, features = PLAIN) {
    this.torrent = torrent;
    this.session = new PeerSession(peer, torrent, this, features, resolveOptions(overrides), this.now);
  }

  send(bytes: Uint8Array): void {
    this.#said += Buffer.from(bytes).toString('hex');
  }

  serve(): void {
    this.served++;
  }

  hold(): void {
    this.held++;
  }

  /** The peer says something in one read, after which requests are topped up, as a connection does. */
  hear(...messages: readonly string[]): void {
    const bytes = Buffer.from(messages.join(''), 'hex');
    this.session.receive(bytes, 0, bytes.length, this.now);
    this.session.fill(this.now);
  }

  /** What the client has said since it was last asked, in hexadecimal. */
  said(): string {
    const said = this.#said;
    this.#said = '';
    return said;
  }

  /** The peer has everything and unchokes; what was said on the way is forgotten. */
  open(): this {
    this.hear(bitfield('f8'), UNCHOKE);
    this.said();
    return this;
  }
}

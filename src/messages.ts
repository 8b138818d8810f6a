/**
 * Every message between main and a peer group, and what each one transfers. The rules that keep the exchange sound are in
 * ARCHITECTURE.md ("The lease protocol"). `post` is the only caller of `postMessage` for these types.
 *
 * A *lease* is the permission to fetch one piece: a buffer that travels to a group and comes home, under a number that is
 * never reused. Whoever holds the buffer owns the piece. Torrent keys are never reused either.
 */
import type { Options } from './options.js';
import type { PeerAddress } from './protocol/address.js';
import type { PexPeer } from './protocol/extension.js';
import type { MetainfoFile } from './protocol/metainfo.js';
import type { EncryptionMode } from './protocol/mse.js';
import type { ThreadFigures } from './thread-meter.js';
import type { GeometryShape, PieceIndex } from './torrent/geometry.js';

/** What a group is started with. */
export interface GroupStart {
  readonly port: unknown;
  /** Place of the group in the pool, 0 to W - 1; also its section of each torrent's shared memory. */
  readonly group: number;
  /** Local address to listen on and dial from; every one when absent. */
  readonly bind?: string;
  /** `prefer` when absent. */
  readonly encryption?: EncryptionMode;
  /** Name and version, for the extended handshake. */
  readonly client: string;
  /** Measures itself, for benches. */
  readonly measure?: boolean;
  readonly options: Options;
}

/** A piece on its way to a group. */
export interface LeaseGrant {
  readonly lease: number;
  readonly piece: PieceIndex;
  /** At least as long as the piece. */
  readonly buffer: ArrayBuffer;
  /** Blocks the buffer already holds, one byte each (1 = present); absent when it holds none. */
  readonly present?: Uint8Array;
  /** To be fetched from one peer alone: it failed its hash when several gave blocks of it. */
  readonly exclusive?: boolean;
  /** It failed its hash: when it passes, the digests of its blocks come home with it and tell whose were bad. */
  readonly suspect?: boolean;
}

/** A piece on its way home, verified. */
export interface VerifiedLease {
  readonly lease: number;
  readonly piece: PieceIndex;
  readonly buffer: ArrayBuffer;
  /** SHA-1 of each block, 20 bytes each, of a suspect piece. */
  readonly digests?: Uint8Array;
}

/** Why a connection ended or never began; shown with `-v` and used by main to decide on dialling again. */
export type DisconnectReason =
  | 'refused' // the dial failed
  | 'timeout' // no connection, or no message in time
  | 'silent' // connected, and no handshake in time
  | 'closed' // the peer or the network ended it
  | 'protocol' // the peer broke the protocol
  | 'infohash' // the handshake names another torrent
  | 'self' // our own peer id
  | 'duplicate' // connected twice: main chose the other one
  | 'both-seeds' // neither wants anything
  | 'banned' // sent bad data
  | 'full' // came when as many as there may be had come
  | 'useless' // of no use for a while, and others waited
  | 'removed' // the torrent was removed
  | 'refused-torrent' // incoming, for a torrent we do not have
  | 'stopped'; // the session is closing

export type ToGroup =
  /** Several that were due at once, in order: each message for itself wakes the thread. */
  | { readonly type: 'batch'; readonly messages: readonly ToGroup[] }
  /** Listen on the announced port for every torrent: the group that gets this is the door. Port 0 picks one. */
  | { readonly type: 'listen'; readonly port: number }
  | {
      readonly type: 'addTorrent';
      readonly torrent: number;
      readonly infohash: Uint8Array;
      readonly peerId: Uint8Array;
      /** The announced port, 0 when there is none. */
      readonly port: number;
    }
  /** What `addTorrent` could not tell yet: a magnet learns it later. */
  | {
      readonly type: 'metainfo';
      readonly torrent: number;
      readonly geometry: GeometryShape;
      /** Laid out by `torrent/shared-memory.ts`. */
      readonly shared: SharedArrayBuffer;
      /** BEP 27: peers come from the trackers alone. */
      readonly private: boolean;
      /** Bytes of the info dictionary. */
      readonly metadataSize: number;
      readonly root: string;
      readonly files: readonly MetainfoFile[];
      /** Bitfields in wire form. */
      readonly have: Uint8Array;
      readonly wanted: Uint8Array;
    }
  | { readonly type: 'removeTorrent'; readonly torrent: number; readonly reason: DisconnectReason }
  | {
      readonly type: 'connect';
      readonly torrent: number;
      readonly host: string;
      readonly port: number;
      /** Whether to offer encryption; the group's mode may know better. */
      readonly encrypted: boolean;
    }
  | { readonly type: 'drop'; readonly peers: readonly number[]; readonly reason: DisconnectReason }
  /** Transfers every buffer. */
  | { readonly type: 'lease'; readonly torrent: number; readonly leases: readonly LeaseGrant[] }
  /** Another group was faster, or the piece is needed elsewhere. Answered by `returned` when the lease is still held. */
  | { readonly type: 'recall'; readonly torrent: number; readonly lease: number }
  /**
   * Endgame: asks for a copy of an unfinished lease, in a buffer that is transferred to and fro. Answered by `shared`; the
   * holder goes on with its own.
   */
  | { readonly type: 'share'; readonly torrent: number; readonly lease: number; readonly buffer: ArrayBuffer }
  /** Pieces that are on disk: they may be served and are announced to the peers. */
  | { readonly type: 'have'; readonly torrent: number; readonly pieces: readonly PieceIndex[] }
  /** The group's share of the torrent's upload slots. */
  | { readonly type: 'slots'; readonly torrent: number; readonly slots: number }
  /** The peers of all groups that others may be told of (BEP 11); never of a private torrent. */
  | { readonly type: 'roster'; readonly torrent: number; readonly peers: readonly PexPeer[] }
  /** The answer to `incoming` when there is no such torrent; `addTorrent` is the answer when there is. */
  | { readonly type: 'refuse'; readonly infohash: Uint8Array }
  /** The group's share of the session's rate limits, bytes per second, 0 for none. */
  | { readonly type: 'limits'; readonly down: number; readonly up: number }
  /** The group's share of what one torrent may receive, bytes per second, 0 for no limit. */
  | { readonly type: 'torrentLimit'; readonly torrent: number; readonly down: number }
  /** Answered by `measured`, in a group that measures itself. */
  | { readonly type: 'measure' }
  | { readonly type: 'stop' };

/** What a group that measures itself says of its life so far. */
export interface GroupFigures extends ThreadFigures {
  /** To and from main. */
  readonly messages: number;
  /** Blocks by the time from request to last byte; bucket n begins at 2^(n / 20) microseconds. */
  readonly latency: readonly number[];
}

/** How a group uses its share of a rate limit. */
export interface GroupLoad {
  /** Peers that could use it. */
  readonly peers: number;
  readonly bytesPerSecond: number;
  /** Part of the time, 0 to 1, in which the share held them back. */
  readonly waiting: number;
}

/** Bytes since the torrent's last `stats` message, and what is there now. */
export interface TorrentStats {
  readonly torrent: number;
  /** Payload of blocks that were of use when they came. */
  readonly downloaded: number;
  readonly uploaded: number;
  /** Payload that was thrown away: unasked, duplicate, of a vanished lease; and corrupt pieces, which also count as downloaded. */
  readonly wasted: number;
  readonly peers: number;
  /** Peers that want to be uploaded to. */
  readonly interested: number;
  /** Peers that gave a block since the last message. */
  readonly active: number;
  /** Connections that gave or took a block since the last message. */
  readonly working: readonly number[];
}

export type FromGroup =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'listenFailed'; readonly message: string }
  /**
   * Level-triggered: how many pieces the group could start now, given the first `leased` leases it was ever sent for this
   * torrent; main subtracts what is still under way.
   */
  | { readonly type: 'want'; readonly torrent: number; readonly count: number; readonly leased: number }
  /** Transfers every buffer. */
  | { readonly type: 'verified'; readonly torrent: number; readonly leases: readonly VerifiedLease[] }
  /**
   * Not fetched to the end. Transfers the buffer; `present` as in `LeaseGrant`. `givers` names the connection that gave each
   * block, 0 for those that came with the lease.
   */
  | {
      readonly type: 'returned';
      readonly torrent: number;
      readonly lease: number;
      readonly piece: PieceIndex;
      readonly buffer: ArrayBuffer;
      readonly present: Uint8Array;
      readonly givers: Uint32Array;
    }
  /** The answer to `share`. Transfers the buffer; `present` and `givers` are absent when the lease is not held any more. */
  | {
      readonly type: 'shared';
      readonly torrent: number;
      readonly lease: number;
      readonly buffer: ArrayBuffer;
      readonly present?: Uint8Array;
      readonly givers?: Uint32Array;
    }
  /** Failed its hash. Transfers the buffer for reuse; `givers` as in `returned`, `digests` as in `VerifiedLease`. */
  | {
      readonly type: 'corrupt';
      readonly torrent: number;
      readonly lease: number;
      readonly piece: PieceIndex;
      readonly buffer: ArrayBuffer;
      readonly givers: Uint32Array;
      readonly digests: Uint8Array;
    }
  | {
      readonly type: 'connected';
      readonly torrent: number;
      /** The connection's number, unique in its group. */
      readonly peer: number;
      readonly host: string;
      readonly port: number;
      readonly peerId: Uint8Array;
      readonly incoming: boolean;
      /** Absent for plaintext. */
      readonly encrypted?: boolean;
    }
  /** A dial that never became `connected`. */
  | {
      readonly type: 'connectFailed';
      readonly torrent: number;
      readonly host: string;
      readonly port: number;
      readonly reason: DisconnectReason;
    }
  | {
      readonly type: 'disconnected';
      readonly torrent: number;
      readonly peer: number;
      readonly reason: DisconnectReason;
      /** Payload bytes kept from and sent to this peer. */
      readonly downloaded: number;
      readonly uploaded: number;
    }
  /** Addresses that a peer named (BEP 11). */
  | {
      readonly type: 'discovered';
      readonly torrent: number;
      readonly peer: number;
      readonly peers: readonly PeerAddress[];
    }
  /** A peer named the port it listens on (BEP 10). */
  | { readonly type: 'listens'; readonly torrent: number; readonly peer: number; readonly port: number }
  /** A peer would like to be asked for a piece that it has and we need (BEP 6); a few times per connection. */
  | { readonly type: 'suggested'; readonly torrent: number; readonly piece: PieceIndex }
  /** A peer told the address it sees us at (BEP 10); once per connection. */
  | { readonly type: 'seenAs'; readonly torrent: number; readonly peer: number; readonly host: string }
  /**
   * The peers that are not in use, and those that only upload; all others are not so. Sent when it has changed, every few
   * seconds at most. The group checks again before it drops one as `useless`.
   */
  | {
      readonly type: 'survey';
      readonly torrent: number;
      readonly useless: readonly number[];
      readonly quiet: readonly number[];
      readonly seeds: readonly number[];
    }
  /**
   * An incoming handshake for a torrent this group does not know; it is parked. An encrypted one tells no more than the
   * torrent's `skeyHash`, which takes the place of the infohash here and in the answer `refuse`.
   */
  | { readonly type: 'incoming'; readonly infohash: Uint8Array }
  /** The answer to `removeTorrent`: after the torrent's last buffer. */
  | { readonly type: 'removed'; readonly torrent: number }
  /** Reading for an upload failed. */
  | { readonly type: 'readFailed'; readonly torrent: number; readonly message: string }
  /** Once a second, when there are limits. */
  | { readonly type: 'load'; readonly down: GroupLoad; readonly up: GroupLoad }
  /** The same of a torrent that has a limit of its own. */
  | { readonly type: 'torrentLoad'; readonly torrent: number; readonly down: GroupLoad }
  | { readonly type: 'measured'; readonly figures: GroupFigures }
  | { readonly type: 'stats'; readonly torrents: readonly TorrentStats[] };

/** What `post` needs of a `MessagePort`. */
export interface Outbox {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
}

/** Posts one message, transferring the buffers it carries. */
export function post(port: Outbox, message: ToGroup | FromGroup): void {
  port.postMessage(message, transferOf(message));
}

const NOTHING: readonly ArrayBuffer[] = [];

function transferOf(message: ToGroup | FromGroup): readonly ArrayBuffer[] {
  switch (message.type) {
    case 'batch':
      return message.messages.flatMap(transferOf);
    case 'lease':
    case 'verified':
      return message.leases.map(({ buffer }) => buffer);
    case 'returned':
    case 'corrupt':
    case 'share':
    case 'shared':
      return [message.buffer];
    default:
      return NOTHING;
  }
}

/** What the parts of a peer group share: an interface, so that none of them imports the group itself. */
import type { DisconnectReason, FromGroup } from '../src/messages.js';
import type { Options } from '../src/options.js';
import type { EncryptionMode } from '../src/protocol/mse.js';
import type { OpenFiles } from '../src/storage/open-files.js';
import type { Connection } from './connection.js';
import type { DownloadTurns } from './download-turns.js';
import type { GroupTorrent } from './group-torrent.js';
import type { Limit } from './limits.js';

export interface GroupContext {
  readonly options: Options;
  /** Name and version, for the extended handshake. */
  readonly client: string;
  /** Place of the group in the pool. */
  readonly group: number;
  readonly encryption: EncryptionMode;
  /** The group's share of the session's rate limits. */
  readonly down: Limit;
  readonly up: Limit;
  /** Of peers that a limit keeps from being asked for more. */
  readonly downloadTurns: DownloadTurns;
  /** Shared by the torrents of the thread. */
  readonly openFiles: OpenFiles;
  /** Monotonic, ms. */
  now(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** A connection number, never reused in this group. */
  nextPeer(): number;
  /** Sends one message to main. */
  post(message: FromGroup): void;
  /** @param name the infohash, or the `skeyHash` that an encrypted peer gives */
  torrentOf(name: Uint8Array): GroupTorrent | undefined;
  /** An incoming connection has named a torrent that is served here. */
  onNamed(connection: Connection): void;
  /** An incoming connection waits for a torrent that this group does not know. */
  onParked(connection: Connection, name: Uint8Array): void;
  onClosed(connection: Connection, reason: DisconnectReason): void;
  /** A chance to look at the port: a group busy with sockets is slow to see it. */
  afterRead(now: number): void;
}

/** What a session gives each of its torrents. Types only. */
import type { Announcer } from './discovery/announcer.js';
import type { ToGroup } from './messages.js';
import type { Options } from './options.js';
import type { Family } from './protocol/address.js';
import type { EncryptionMode } from './protocol/mse.js';
import type { FolderFlushes } from './storage/folder-flush.js';
import type { OpenFiles } from './storage/open-files.js';
import type { ByteBudget } from './torrent/byte-budget.js';
import type { Census } from './torrent/census.js';
import type { ExternalAddress } from './torrent/external-address.js';
import type { GeometryShape } from './torrent/geometry.js';
import type { IdleBuffers } from './torrent/idle-buffers.js';
import type { Turns, TurnTaker } from './turns.js';

/**
 * What the torrents of a session share.
 * @typeParam D the download itself, which the session is told of
 */
export interface DownloadHost<D extends TurnTaker> {
  readonly options: Options;
  readonly encryption: EncryptionMode;
  /** Address families that can be listened on and dialled from. */
  readonly families: readonly Family[];
  readonly groupCount: number;
  readonly budget: ByteBudget;
  readonly idle: IdleBuffers;
  readonly openFiles: OpenFiles;
  readonly folders: FolderFlushes;
  readonly verifyThreads: number;
  /** Most bytes per second that all torrents receive; 0 for no limit. */
  readonly maxDown: number;
  /** Where resume state and locks are kept; none are without. */
  readonly stateFolder: string | undefined;
  /** The announced port. */
  readonly port: number;
  /** Where the world sees us, as far as peers tell. */
  readonly external: ExternalAddress;
  /** Connections of all torrents. */
  readonly census: Census;
  /** Who is in a swarm takes part in them. */
  readonly turns: Turns<D>;
  readonly random: () => number;
  now(): number;
  createPeerId(): Uint8Array;
  createAnnouncer(settings: ConstructorParameters<typeof Announcer>[0]): Announcer;
  send(group: number, message: ToGroup): void;
  /** Groups to serve a torrent with, the least loaded first. */
  placeTorrent(download: D, geometry: GeometryShape): readonly number[];
  /** The download has ended; nothing more will be sent for it. */
  onEnded(download: D): void;
}

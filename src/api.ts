/** The shapes of the public API: what a download is given, what it reports. Types only. */
import type { TrackerStatus } from './discovery/announcer.js';
import type { PeerAddress } from './protocol/address.js';
import type { FileSelection } from './storage/selection.js';
import type { Storage } from './storage/storage.js';

export type DownloadState = 'checking' | 'allocating' | 'downloading' | 'seeding' | 'complete' | 'failed' | 'stopped';

/**
 * How what is on disk is judged at the start. `auto` believes the saved resume state of files that have kept their size and time
 * of last change, and hashes the others; `full` hashes all; `none` hashes nothing, believes the state wherever the sizes agree,
 * and takes what no state vouches for as missing.
 */
export type CheckMode = 'auto' | 'full' | 'none';

export interface DownloadSettings {
  /** Folder the torrent's file or folder is put in. */
  readonly out: string;
  /** Takes the payload in place of files in `out`; what is there is still hashed first, and served. */
  readonly storage?: Storage;
  /** Peers to connect to beside those that are discovered. */
  readonly peers?: readonly PeerAddress[];
  /** Announce URLs beside the torrent's own, each a tier. */
  readonly trackers?: readonly string[];
  /** Go on seeding when complete. */
  readonly seed?: boolean;
  /** `false` serves what is on disk and fetches nothing. */
  readonly fetch?: boolean;
  /** `auto` when absent. */
  readonly check?: CheckMode;
  /** The files to fetch; all when absent. Bytes of others that share a piece with them go to a hidden part file. */
  readonly select?: FileSelection;
  /** `full` takes the room on disk before the first byte is fetched; `sparse`, the default, as bytes come. */
  readonly alloc?: 'sparse' | 'full';
  /** Most bytes per second received, within the session's limit; 0 or absent for none of its own. */
  readonly maxDown?: number;
  readonly onEvent?: (event: DownloadEvent) => void;
}

export type DownloadEvent =
  /** What is on disk has been judged; `trusted` of the good pieces were not hashed. */
  | { readonly type: 'checked'; readonly pieces: number; readonly of: number; readonly trusted: number }
  /** A tracker answered, warned or failed. */
  | { readonly type: 'tracker'; readonly status: TrackerStatus }
  | { readonly type: 'peer'; readonly what: string; readonly address: PeerAddress; readonly peerId?: Uint8Array }
  | { readonly type: 'warning'; readonly message: string };

/** A snapshot; bytes unless said. */
export interface DownloadStats {
  readonly state: DownloadState;
  /** In the wanted files; in all of them while existing data is checked. */
  readonly length: number;
  /** Judged so far while checking, or written so far while allocating; and hashed per second. */
  readonly checked: number;
  readonly checkRate: number;
  /** In verified pieces on disk. */
  readonly have: number;
  /** Of the wanted files, not there yet. */
  readonly left: number;
  /** Payload received and kept, sent, and received in vain, since the start. */
  readonly downloaded: number;
  readonly uploaded: number;
  readonly wasted: number;
  /** Per second. */
  readonly downRate: number;
  readonly upRate: number;
  /** Connections; those that gave a block lately; addresses known. */
  readonly peers: number;
  readonly activePeers: number;
  readonly knownPeers: number;
}

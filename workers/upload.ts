/**
 * Serving blocks (BEP 3): reads what a peer asked for from disk and sends it. Requests that continue one another are one
 * read and one write; what is read but not sent is bounded per peer, so that a slow peer costs a little memory and no more.
 */
import { BLOCK_HEADER_LENGTH, BLOCK_LENGTH, writeBlockHeader } from '../src/protocol/wire.js';
import type { FileStore } from '../src/storage/files.js';
import type { Geometry } from '../src/torrent/geometry.js';
import type { PeerSession } from '../src/torrent/peer-session.js';
import type { UploadRequest } from '../src/torrent/upload-queue.js';
import type { Connection } from './connection.js';
import type { GroupContext } from './context.js';

export interface UploadEvents {
  onSent(session: PeerSession, bytes: number): void;
  /** A read failed: the files changed under our feet. Reported once. */
  onFailed(message: string): void;
}

type UploadContext = Pick<GroupContext, 'options' | 'up' | 'now'>;

export class Uploader {
  readonly #store: FileStore;
  readonly #geometry: Geometry;
  readonly #context: UploadContext;
  readonly #events: UploadEvents;
  /** Peers a read is under way for: one each, so that answers keep their order. */
  readonly #reading = new Set<PeerSession>();
  #failed = false;
  #closed = false;

  /** @param store the torrent's files, for reading */
  constructor(store: FileStore, geometry: Geometry, context: UploadContext, events: UploadEvents) {
    this.#store = store;
    this.#geometry = geometry;
    this.#context = context;
    this.#events = events;
  }

  /** Goes on with a peer's queue while its connection takes more. */
  pump(session: PeerSession, connection: Connection): void {
    if (this.#closed || this.#failed || this.#reading.has(session)) return;
    const { uploadBufferBytes, uploadReadBytes } = this.#context.options;
    if (connection.unsentBytes >= uploadBufferBytes || session.uploads.queue.size === 0) return;
    const run = this.#takeRun(session, uploadReadBytes);
    if (run.length === 0) return;
    connection.onServed();
    this.#reading.add(session);
    this.#read(run)
      .then((answer) => {
        this.#reading.delete(session);
        if (connection.isClosed) return;
        connection.send(answer);
        this.#events.onSent(session, answer.length - run.length * BLOCK_HEADER_LENGTH);
        this.pump(session, connection);
      })
      .catch((error: Error) => {
        this.#reading.delete(session);
        if (this.#closed || this.#failed) return;
        this.#failed = true;
        this.#events.onFailed(error.message);
      });
  }

  /** What may be sent under the rate limit; nothing as long as that is less than a block. A longer request is paid for later. */
  #takeRun({ uploads }: PeerSession, most: number): readonly UploadRequest[] {
    const { up } = this.#context;
    const now = this.#context.now();
    const granted = up.take(Math.min(most, uploads.queue.size * BLOCK_LENGTH), now);
    const run = granted >= Math.min(uploads.queue.firstLength, BLOCK_LENGTH) ? uploads.queue.takeRun(granted) : [];
    up.giveBack(granted - run.reduce((sum, { length }) => sum + length, 0), now);
    return run;
  }

  close(): void {
    this.#closed = true;
    // Waits for reads under way by itself; a failure to close a read-only descriptor loses nothing.
    this.#store.close().catch(() => {});
  }

  /** The `piece` messages that answer a run, headers and payload in one buffer. */
  async #read(run: readonly UploadRequest[]): Promise<Uint8Array> {
    const payload = run.reduce((sum, { length }) => sum + length, 0);
    const bytes = Buffer.allocUnsafe(payload + run.length * BLOCK_HEADER_LENGTH);
    const views: Uint8Array[] = [];
    let at = 0;
    for (const { piece, begin, length } of run) {
      writeBlockHeader(bytes, at, piece, begin, length);
      at += BLOCK_HEADER_LENGTH;
      views.push(bytes.subarray(at, at + length));
      at += length;
    }
    const { piece, begin } = run[0]!;
    await this.#store.readInto(this.#geometry.offsetOf(piece) + begin, views);
    return bytes;
  }
}

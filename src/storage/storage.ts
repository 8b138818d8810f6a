/**
 * What a download needs of the place its payload goes to (the plug point), and the one that keeps nothing, for benches.
 * `offset` is a byte in the torrent. The real one is `FileStore`.
 */

export interface Storage {
  /** Makes what no payload will make: the root folder and the empty files. */
  prepare(): Promise<void>;
  /** Writes adjacent views; resolves when the operating system has them. They must not be transferred before. */
  write(offset: number, views: readonly Uint8Array[]): Promise<void>;
  /** Fills adjacent views; an error when not every byte is there. */
  readInto(offset: number, views: readonly Uint8Array[]): Promise<void>;
  /** Resolves when every write that had resolved survives a power cut. */
  sync(): Promise<void>;
  /** Ends after the operations in flight; later ones reject with CLOSED. */
  close(): Promise<void>;
}

/** Accepts everything, keeps nothing, reads as zeros. */
export class NullStorage implements Storage {
  async prepare(): Promise<void> {}

  async write(): Promise<void> {}

  async readInto(_offset: number, views: readonly Uint8Array[]): Promise<void> {
    for (const view of views) view.fill(0);
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {}
}

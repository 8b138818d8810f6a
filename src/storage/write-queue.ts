/**
 * Verified pieces of one torrent on their way to its storage, of which this is the only writer. Pieces that wait and are
 * neighbours go out as one write: 64 single writes of 16 KiB cost main 27 times more. Keeps no copy: a buffer belongs to the
 * queue until its promise settles.
 *
 * After the first error nothing more is written: all that waits and all that comes later rejects with it.
 */
import { SpateError } from '../errors.js';
import type { Options } from '../options.js';
import type { Geometry, PieceIndex } from '../torrent/geometry.js';
import type { Storage } from './storage.js';

export interface WriteQueueConfig {
  readonly storage: Pick<Storage, 'write'>;
  readonly geometry: Geometry;
  readonly options: Pick<Options, 'writesInFlight' | 'writeCoalesceBytes'>;
}

interface Waiting {
  readonly piece: PieceIndex;
  /** Exactly the piece. */
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class WriteQueue {
  readonly #storage: Pick<Storage, 'write'>;
  readonly #geometry: Geometry;
  readonly #maxInFlight: number;
  readonly #maxBytes: number;
  /** By piece, the longest wait first. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #writing = new Set<number>();
  #inFlight = 0;
  #scheduled = false;
  #failure: { readonly error: unknown } | undefined;
  #onIdle: (() => void)[] = [];

  constructor({ storage, geometry, options }: WriteQueueConfig) {
    this.#storage = storage;
    this.#geometry = geometry;
    this.#maxInFlight = options.writesInFlight;
    this.#maxBytes = options.writeCoalesceBytes;
  }

  /**
   * Resolves when the piece is with the operating system (not flushed); until then its buffer must not be touched.
   * @param view starts with the piece; what follows it is not written
   * @throws SpateError of the first write that failed; (INTERNAL) when the view is too short, as one whose buffer was
   *   transferred away is, or the piece is in the queue already
   */
  async enqueue(piece: PieceIndex, view: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    const length = this.#geometry.lengthOf(piece);
    if (view.byteLength < length) {
      throw new SpateError('INTERNAL', `piece ${piece} has ${length} bytes, its buffer ${view.byteLength}`);
    }
    if (this.#waiting.has(piece) || this.#writing.has(piece)) {
      throw new SpateError('INTERNAL', `piece ${piece} is being written already`);
    }
    const bytes = view.byteLength === length ? view : view.subarray(0, length);
    await new Promise<void>((resolve, reject) => {
      this.#waiting.set(piece, { piece, bytes, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when nothing waits and nothing is in flight, whether written or failed. */
  async idle(): Promise<void> {
    if (this.isIdle) return;
    await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  /** Nothing waits and nothing is in flight. */
  get isIdle(): boolean {
    return this.#waiting.size === 0 && this.#inFlight === 0;
  }

  /** Writes start at the end of the turn: the pieces of one message are enqueued one by one and belong together. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#start();
    });
  }

  #start(): void {
    while (this.#inFlight < this.#maxInFlight && this.#waiting.size > 0) void this.#write(this.#takeRun());
  }

  /** The piece that has waited longest, with as many waiting neighbours as one write may have. */
  #takeRun(): Waiting[] {
    const [oldest] = this.#waiting.values();
    const run = [oldest!];
    let bytes = oldest!.bytes.byteLength;
    const extend = (step: number): void => {
      for (let piece = oldest!.piece + step; ; piece += step) {
        const next = this.#waiting.get(piece);
        if (next === undefined || bytes + next.bytes.byteLength > this.#maxBytes) return;
        bytes += next.bytes.byteLength;
        run.push(next);
      }
    };
    extend(-1);
    run.reverse();
    extend(1);
    for (const { piece } of run) {
      this.#waiting.delete(piece);
      this.#writing.add(piece);
    }
    return run;
  }

  /** Never rejects: who waits for the pieces is told. */
  async #write(run: readonly Waiting[]): Promise<void> {
    this.#inFlight++;
    try {
      await this.#storage.write(
        this.#geometry.offsetOf(run[0]!.piece),
        run.map(({ bytes }) => bytes),
      );
      for (const { resolve } of run) resolve();
    } catch (error) {
      this.#fail(error);
      for (const { reject } of run) reject(error);
    }
    for (const { piece } of run) this.#writing.delete(piece);
    this.#inFlight--;
    this.#start();
    if (this.isIdle) for (const resume of this.#onIdle.splice(0)) resume();
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/**
 * The byte budget: every piece buffer of the session, and the cap on their sum. Pure.
 *
 * Buffers are recycled, the last used first, because a fresh one costs its page faults every time; free ones count in the
 * budget, and make room when another size is needed. The cap is max(`memoryBytes`, one buffer): with nothing out, one
 * buffer of any size is granted.
 */
import { BLOCK_LENGTH } from '../protocol/wire.js';

export class ByteBudget {
  readonly capBytes: number;
  #outBytes = 0;
  #freeBytes = 0;
  /** Free buffers by size; the least recently used size comes first. */
  readonly #free = new Map<number, ArrayBuffer[]>();

  constructor(capBytes: number) {
    this.capBytes = capBytes;
  }

  /** Bytes of buffers that are out: leased, partial or being written. */
  get outBytes(): number {
    return this.#outBytes;
  }

  /** Whether more than half of it is out: from then on nobody takes more than his rate is worth. */
  get isScarce(): boolean {
    return this.#outBytes > this.capBytes / 2;
  }

  /** Bytes held for reuse. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Bytes a buffer for `length` is charged with. */
  static sizeFor(length: number): number {
    return Math.ceil(length / BLOCK_LENGTH) * BLOCK_LENGTH;
  }

  /** How many buffers for `length` bytes could be taken now. */
  room(length: number): number {
    const count = Math.max(0, Math.floor((this.capBytes - this.#outBytes) / ByteBudget.sizeFor(length)));
    return this.#outBytes === 0 ? Math.max(1, count) : count;
  }

  /** A buffer of at least `length` bytes, its content undefined; `undefined` when the budget is spent. */
  take(length: number): ArrayBuffer | undefined {
    const size = ByteBudget.sizeFor(length);
    if (this.room(length) === 0) return undefined;
    this.#outBytes += size;
    const free = this.#free.get(size);
    const buffer = free?.pop();
    if (buffer !== undefined) {
      this.#freeBytes -= size;
      return buffer;
    }
    this.#evict(this.capBytes - this.#outBytes);
    return new ArrayBuffer(size);
  }

  /** Takes a buffer back. @throws RangeError when it was transferred away: its bytes are somebody else's */
  give(buffer: ArrayBuffer): void {
    const size = buffer.byteLength;
    if (size === 0) throw new RangeError('a detached buffer was given back');
    this.#outBytes -= size;
    const free = this.#free.get(size) ?? [];
    free.push(buffer);
    this.#free.delete(size);
    this.#free.set(size, free);
    this.#freeBytes += size;
    this.#evict(this.capBytes - this.#outBytes);
  }

  /** A buffer for `length` bytes died with its group. */
  forget(length: number): void {
    this.#outBytes -= ByteBudget.sizeFor(length);
  }

  /** Lets free buffers go until they take at most `allowed` bytes. */
  #evict(allowed: number): void {
    for (const [size, buffers] of this.#free) {
      while (this.#freeBytes > allowed && buffers.pop() !== undefined) this.#freeBytes -= size;
      if (buffers.length === 0) this.#free.delete(size);
      if (this.#freeBytes <= allowed) return;
    }
  }
}

/**
 * The buffers of unfinished pieces that nobody works on, of all torrents of a session, the longest at home first. When the byte
 * budget is spent and somebody asks for a buffer, these are let go. Pure: how one is, is its owner's business.
 */
import { ByteBudget } from './byte-budget.js';

export interface IdleBuffer {
  readonly bytes: number;
  /** When it came home, ms. */
  readonly since: number;
  /** Gives the buffer back to the budget. Resolves when that is done; never rejects. */
  spill(): Promise<void>;
}

export class IdleBuffers {
  readonly #budget: ByteBudget;
  readonly #afterMs: number;
  readonly #idle = new Set<IdleBuffer>();
  /** Bytes that are being let go. */
  #leaving = 0;

  /** @param afterMs a buffer is not idle before: peers come back, and another group may want the piece */
  constructor(budget: ByteBudget, afterMs: number) {
    this.#budget = budget;
    this.#afterMs = afterMs;
  }

  add(buffer: IdleBuffer): void {
    this.#idle.add(buffer);
  }

  /** Somebody works on it, or it is gone. */
  delete(buffer: IdleBuffer): void {
    this.#idle.delete(buffer);
  }

  /** Lets go of as many as it takes until there is room for `length` bytes, which somebody asks for. */
  relieve(length: number, now: number): void {
    for (const buffer of this.#idle) {
      if (!this.#isShort(length) || now - buffer.since < this.#afterMs) return;
      this.#idle.delete(buffer);
      this.#leaving += buffer.bytes;
      void buffer.spill().then(() => {
        this.#leaving -= buffer.bytes;
      });
    }
  }

  /** A buffer beyond the cap takes all that is out to come home. */
  #isShort(length: number): boolean {
    const { capBytes, outBytes } = this.#budget;
    return outBytes - this.#leaving + Math.min(ByteBudget.sizeFor(length), capBytes) > capBytes;
  }
}

/**
 * The session's rate limits, split over the groups: each group keeps to its share by itself, and the shares follow what the
 * groups report. The arithmetic is `torrent/slots.ts`'s.
 */
import type { GroupLoad, ToGroup } from './messages.js';
import { type RateShare, splitRate } from './torrent/slots.js';

/** Bytes per second, 0 for no limit. */
export interface RateLimits {
  readonly down: number;
  readonly up: number;
}

const NOTHING: GroupLoad = { peers: 0, bytesPerSecond: 0, waiting: 0 };

export class RateSplit {
  readonly #limits: RateLimits;
  readonly #send: (group: number, message: ToGroup) => void;
  readonly #down: GroupLoad[];
  readonly #up: GroupLoad[];
  #downShares: RateShare[] = [];
  #upShares: RateShare[] = [];

  constructor(limits: RateLimits, groupCount: number, send: (group: number, message: ToGroup) => void) {
    this.#limits = limits;
    this.#send = send;
    this.#down = Array.from({ length: groupCount }, () => NOTHING);
    this.#up = Array.from({ length: groupCount }, () => NOTHING);
  }

  /** A group that has its first peers need not wait for the next split. */
  onLoad(group: number, down: GroupLoad, up: GroupLoad): void {
    const starts = (this.#down[group]?.peers === 0 && down.peers > 0) || (this.#up[group]?.peers === 0 && up.peers > 0);
    this.#down[group] = down;
    this.#up[group] = up;
    if (starts) this.split();
  }

  /** Tells every group its share. */
  split(): void {
    if (this.#limits.down + this.#limits.up === 0) return;
    this.#downShares = splitRate(this.#limits.down, this.#down, this.#downShares);
    this.#upShares = splitRate(this.#limits.up, this.#up, this.#upShares);
    for (const group of this.#down.keys()) this.tell(group);
  }

  /** Tells one group its share: a fresh one knows none. */
  tell(group: number): void {
    const down = this.#downShares[group]?.bytesPerSecond ?? 0;
    const up = this.#upShares[group]?.bytesPerSecond ?? 0;
    if (down + up > 0) this.#send(group, { type: 'limits', down, up });
  }
}

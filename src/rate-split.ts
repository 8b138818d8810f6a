/**
 * Rate limits, the session's or one torrent's, split over the groups: each group keeps to its share by itself, and the shares
 * follow what the groups report. The arithmetic is `torrent/slots.ts`'s.
 */
import { SpateError } from './errors.js';
import type { GroupLoad } from './messages.js';
import { type RateShare, splitRate } from './torrent/slots.js';

/** Bytes per second, 0 for no limit. */
export interface RateLimits {
  readonly down: number;
  readonly up: number;
}

const NOTHING: GroupLoad = { peers: 0, bytesPerSecond: 0, waiting: 0 };
/** How often the limits are split anew. */
const SPLIT_EVERY_MS = 2_000;

interface Member {
  down: GroupLoad;
  up: GroupLoad;
  shares: { readonly down: RateShare; readonly up: RateShare };
}

const NO_SHARE: RateShare = { bytesPerSecond: 0, waits: 0 };

export class RateSplit {
  readonly #limits: RateLimits;
  readonly #tell: (group: number, shares: RateLimits) => void;
  readonly #members = new Map<number, Member>();
  #splitAt = 0;

  /** @param tell called with what a group may have */
  constructor(limits: RateLimits, tell: (group: number, shares: RateLimits) => void) {
    this.#limits = limits;
    this.#tell = tell;
  }

  /** A group takes part, as one that has no peers yet. */
  add(group: number): void {
    this.#members.set(group, { down: NOTHING, up: NOTHING, shares: { down: NO_SHARE, up: NO_SHARE } });
    this.#split();
  }

  remove(group: number): void {
    if (this.#members.delete(group)) this.#split();
  }

  /** A group that has its first peers need not wait for the next split. */
  onLoad(group: number, down: GroupLoad, up: GroupLoad = NOTHING): void {
    const member = this.#members.get(group);
    if (member === undefined) return;
    const starts = (member.down.peers === 0 && down.peers > 0) || (member.up.peers === 0 && up.peers > 0);
    member.down = down;
    member.up = up;
    if (starts) this.#split();
  }

  onTick(now: number): void {
    if (now < this.#splitAt) return;
    this.#splitAt = now + SPLIT_EVERY_MS;
    this.#split();
  }

  /** Tells one group its share: a fresh one knows none. */
  tell(group: number): void {
    const { shares } = this.#members.get(group) ?? {};
    const down = shares?.down.bytesPerSecond ?? 0;
    const up = shares?.up.bytesPerSecond ?? 0;
    if (down + up > 0) this.#tell(group, { down, up });
  }

  /** Tells every group its share. */
  #split(): void {
    if (this.#limits.down + this.#limits.up === 0) return;
    const members = [...this.#members.values()];
    const split = (way: 'down' | 'up'): RateShare[] =>
      splitRate(
        this.#limits[way],
        members.map((member) => member[way]),
        members.map(({ shares }) => shares[way]),
      );
    const [downs, ups] = [split('down'), split('up')];
    for (const [index, member] of members.entries()) member.shares = { down: downs[index]!, up: ups[index]! };
    for (const group of this.#members.keys()) this.tell(group);
  }
}

/**
 * A limit as a setting gives it.
 * @returns 0 for none
 * @throws SpateError USAGE
 */
export function rateOf(name: string, bytesPerSecond = 0): number {
  if (bytesPerSecond >= 0 && bytesPerSecond < Number.POSITIVE_INFINITY) return bytesPerSecond;
  throw new SpateError('USAGE', `${name} must be 0 or more bytes per second, got ${bytesPerSecond}`);
}

/**
 * A rate limit: a bucket that fills with bytes at a steady rate and is emptied by those who send or request them. A bucket
 * can stand under a parent, which limits it together with its siblings: a group's limit over its torrents, a torrent's over
 * its peers. Pure: times are passed in, in ms; nothing is allocated per call. It sets no timer and holds nobody up: callers
 * ask and obey.
 *
 * Burst: a bucket holds what comes in `BURST_MS`, and one block more; never less than two blocks. So over any time t at
 * most rate x t + that much is granted. It starts empty.
 *
 * Among siblings: who comes first is served first, but whoever finds the parent too empty joins its queue, and the first in
 * the queue has what it waits for, at most a block, set aside. A child that comes when `nextAt` said, or `BURST_MS` later
 * at most, therefore gets a block for each turn of the queue, however often its siblings come. That is all: what more there
 * is to have goes to those who come, and to visit them in fair order is the caller's task.
 */
import { BLOCK_LENGTH } from '../protocol/wire.js';

/** A tick of 250 ms that fires 15 ms late loses nothing; the least that lets a caller live on such ticks alone. */
const BURST_MS = 265;
/** Who wants much is woken when this much has come: waiting for a full bucket would let it run over. */
const WAKE_MS = 50;
/** No timer is shorter. */
const MIN_WAIT_MS = 1;

export class TokenBucket {
  readonly #parent: TokenBucket | undefined;
  /** 0 when there is no limit. */
  #bytesPerMs = 0;
  #capacity = 0;
  /** Bytes to be had at `#filledAt`; below 0 in debt. Its rounding errors are far below a byte in a year. */
  #level = 0;
  #filledAt = Number.NaN;
  /** Since when a caller has gone short; NaN when nobody has. */
  #shortSince = Number.NaN;
  #shortMs = 0;
  #measuredAt = Number.NaN;
  /** Bytes it waits for in its parent's queue; 0 when it is not in it. */
  #claim = 0;
  #previous: TokenBucket | undefined;
  #next: TokenBucket | undefined;
  /** The queue of its children. */
  #first: TokenBucket | undefined;
  #last: TokenBucket | undefined;
  /** When the first of the queue has lost its place. */
  #firstUntil = 0;

  /**
   * @param bytesPerSecond 0 for no limit of its own
   * @throws RangeError when the rate is no number from 0 on
   */
  constructor(bytesPerSecond: number, parent?: TokenBucket) {
    this.#parent = parent;
    this.#assign(bytesPerSecond);
  }

  /** Bytes per second, 0 for no limit. What the bucket holds stays, up to the new capacity. @throws RangeError */
  setRate(bytesPerSecond: number, now: number): void {
    if (this.#bytesPerMs > 0) this.#fill(now);
    else this.#level = 0;
    this.#filledAt = now;
    this.#assign(bytesPerSecond);
    this.#level = Math.min(this.#level, this.#capacity);
    this.#hold();
  }

  /**
   * Takes bytes from this bucket and all above it.
   * @param wanted whole bytes
   * @returns whole bytes granted: what all of them have, 0 to `wanted`
   */
  take(wanted: number, now: number): number {
    let granted = wanted;
    let child: TokenBucket | undefined;
    for (let bucket: TokenBucket | undefined = this; bucket !== undefined; bucket = bucket.#parent) {
      bucket.#fill(now);
      granted = Math.min(granted, bucket.#freeFor(child));
      child = bucket;
    }
    granted = Math.max(0, Math.floor(granted));
    this.#settle(wanted, granted, now);
    return granted;
  }

  /**
   * When to take: `now` when `wanted` bytes are there, else a time to set a timer for, at least 1 ms away. Who wants more
   * than a block and than comes in `WAKE_MS` is told when the larger of these is there. To ask is to join the queue.
   */
  nextAt(wanted: number, now: number): number {
    let goal = wanted;
    for (let bucket: TokenBucket | undefined = this; bucket !== undefined; bucket = bucket.#parent) {
      bucket.#fill(now);
      if (bucket.#bytesPerMs > 0) goal = Math.min(goal, Math.max(BLOCK_LENGTH, bucket.#bytesPerMs * WAKE_MS));
    }
    let at = now;
    let child: TokenBucket | undefined;
    for (let bucket: TokenBucket | undefined = this; bucket !== undefined; bucket = bucket.#parent) {
      const lacking = goal - bucket.#freeFor(child);
      // A byte more than is lacking: no rounding error then wakes anybody a hair too early.
      if (lacking > 0) at = Math.max(at, now + Math.max(MIN_WAIT_MS, (lacking + 1) / bucket.#bytesPerMs));
      child = bucket;
    }
    if (at > now) this.#settle(goal, 0, now);
    return at;
  }

  /**
   * Counts bytes that moved whether or not there was room for them, as debt if need be: a request longer than any grant, or
   * bytes already read. Negative for bytes that were taken and did not move.
   */
  charge(bytes: number, now: number): void {
    let child: TokenBucket | undefined;
    for (let bucket: TokenBucket | undefined = this; bucket !== undefined; bucket = bucket.#parent) {
      bucket.#fill(now);
      bucket.#remove(bytes, child);
      child = bucket;
    }
  }

  /**
   * Part of the time since the last call, 0 to 1, in which this bucket kept somebody waiting: from a call it cut short to
   * the next one granted in full.
   */
  measureWaiting(now: number): number {
    if (now > this.#shortSince) {
      this.#shortMs += now - this.#shortSince;
      this.#shortSince = now;
    }
    const elapsed = now - this.#measuredAt;
    const part = elapsed > 0 ? Math.min(1, this.#shortMs / elapsed) : 0;
    this.#measuredAt = now;
    this.#shortMs = 0;
    return part;
  }

  /** Gives up the place in the parent's queue at once, rather than when the others have waited for it. */
  leave(): void {
    const parent = this.#parent;
    if (parent === undefined || this.#claim === 0) return;
    this.#claim = 0;
    if (this.#previous === undefined) parent.#first = this.#next;
    else this.#previous.#next = this.#next;
    if (this.#next === undefined) parent.#last = this.#previous;
    else this.#next.#previous = this.#previous;
    const wasFirst = this.#previous === undefined;
    this.#previous = undefined;
    this.#next = undefined;
    if (wasFirst) parent.#hold();
  }

  #assign(bytesPerSecond: number): void {
    if (!(bytesPerSecond >= 0 && bytesPerSecond < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`a rate must be 0 or more bytes per second, got ${bytesPerSecond}`);
    }
    this.#bytesPerMs = bytesPerSecond / 1000;
    // The block on top: takers of whole blocks leave up to one behind, and one is set aside for the first of the queue.
    this.#capacity = BLOCK_LENGTH + Math.max(BLOCK_LENGTH, this.#bytesPerMs * BURST_MS);
  }

  /** Brings the level to `now`. A time that steps back is taken for the newest one. */
  #fill(now: number): void {
    if (this.#bytesPerMs === 0) return;
    if (now > this.#filledAt) {
      this.#level = Math.min(this.#capacity, this.#level + (now - this.#filledAt) * this.#bytesPerMs);
      this.#filledAt = now;
    } else if (Number.isNaN(this.#filledAt)) {
      this.#filledAt = now;
      this.#measuredAt = now;
    }
    if (this.#first !== undefined && now >= this.#firstUntil) this.#first.leave();
  }

  /** What a child, or a caller of this very bucket, may take: all but what is set aside for another. */
  #freeFor(child: TokenBucket | undefined): number {
    if (this.#bytesPerMs === 0) return Number.POSITIVE_INFINITY;
    const first = this.#first;
    return first === undefined || first === child ? this.#level : this.#level - first.#claim;
  }

  /** Takes what was granted, all the way up; whoever went short joins the queue of each bucket that was too empty. */
  #settle(wanted: number, granted: number, now: number): void {
    let missing = wanted - granted;
    let child: TokenBucket | undefined;
    for (let bucket: TokenBucket | undefined = this; bucket !== undefined; bucket = bucket.#parent) {
      bucket.#remove(granted, child);
      const free = Math.max(0, Math.floor(bucket.#freeFor(child)));
      if (free < missing) {
        if (Number.isNaN(bucket.#shortSince)) bucket.#shortSince = now;
        if (child !== undefined) child.#join(missing);
        missing = free;
      } else if (granted > 0 && granted === wanted) {
        bucket.#onEnough(now);
      }
      child = bucket;
    }
  }

  #remove(bytes: number, child: TokenBucket | undefined): void {
    if (this.#bytesPerMs > 0) this.#level = Math.min(this.#capacity, this.#level - bytes);
    if (child !== undefined && bytes > 0) child.#onGranted(bytes);
  }

  #onEnough(now: number): void {
    if (now > this.#shortSince) this.#shortMs += now - this.#shortSince;
    this.#shortSince = Number.NaN;
  }

  #onGranted(bytes: number): void {
    if (this.#claim === 0) return;
    if (bytes >= this.#claim) this.leave();
    else this.#claim -= bytes;
  }

  /** Joins the end of the parent's queue, unless it is in it. */
  #join(wanted: number): void {
    const parent = this.#parent;
    if (parent === undefined || this.#claim > 0) return;
    this.#claim = Math.min(wanted, BLOCK_LENGTH);
    this.#previous = parent.#last;
    if (parent.#last !== undefined) parent.#last.#next = this;
    parent.#last = this;
    if (this.#previous !== undefined) return;
    parent.#first = this;
    parent.#hold();
  }

  /** Somebody is first in the queue, or the rate has changed: the place is kept until its bytes are there, and a while. */
  #hold(): void {
    if (this.#first === undefined) return;
    const lacking = Math.max(0, this.#first.#claim - this.#level);
    this.#firstUntil = this.#filledAt + (lacking > 0 ? lacking / this.#bytesPerMs : 0) + BURST_MS;
  }
}

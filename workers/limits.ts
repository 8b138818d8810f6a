/** A group's share of a rate limit: what may be requested or sent, and how much of it was of use. */
import type { GroupLoad } from '../src/messages.js';
import { BLOCK_LENGTH } from '../src/protocol/wire.js';
import { TokenBucket } from '../src/torrent/token-bucket.js';

const LOAD_EVERY_MS = 1_000;

/** One direction, of the session or of one torrent, which keeps to the session's as well. Without a limit it costs a comparison. */
export class Limit {
  readonly #parent: Limit | undefined;
  readonly #bucket: TokenBucket;
  #isLimited = false;
  #bytes = 0;
  #measuredAt = 0;
  /** When main was told of the load last, and of how many peers. */
  #toldAt = Number.NEGATIVE_INFINITY;
  #told = 0;

  /** @param parent limits this one together with others */
  constructor(parent?: Limit) {
    this.#parent = parent;
    this.#bucket = new TokenBucket(0, parent === undefined ? undefined : parent.#bucket);
  }

  /** @param bytesPerSecond 0 for none */
  set(bytesPerSecond: number, now: number): void {
    this.#bucket.setRate(bytesPerSecond, now);
    this.#isLimited = bytesPerSecond > 0;
  }

  /** Whether it has a limit of its own. */
  get isLimited(): boolean {
    return this.#isLimited;
  }

  get #isHeld(): boolean {
    return this.#isLimited || this.#parent?.isLimited === true;
  }

  /** @returns bytes that may move now, 0 to `wanted` */
  take(wanted: number, now: number): number {
    if (!this.#isHeld) return wanted;
    const granted = this.#bucket.take(wanted, now);
    this.#count(granted);
    return granted;
  }

  /** Gives back what was taken and not used. */
  giveBack(bytes: number, now: number): void {
    if (!this.#isHeld || bytes === 0) return;
    this.#bucket.charge(-bytes, now);
    this.#count(-bytes);
  }

  /** Whether a block may be requested now; who may not has joined the parent's queue. */
  hasBlock(now: number): boolean {
    return !this.#isHeld || this.#bucket.nextAt(BLOCK_LENGTH, now) <= now;
  }

  /** @returns whole blocks that may be requested now, 0 to `wanted` */
  takeBlocks(wanted: number, now: number): number {
    if (!this.#isHeld || wanted === 0) return wanted;
    // Less than a block is left to grow: to take it and give it back would cost the place in the parent's queue.
    if (!this.hasBlock(now)) return 0;
    const granted = this.take(wanted * BLOCK_LENGTH, now);
    const blocks = Math.floor(granted / BLOCK_LENGTH);
    this.giveBack(granted - blocks * BLOCK_LENGTH, now);
    return blocks;
  }

  /** Who shares the parent waits no longer for a place of this one. */
  leave(): void {
    this.#bucket.leave();
  }

  /** Whether main should be told: every second, and at once of the first peer. @param peers that could use it */
  isLoadDue(peers: number, now: number): boolean {
    return this.#isLimited && (now - this.#toldAt >= LOAD_EVERY_MS || (peers > 0 && this.#told === 0));
  }

  /** What main needs to split the limit anew. @param peers that could use it */
  load(peers: number, now: number): GroupLoad {
    const elapsed = Math.max(1, now - this.#measuredAt);
    // More may have been given back than was taken.
    const bytesPerSecond = (Math.max(0, this.#bytes) / elapsed) * 1000;
    this.#bytes = 0;
    this.#measuredAt = this.#toldAt = now;
    this.#told = peers;
    return { peers, bytesPerSecond, waiting: this.#bucket.measureWaiting(now) };
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#parent !== undefined) this.#parent.#bytes += bytes;
  }
}

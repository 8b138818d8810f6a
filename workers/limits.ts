/** A group's share of the session's rate limits: what may be requested and sent, and how much of it was of use. */
import type { GroupLoad } from '../src/messages.js';
import { BLOCK_LENGTH } from '../src/protocol/wire.js';
import { TokenBucket } from '../src/torrent/token-bucket.js';

/** One direction. Without a limit it costs a comparison. */
export class Limit {
  readonly #bucket = new TokenBucket(0);
  #isLimited = false;
  #bytes = 0;
  #measuredAt = 0;

  /** @param bytesPerSecond 0 for none */
  set(bytesPerSecond: number, now: number): void {
    this.#bucket.setRate(bytesPerSecond, now);
    this.#isLimited = bytesPerSecond > 0;
  }

  get isLimited(): boolean {
    return this.#isLimited;
  }

  /** @returns bytes that may move now, 0 to `wanted` */
  take(wanted: number, now: number): number {
    if (!this.#isLimited) return wanted;
    const granted = this.#bucket.take(wanted, now);
    this.#bytes += granted;
    return granted;
  }

  /** Gives back what was taken and not used. */
  giveBack(bytes: number, now: number): void {
    if (!this.#isLimited || bytes === 0) return;
    this.#bucket.charge(-bytes, now);
    this.#bytes -= bytes;
  }

  /** @returns whole blocks that may be requested now, 0 to `wanted` */
  takeBlocks(wanted: number, now: number): number {
    if (!this.#isLimited) return wanted;
    const granted = this.take(wanted * BLOCK_LENGTH, now);
    const blocks = Math.floor(granted / BLOCK_LENGTH);
    this.giveBack(granted - blocks * BLOCK_LENGTH, now);
    return blocks;
  }

  /** What main needs to split the limit anew. @param peers that could use it */
  load(peers: number, now: number): GroupLoad {
    const elapsed = Math.max(1, now - this.#measuredAt);
    const bytesPerSecond = (this.#bytes / elapsed) * 1000;
    this.#bytes = 0;
    this.#measuredAt = now;
    return { peers, bytesPerSecond, waiting: this.#bucket.measureWaiting(now) };
  }
}

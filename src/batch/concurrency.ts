/**
 * How many torrents of a batch download at a time. Pure.
 *
 * Two reasons make it more than a few. Small torrents must overlap, so that no round trip to a tracker leaves the line idle:
 * what is left of those under way should last for some seconds at the measured rate. And slow swarms must add up: as long as
 * more torrents bring clearly more bytes per second, there are more of them.
 */
import { RateMeter } from '../torrent/rate-meter.js';

export interface ConcurrencySettings {
  /** Fixed by the user; found by measuring when absent. */
  readonly jobs?: number | undefined;
  readonly cores: number;
}

/** Most torrents that download at a time, unless the user says so. */
const MAX_JOBS = 512;
/** As many for each core, whatever they bring: one may wait for its last piece, another for its tracker. */
const JOBS_PER_CORE = 3;
/** What is under way should last so long. */
const OVERLAP_SECONDS = 3;
/** Before anything is measured: so much is `OVERLAP_SECONDS` of 2 Gbit/s. Buffers have a budget of their own, whatever is under way. */
const OVERLAP_BYTES = 768 * 1_048_576;
/** A level is judged by the rate over so long, after it was left so long to settle. */
const JUDGED_MS = 4_000;
const SETTLE_MS = 3_000;
/** More torrents have paid when they brought so much more, and cost when they left less than the other. */
const GAIN = 1.1;
const LOSS = 0.9;
const STEP = 1.5;
/** A level that did not pay is tried again after so long: swarms change. */
const RETRY_MS = 60_000;

export class Concurrency {
  readonly #fixed: number | undefined;
  readonly #least: number;
  /** What measuring has found worth while. */
  #level: number;
  /** The level before the one that is being tried, and what it brought. */
  #trial: { readonly level: number; readonly bytesPerSecond: number } | undefined;
  #restUntil = 0;
  #judged = { from: 0, bytes: 0 };
  readonly #lately = new RateMeter();

  constructor({ jobs, cores }: ConcurrencySettings) {
    this.#fixed = jobs;
    this.#least = JOBS_PER_CORE * cores;
    this.#level = this.#least;
  }

  /** Over the last seconds, all torrents together. */
  bytesPerSecond(now: number): number {
    return this.#lately.bytesPerSecond(now);
  }

  /**
   * Whether another torrent should download.
   * @param working that do and are not idle
   * @param leftBytes of these, still to come
   */
  allows(working: number, leftBytes: number, now: number): boolean {
    if (this.#fixed !== undefined) return working < this.#fixed;
    if (working < this.#level) return true;
    const lasting = Math.max(OVERLAP_BYTES, OVERLAP_SECONDS * this.#lately.bytesPerSecond(now));
    return working < MAX_JOBS && leftBytes < lasting;
  }

  /**
   * Bytes have come.
   * @param bytes since the last call, all torrents together
   * @param full as many as allowed work, and more wait: only then does the rate say anything about their number
   */
  onBytes(bytes: number, full: boolean, now: number): void {
    this.#lately.add(bytes, now);
    if (!full) {
      this.#trial = undefined;
      this.#settle(now);
      return;
    }
    if (now < this.#judged.from) return;
    this.#judged.bytes += bytes;
    const elapsed = now - this.#judged.from;
    if (elapsed < JUDGED_MS) return;
    this.#judge((this.#judged.bytes / elapsed) * 1000, now);
  }

  #judge(bytesPerSecond: number, now: number): void {
    const trial = this.#trial;
    this.#trial = undefined;
    this.#judged = { from: now, bytes: 0 };
    if (trial !== undefined && bytesPerSecond < trial.bytesPerSecond * GAIN) {
      // No more, or even less: what there was before will do.
      if (bytesPerSecond < trial.bytesPerSecond * LOSS) this.#level = trial.level;
      this.#restUntil = now + RETRY_MS;
    } else if (now >= this.#restUntil && this.#level < MAX_JOBS) {
      this.#trial = { level: this.#level, bytesPerSecond };
      this.#level = Math.min(MAX_JOBS, Math.ceil(this.#level * STEP));
      this.#settle(now);
    }
  }

  #settle(now: number): void {
    this.#judged = { from: now + SETTLE_MS, bytes: 0 };
  }
}

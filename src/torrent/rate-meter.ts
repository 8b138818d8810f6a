/** A rate over the last few seconds. Pure; times are passed in, in ms. */

const WINDOW_MS = 5_000;
const SLOT_MS = 250;
const SLOTS = WINDOW_MS / SLOT_MS;

export class RateMeter {
  readonly #bytes = new Float64Array(SLOTS);
  /** Of all slots. */
  #sum = 0;
  /** Number of the newest slot, counted from time 0. */
  #slot = 0;
  #startedAt: number | undefined;

  add(bytes: number, now: number): void {
    this.#startedAt ??= now;
    this.#advance(now);
    this.#bytes[this.#slot % SLOTS]! += bytes;
    this.#sum += bytes;
  }

  /** Bytes per second over the window, or over the time since the first `add` when that is shorter. */
  bytesPerSecond(now: number): number {
    if (this.#startedAt === undefined) return 0;
    this.#advance(now);
    const elapsed = Math.min(Math.max(now - this.#startedAt, SLOT_MS), WINDOW_MS);
    return (this.#sum / elapsed) * 1000;
  }

  #advance(now: number): void {
    const slot = Math.floor(now / SLOT_MS);
    const passed = Math.min(slot - this.#slot, SLOTS);
    for (let i = 1; i <= passed; i++) {
      const oldest = (slot - passed + i) % SLOTS;
      this.#sum -= this.#bytes[oldest]!;
      this.#bytes[oldest] = 0;
    }
    this.#slot = Math.max(slot, this.#slot);
  }
}

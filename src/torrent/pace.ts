/** How often something may be done: a burst at once, then so many a second. Pure; times are passed in. */
export class Pace {
  readonly #burst: number;
  readonly #perSecond: number;
  #left: number;
  #at: number | undefined;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#left = burst;
  }

  /** How many times it may be done now. */
  available(now: number): number {
    const elapsedMs = Math.max(0, now - (this.#at ?? now));
    this.#at = now;
    this.#left = Math.min(this.#burst, this.#left + (elapsedMs * this.#perSecond) / 1000);
    return Math.floor(this.#left);
  }

  take(times: number): void {
    this.#left -= times;
  }
}

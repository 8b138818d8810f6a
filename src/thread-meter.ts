/** What one thread did with its time, for benches: event loop utilisation and delay, garbage collection. Costs nothing unmade. */
import { monitorEventLoopDelay, PerformanceObserver, performance } from 'node:perf_hooks';

export interface ThreadFigures {
  /** Part of the time, 0 to 1, in which the event loop was busy. */
  readonly utilisation: number;
  /** How late a timer of 1 ms came, 99th percentile, ms. */
  readonly delayP99Ms: number;
  /** Spent in garbage collection, ms. */
  readonly gcMs: number;
}

const NS_PER_MS = 1e6;
const RESOLUTION_MS = 1;

export class ThreadMeter {
  readonly #utilisation = performance.eventLoopUtilization();
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #observer: PerformanceObserver;
  #gcMs = 0;

  constructor() {
    this.#observer = new PerformanceObserver((list) => this.#add(list.getEntries()));
    this.#observer.observe({ entryTypes: ['gc'] });
    this.#delay.enable();
  }

  /** Since it was made. */
  figures(): ThreadFigures {
    this.#add(this.#observer.takeRecords());
    return {
      utilisation: performance.eventLoopUtilization(this.#utilisation).utilization,
      delayP99Ms: Math.max(0, this.#delay.percentile(99) / NS_PER_MS - RESOLUTION_MS),
      gcMs: this.#gcMs,
    };
  }

  stop(): void {
    this.#delay.disable();
    this.#observer.disconnect();
  }

  #add(entries: readonly { readonly duration: number }[]): void {
    for (const { duration } of entries) this.#gcMs += duration;
  }
}

/** A tracker client without a network: every announce is recorded and answered by a script, on virtual time. */
import type { TrackerClient } from '../../src/discovery/announcer.js';
import type { Family } from '../../src/protocol/address.js';
import {
  type AnnounceAnswer,
  type AnnounceEvent,
  type AnnounceRequest,
  TrackerError,
} from '../../src/protocol/announce.js';
import type { VirtualClock } from './tracker-clock.js';

export interface Announced {
  readonly url: string;
  /** Virtual time in ms. */
  readonly at: number;
  readonly event: AnnounceEvent | undefined;
  readonly family: Family;
  readonly request: AnnounceRequest;
}

/** What a tracker does with an announce: an answer (its fields over `ANSWER`), a failure, or nothing, each after `afterMs`. */
export interface Reaction {
  /** Before that time the announce waits for others. */
  readonly queuedMs?: number;
  readonly afterMs?: number;
  readonly answer?: Partial<AnnounceAnswer>;
  readonly failure?: string;
  /** The error code that `failure` has for a cause. */
  readonly code?: string;
}

const ANSWER: AnnounceAnswer = {
  peers: [],
  names: [],
  intervalMs: 600_000,
  minIntervalMs: undefined,
  trackerId: undefined,
  seeders: undefined,
  leechers: undefined,
  warning: undefined,
};

export class FakeTrackers implements TrackerClient {
  readonly announced: Announced[] = [];
  /** Announces under way. */
  pending = 0;
  readonly #clock: VirtualClock;
  readonly #reactions = new Map<string, (announced: Announced) => Reaction | undefined>();

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** Trackers without a script answer at once, with no peers and an interval of 10 min. */
  on(url: string, reaction: (announced: Announced) => Reaction | undefined): this {
    this.#reactions.set(url, reaction);
    return this;
  }

  async announce(
    url: string,
    request: AnnounceRequest,
    signal: AbortSignal,
    family: Family,
    onSent: () => void,
  ): Promise<AnnounceAnswer> {
    signal.throwIfAborted();
    const announced = { url, at: this.#clock.now(), event: request.event, family, request };
    this.announced.push(announced);
    this.pending++;
    try {
      const script = this.#reactions.get(url);
      const reaction: Reaction | undefined = script === undefined ? {} : script(announced);
      const { queuedMs = 0, afterMs = 0, failure, code, answer } = reaction ?? { afterMs: Number.POSITIVE_INFINITY };
      if (queuedMs > 0) await this.#clock.sleep(queuedMs, signal);
      onSent();
      if (afterMs > 0) await this.#clock.sleep(afterMs, signal);
      const cause = code === undefined ? undefined : Object.assign(new Error(code), { code });
      if (failure !== undefined) throw new TrackerError(failure, { cause });
      return { ...ANSWER, ...answer };
    } finally {
      this.pending--;
    }
  }
}

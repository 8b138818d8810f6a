/**
 * One tracker of one torrent: what it has been told, over each address family, and when it may be asked again. Events in,
 * times out; reads no clock and sends nothing. All times are on the announcer's clock.
 */
import type { Options } from '../options.js';
import type { Family } from '../protocol/address.js';
import type { AnnounceAnswer, AnnounceEvent } from '../protocol/announce.js';

export type AnnounceTimes = Pick<Options, 'announceMinMs' | 'announceMaxMs' | 'announceDefaultMs' | 'announceRetryMs'>;

/** BEP 7: a tracker takes each address of ours for a peer of its own, so each tells its own story from `started` to `stopped`. */
export class Route {
  readonly family: Family;
  #isKnown = false;
  #owesCompleted = false;
  #trackerId: Uint8Array | undefined;

  constructor(family: Family) {
    this.family = family;
  }

  /** Whether the tracker counts us among its peers: it answered `started` and was not told `stopped`. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Whether the tracker was told that we started incomplete, and not yet that we completed. */
  get owesCompleted(): boolean {
    return this.#isKnown && this.#owesCompleted;
  }

  /** Echoed in every announce, as BEP 3 wants it. */
  get trackerId(): Uint8Array | undefined {
    return this.#trackerId;
  }

  /** What the next announce has to tell. */
  nextEvent(isComplete: boolean): AnnounceEvent | undefined {
    if (!this.#isKnown) return 'started';
    return isComplete && this.#owesCompleted ? 'completed' : undefined;
  }

  /** An announce goes out. A `completed` counts as told from here on, so that it is not sent twice at once. */
  onSent(event: AnnounceEvent | undefined): void {
    if (event === 'completed') this.#owesCompleted = false;
  }

  /** @param left bytes left, as announced */
  onAnswer(event: AnnounceEvent | undefined, left: number, answer: AnnounceAnswer): void {
    if (event === 'started') {
      this.#isKnown = true;
      // BEP 3: no `completed` when the download was complete when it started.
      this.#owesCompleted = left > 0;
    }
    this.#trackerId = answer.trackerId ?? this.#trackerId;
  }

  /** The announce failed or was given up on our side. */
  onUnanswered(event: AnnounceEvent | undefined): void {
    if (event === 'completed') this.#owesCompleted = true;
  }

  onStopped(): void {
    this.#isKnown = false;
  }
}

export class TrackerState {
  readonly url: string;
  /** One for each family that is announced over. */
  readonly routes: readonly Route[];
  readonly #times: AnnounceTimes;
  #hasAnswered = false;
  #failures = 0;
  #dueAt = 0;
  #notBefore = 0;
  #spacingMs: number;

  constructor(url: string, families: readonly Family[], times: AnnounceTimes) {
    this.url = url;
    this.routes = families.map((family) => new Route(family));
    this.#times = times;
    this.#spacingMs = times.announceMinMs;
  }

  /** Whether it counts us among its peers, whatever the address. */
  get isKnown(): boolean {
    return this.routes.some(({ isKnown }) => isKnown);
  }

  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /** Failures since its last answer. */
  get failures(): number {
    return this.#failures;
  }

  /** When the periodic announce is due; never before `notBefore`. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** It is left alone until then: its `min interval` after an answer, the back-off after a failure. */
  get notBefore(): number {
    return this.#notBefore;
  }

  /**
   * It is about to be asked, over one route or several at once.
   * @param isPeriodic whether any of them has no event to tell
   */
  onAsked(isPeriodic: boolean, now: number): void {
    // Who names no minimum is asked early less and less often.
    this.#spacingMs = isPeriodic && now < this.#dueAt ? this.#spacingMs * 2 : this.#times.announceMinMs;
  }

  /** @param now when the answer came */
  onAnswer(answer: AnnounceAnswer, now: number): void {
    this.#hasAnswered = true;
    this.#failures = 0;
    const intervalMs = this.#clamp(answer.intervalMs ?? this.#times.announceDefaultMs);
    const minIntervalMs = this.#clamp(answer.minIntervalMs ?? Math.min(this.#spacingMs, intervalMs));
    this.#notBefore = now + minIntervalMs;
    this.#dueAt = now + Math.max(intervalMs, minIntervalMs);
  }

  /** No route that was asked brought an answer. */
  onFailure(now: number): void {
    const { announceRetryMs, announceMaxMs } = this.#times;
    const waitMs = Math.min(announceRetryMs * 2 ** this.#failures++, announceMaxMs);
    this.#notBefore = now + waitMs;
    this.#dueAt = this.#notBefore;
  }

  #clamp(ms: number): number {
    return Math.max(this.#times.announceMinMs, Math.min(ms, this.#times.announceMaxMs));
  }
}

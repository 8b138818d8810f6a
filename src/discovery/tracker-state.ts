/**
 * One tracker of one torrent: what it has been told, and when it may be asked again. Events in, times out; reads no clock and
 * sends nothing. All times are on the announcer's clock.
 */
import type { Options } from '../options.js';
import type { AnnounceAnswer, AnnounceEvent } from '../protocol/announce.js';

export type AnnounceTimes = Pick<Options, 'announceMinMs' | 'announceMaxMs' | 'announceDefaultMs' | 'announceRetryMs'>;

export class TrackerState {
  readonly url: string;
  readonly #times: AnnounceTimes;
  #isKnown = false;
  #hasAnswered = false;
  #owesCompleted = false;
  #trackerId: Uint8Array | undefined;
  #failures = 0;
  #dueAt = 0;
  #notBefore = 0;
  #spacingMs: number;

  constructor(url: string, times: AnnounceTimes) {
    this.url = url;
    this.#times = times;
    this.#spacingMs = times.announceMinMs;
  }

  /** Whether it counts us among its peers: it answered `started` and was not told `stopped`. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /** Whether it was told that we started incomplete, and not yet that we completed. */
  get owesCompleted(): boolean {
    return this.#isKnown && this.#owesCompleted;
  }

  /** Failures since its last answer. */
  get failures(): number {
    return this.#failures;
  }

  /** Echoed in every announce, as BEP 3 wants it. */
  get trackerId(): Uint8Array | undefined {
    return this.#trackerId;
  }

  /** When the periodic announce is due; never before `notBefore`. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** It is left alone until then: its `min interval` after an answer, the back-off after a failure. */
  get notBefore(): number {
    return this.#notBefore;
  }

  /** What the next announce has to tell it. */
  nextEvent(isComplete: boolean): AnnounceEvent | undefined {
    if (!this.#isKnown) return 'started';
    return isComplete && this.#owesCompleted ? 'completed' : undefined;
  }

  /** An announce goes out. A `completed` counts as told from here on, so that it is not sent twice at once. */
  onSent(event: AnnounceEvent | undefined): void {
    if (event === 'completed') this.#owesCompleted = false;
  }

  /**
   * @param left bytes left, as announced
   * @param now when the answer came
   */
  onAnswer(event: AnnounceEvent | undefined, left: number, answer: AnnounceAnswer, now: number): void {
    const isEarly = event === undefined && now < this.#dueAt;
    if (event === 'started') {
      this.#isKnown = true;
      // BEP 3: no `completed` when the download was complete when it started.
      this.#owesCompleted = left > 0;
    }
    this.#hasAnswered = true;
    this.#failures = 0;
    this.#trackerId = answer.trackerId ?? this.#trackerId;
    const intervalMs = this.#clamp(answer.intervalMs ?? this.#times.announceDefaultMs);
    // Who names no minimum is asked early less and less often.
    this.#spacingMs = isEarly ? Math.min(this.#spacingMs * 2, intervalMs) : this.#times.announceMinMs;
    const minIntervalMs = this.#clamp(answer.minIntervalMs ?? this.#spacingMs);
    this.#notBefore = now + minIntervalMs;
    this.#dueAt = now + Math.max(intervalMs, minIntervalMs);
  }

  onFailure(event: AnnounceEvent | undefined, now: number): void {
    this.onAborted(event);
    const { announceRetryMs, announceMaxMs } = this.#times;
    const waitMs = Math.min(announceRetryMs * 2 ** this.#failures++, announceMaxMs);
    this.#notBefore = now + waitMs;
    this.#dueAt = this.#notBefore;
  }

  /** The announce was given up on our side; nothing is known of it. */
  onAborted(event: AnnounceEvent | undefined): void {
    if (event === 'completed') this.#owesCompleted = true;
  }

  onStopped(): void {
    this.#isKnown = false;
  }

  #clamp(ms: number): number {
    return Math.max(this.#times.announceMinMs, Math.min(ms, this.#times.announceMaxMs));
  }
}

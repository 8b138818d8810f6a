/**
 * The announces of one torrent (BEP 3, tiers BEP 12), over UDP and HTTP alike: decides which tracker is told what and when, and
 * gives the peers. Sends nothing itself: the clients are the session's.
 *
 * - The first round asks all tiers at once, for a quick start. Within a tier the next tracker is tried when the one before has
 *   failed or hesitates. Every later round asks in order and ends with the first answer.
 * - The next round is due when the first tracker in order that answers says so; when none does, when the first back-off is over.
 * - `wantMore` brings a round forward to the first moment at which some tracker may be asked.
 */
import { setMaxListeners } from 'node:events';
import { messageOf } from '../errors.js';
import type { Options } from '../options.js';
import type { PeerAddress } from '../protocol/address.js';
import type { AnnounceAnswer, AnnounceEvent, AnnounceRequest } from '../protocol/announce.js';
import type { Clock } from './clock.js';
import { arrangeTiers, promote } from './tiers.js';
import { type AnnounceTimes, TrackerState } from './tracker-state.js';

/** One of the session's clients. Rejects with one printable line, or with the signal's reason. */
export interface TrackerClient {
  announce(tracker: string, request: AnnounceRequest, signal: AbortSignal): Promise<AnnounceAnswer>;
}

/** What an announce reports, in bytes. */
export interface Progress {
  readonly uploaded: number;
  readonly downloaded: number;
  /** 16384 as long as the metadata is not known. */
  readonly left: number;
}

/** How the latest announce to one tracker went. */
export interface TrackerStatus {
  readonly url: string;
  readonly state: 'ok' | 'warning' | 'error';
  /** One printable line: the warning or what went wrong. */
  readonly message?: string | undefined;
  /** Peers in the answer. */
  readonly peers: number;
  readonly seeders?: number | undefined;
  readonly leechers?: number | undefined;
  /** Until the tracker is next due; missing when it never is. */
  readonly nextMs?: number | undefined;
}

export interface AnnouncerSettings {
  /** Announce URLs by tier, as the torrent lists them. */
  readonly tiers: readonly (readonly string[])[];
  /** 20 bytes. */
  readonly infohash: Uint8Array;
  /** 20 bytes. */
  readonly peerId: Uint8Array;
  /** Where peers reach us. */
  readonly port: number;
  /** Asked at each announce. */
  readonly progress: () => Progress;
  readonly onStatus: (status: TrackerStatus) => void;
  readonly options: AnnounceTimes & Pick<Options, 'announceStopMs' | 'numwant'>;
}

export interface AnnouncerDeps {
  readonly http: TrackerClient;
  readonly udp: TrackerClient;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Tiers asked at once in the first round. */
const RACING_TIERS = 16;

/** In the first round a tracker that hesitates for so long gets company from its tier. */
const HESITATION_MS = 2_000;

export class Announcer {
  /** Resolves when every tier has been asked once, or the announcer has ended. */
  readonly firstRound: Promise<void>;
  readonly #settings: AnnouncerSettings;
  readonly #deps: AnnouncerDeps;
  readonly #key: number;
  readonly #tiers: TrackerState[][];
  readonly #unsupported: readonly string[];
  /** Ends the rounds. */
  readonly #halt = new AbortController();
  /** Ends what outlives the rounds: `completed` and `stopped`. */
  readonly #close = new AbortController();
  readonly #batches: (readonly PeerAddress[])[] = [];
  /** The announces of `completed` under way. */
  readonly #telling = new Map<TrackerState, Promise<void>>();
  #onFirstRound!: () => void;
  #onNews = (): void => {};
  #wake = new AbortController();
  #hasStarted = false;
  #hasEnded = false;
  #isComplete = false;
  #wantsMore = false;
  #failure: { readonly error: unknown } | undefined;
  #stopped: Promise<void> | undefined;

  constructor(settings: AnnouncerSettings, deps: AnnouncerDeps) {
    this.#settings = settings;
    this.#deps = deps;
    this.#key = Math.floor(deps.random() * 2 ** 32);
    const arranged = arrangeTiers(settings.tiers, deps.random);
    this.#unsupported = arranged.flat().filter((url) => clientOf(url) === undefined);
    this.#tiers = arranged
      .map((tier) => tier.filter((url) => clientOf(url) !== undefined))
      .map((tier) => tier.map((url) => new TrackerState(url, settings.options)));
    this.firstRound = new Promise((resolve) => {
      this.#onFirstRound = resolve;
    });
    setMaxListeners(0, this.#halt.signal, this.#close.signal);
    this.#halt.signal.addEventListener('abort', () => this.#wake.abort(), { once: true });
  }

  /** Every tracker has been asked, and none has ever answered; also true when there is none. */
  get allFailed(): boolean {
    return this.#trackers().every(({ hasAnswered, failures }) => !hasAnswered && failures > 0);
  }

  /**
   * Starts to announce and gives the peers, one batch per answer that has any. Ends, without an error, when the signal is
   * aborted, after `stop`, and at once when there is no tracker. To be called once.
   */
  async *peers(signal: AbortSignal): AsyncGenerator<readonly PeerAddress[], void, void> {
    if (this.#hasStarted) throw new Error('expected one call of peers(), got another');
    this.#hasStarted = true;
    const onAbort = (): void => this.#halt.abort();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const running = this.#run();
    try {
      for (;;) {
        const batch = this.#batches.shift();
        if (batch !== undefined) yield batch;
        else if (this.#hasEnded) break;
        else {
          await new Promise<void>((resolve) => {
            this.#onNews = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#halt.abort();
      await running;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The torrent needs peers: announces again as soon as a tracker allows it. */
  wantMore(): void {
    this.#wantsMore = true;
    this.#wake.abort();
  }

  /** The last piece is here: tells the trackers that saw us start incomplete, each once. */
  completed(): void {
    this.#isComplete = true;
    for (const tracker of this.#trackers()) this.#tellCompleted(tracker);
  }

  /** Ends the announces and tells the trackers that know us, for `announceStopMs` at most. Safe to call again. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#halt.abort();
    const known = this.#trackers().filter(({ isKnown }) => isKnown);
    const farewells = Promise.all(known.map((tracker) => this.#farewell(tracker)));
    await this.#settledWithin(this.#settings.options.announceStopMs, farewells);
    this.#close.abort();
    if (!this.#hasStarted) this.#onFirstRound();
  }

  async #farewell(tracker: TrackerState): Promise<void> {
    await this.#telling.get(tracker);
    if (tracker.nextEvent(this.#isComplete) === 'completed') await this.#announce(tracker, this.#close.signal);
    await this.#announce(tracker, this.#close.signal, 'stopped');
  }

  #trackers(): TrackerState[] {
    return this.#tiers.flat();
  }

  // Rounds

  async #run(): Promise<void> {
    try {
      for (const url of this.#unsupported) {
        this.#report({ url, state: 'error', message: 'expected an http, https or udp tracker', peers: 0 });
      }
      await this.#race();
      if (this.#trackers().some(({ isKnown }) => isKnown)) this.#wantsMore = false;
      this.#onFirstRound();
      while (this.#trackers().length > 0 && (await this.#untilDue())) await this.#round();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#onFirstRound();
      this.#hasEnded = true;
      this.#onNews();
    }
  }

  /** The first round. */
  async #race(): Promise<void> {
    const waiting = [...this.#tiers];
    const lane = async (): Promise<void> => {
      for (let tier = waiting.shift(); tier !== undefined; tier = waiting.shift()) await this.#raceTier(tier);
    };
    await Promise.all(Array.from({ length: Math.min(RACING_TIERS, waiting.length) }, lane));
  }

  async #raceTier(tier: TrackerState[]): Promise<void> {
    let isWon = false;
    const attempts: Promise<void>[] = [];
    for (const tracker of [...tier]) {
      if (isWon || this.#halt.signal.aborted) break;
      const attempt = this.#announce(tracker, this.#halt.signal).then((answered) => {
        if (answered && !isWon) promote(tier, tracker);
        isWon ||= answered;
      });
      attempts.push(attempt);
      await this.#settledWithin(HESITATION_MS, attempt);
    }
    await Promise.all(attempts);
  }

  /** A later round: in order, up to the first answer. */
  async #round(): Promise<void> {
    for (const tier of this.#tiers) {
      for (const tracker of [...tier]) {
        if (tracker.notBefore > this.#deps.clock.now()) continue;
        const answered = await this.#announce(tracker, this.#halt.signal);
        if (this.#halt.signal.aborted) return;
        if (!answered) continue;
        promote(tier, tracker);
        this.#wantsMore = false;
        return;
      }
    }
  }

  /** @returns false when there will be no more rounds */
  async #untilDue(): Promise<boolean> {
    while (!this.#halt.signal.aborted) {
      const waitMs = this.#dueAt() - this.#deps.clock.now();
      if (waitMs <= 0) return true;
      this.#wake = new AbortController();
      await this.#deps.clock.sleep(waitMs, this.#wake.signal).catch(() => {});
    }
    return false;
  }

  #dueAt(): number {
    const trackers = this.#trackers();
    const regular = trackers.find(({ isKnown, failures }) => isKnown && failures === 0);
    if (regular !== undefined && !this.#wantsMore) return regular.dueAt;
    return Math.min(...trackers.map(({ notBefore }) => notBefore));
  }

  // One announce

  #tellCompleted(tracker: TrackerState): void {
    if (!this.#isComplete || !tracker.owesCompleted || this.#close.signal.aborted) return;
    const told = this.#announce(tracker, this.#close.signal).then(
      () => {
        this.#telling.delete(tracker);
      },
      (error: unknown) => this.#fail(error),
    );
    this.#telling.set(tracker, told);
  }

  /** @returns whether the tracker answered; never rejects but for a fault of the owner's functions */
  async #announce(
    tracker: TrackerState,
    signal: AbortSignal,
    event = tracker.nextEvent(this.#isComplete),
  ): Promise<boolean> {
    const { uploaded, downloaded, left } = this.#settings.progress();
    tracker.onSent(event);
    let answer: AnnounceAnswer;
    try {
      const request = this.#request(tracker, event, { uploaded, downloaded, left });
      answer = await this.#deps[clientOf(tracker.url)!].announce(tracker.url, request, signal);
    } catch (error) {
      if (signal.aborted) tracker.onAborted(event);
      else this.#onFailure(tracker, event, error);
      return false;
    }
    if (event === 'stopped') tracker.onStopped();
    else this.#onAnswer(tracker, event, left, answer);
    return true;
  }

  #request(tracker: TrackerState, event: AnnounceEvent | undefined, progress: Progress): AnnounceRequest {
    const { infohash, peerId, port, options } = this.#settings;
    const numwant = event === 'stopped' ? 0 : options.numwant;
    return { infohash, peerId, port, ...progress, numwant, key: this.#key, event, trackerId: tracker.trackerId };
  }

  #onAnswer(tracker: TrackerState, event: AnnounceEvent | undefined, left: number, answer: AnnounceAnswer): void {
    const now = this.#deps.clock.now();
    tracker.onAnswer(event, left, answer, now);
    const { peers, warning, seeders, leechers } = answer;
    if (peers.length > 0) this.#batches.push(peers);
    this.#onNews();
    this.#report({
      url: tracker.url,
      state: warning === undefined ? 'ok' : 'warning',
      message: warning,
      peers: peers.length,
      seeders,
      leechers,
      nextMs: tracker.dueAt - now,
    });
    // It may have seen us start while the last piece came.
    this.#tellCompleted(tracker);
  }

  #onFailure(tracker: TrackerState, event: AnnounceEvent | undefined, error: unknown): void {
    if (event === 'stopped') return;
    const now = this.#deps.clock.now();
    tracker.onFailure(event, now);
    const nextMs = tracker.notBefore - now;
    this.#report({ url: tracker.url, state: 'error', message: messageOf(error), peers: 0, nextMs });
    // When it was `completed` that failed, the next round may be due earlier now.
    this.#wake.abort();
  }

  #report(status: TrackerStatus): void {
    this.#settings.onStatus(status);
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#halt.abort();
  }

  /** Waits for work, but not for long. */
  async #settledWithin(ms: number, work: Promise<unknown>): Promise<void> {
    const enough = new AbortController();
    try {
      await Promise.race([work, this.#deps.clock.sleep(ms, enough.signal).catch(() => {})]);
    } finally {
      enough.abort();
    }
  }
}

/** The client a tracker is asked through, by the scheme of its URL. */
function clientOf(url: string): 'http' | 'udp' | undefined {
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(url)?.[0].toLowerCase();
  if (scheme === 'udp') return 'udp';
  return scheme === 'http' || scheme === 'https' ? 'http' : undefined;
}

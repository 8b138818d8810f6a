/**
 * The announces of one torrent (BEP 3, tiers BEP 12), over UDP and HTTP alike: decides which tracker is told what and when, and
 * gives the peers. Sends nothing itself: the clients are the session's.
 *
 * - A tracker is told once over each address family (BEP 7). It has answered when any of them brought an answer: half the net
 *   has no IPv6, and that is no failure. `ipv4=` and `ipv6=` are not sent, BEP 7 discourages them since 2020.
 * - The first round asks all tiers at once, for a quick start. Within a tier the next tracker is tried when the one before has
 *   failed or hesitates. Every later round asks in order and ends with the first answer.
 * - The next round is due when the first tracker in order that answers says so; when none does, when the first back-off is over.
 * - `wantMore` brings a round forward to the first moment at which some tracker may be asked.
 */
import { setMaxListeners } from 'node:events';
import { deferred } from '../deferred.js';
import type { Options } from '../options.js';
import type { Family, PeerAddress } from '../protocol/address.js';
import type { AnnounceAnswer, AnnounceEvent, AnnounceRequest } from '../protocol/announce.js';
import { type Clock, OVER, unlessAborted } from './clock.js';
import { reasonOf } from './lookup.js';
import { arrangeTiers, promote } from './tiers.js';
import { type AnnounceTimes, type Route, TrackerState } from './tracker-state.js';

/** One of the session's clients. Rejects with one printable line, or with the signal's reason. */
export interface TrackerClient {
  /**
   * @param family the one to announce over
   * @param onSent called when it no longer waits for its turn among the client's other announces
   */
  announce(
    tracker: string,
    request: AnnounceRequest,
    signal: AbortSignal,
    family: Family,
    onSent: () => void,
  ): Promise<AnnounceAnswer>;
}

/** What an announce reports, in bytes. */
export interface Progress {
  readonly uploaded: number;
  readonly downloaded: number;
  /** Of the whole torrent; 16384 as long as the metadata is not known. */
  readonly left: number;
  /** Whether none of that is wanted. */
  readonly isDone?: boolean;
}

/** How the latest announce to one tracker went. */
export interface TrackerStatus {
  readonly url: string;
  /** `error` when it answered over no family. */
  readonly state: 'ok' | 'warning' | 'error';
  /** What the answer came over. */
  readonly family?: Family | undefined;
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
  /** What peers reach us over: the families that are listened on; both when absent. */
  readonly families?: readonly Family[];
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
  /** The session ends: nobody waits for his turn any more. */
  readonly closing: AbortSignal;
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
  readonly #telling = new Map<Route, Promise<void>>();
  #onFirstRound!: () => void;
  #onNews = (): void => {};
  /** Ends a wait for the next round. */
  #wake: AbortController | undefined;
  #hasStarted = false;
  #hasAsked = false;
  #hasEnded = false;
  #isComplete = false;
  #wantsMore = false;
  #failure: { readonly error: unknown } | undefined;
  #stopped: Promise<void> | undefined;

  constructor(settings: AnnouncerSettings, deps: AnnouncerDeps) {
    this.#settings = settings;
    this.#deps = deps;
    this.#key = Math.floor(deps.random() * 2 ** 32);
    const { families = [4, 6] } = settings;
    const arranged = arrangeTiers(settings.tiers, deps.random);
    this.#unsupported = arranged.flat().filter((url) => clientOf(url) === undefined);
    this.#tiers = arranged
      .map((tier) => tier.filter((url) => clientOf(url) !== undefined))
      .map((tier) => tier.map((url) => new TrackerState(url, families, settings.options)));
    this.firstRound = new Promise((resolve) => {
      this.#onFirstRound = resolve;
    });
    setMaxListeners(0, this.#halt.signal, this.#close.signal);
    this.#halt.signal.addEventListener('abort', () => this.#wake?.abort(OVER), { once: true });
  }

  /** A tracker has been asked, or none could be: until then every announce waits for its turn among those of other torrents. */
  get hasAsked(): boolean {
    return this.#hasAsked;
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
    const onAbort = (): void => this.#halt.abort(OVER);
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
      this.#halt.abort(OVER);
      await running;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The torrent needs peers: announces again as soon as a tracker allows it. */
  wantMore(): void {
    if (this.#wantsMore) return;
    this.#wantsMore = true;
    this.#wake?.abort(OVER);
  }

  /** The last piece is here: tells the trackers that saw us start incomplete, once over each family that did. */
  completed(): void {
    this.#isComplete = true;
    for (const tracker of this.#trackers()) this.#tellCompleted(tracker);
  }

  /**
   * Ends the announces and tells the trackers that know us. Of thousands that end together each waits for its turn; from then on,
   * and when the session ends, it takes `announceStopMs` at most. Safe to call again.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#halt.abort(OVER);
    const farewells = this.#trackers().flatMap((tracker) =>
      tracker.routes.filter(({ isKnown }) => isKnown).map((route) => this.#farewell(tracker, route)),
    );
    const told = Promise.all(farewells);
    await unlessAborted(told, this.#deps.closing).catch(() => {});
    await this.#settledWithin(this.#settings.options.announceStopMs, told);
    this.#close.abort(OVER);
    if (!this.#hasStarted) this.#onFirstRound();
  }

  async #farewell(tracker: TrackerState, route: Route): Promise<void> {
    await this.#telling.get(route);
    if (route.nextEvent(this.#isComplete) === 'completed') await this.#tell(tracker, route, 'completed');
    await this.#tell(tracker, route, 'stopped');
  }

  /** Announces without much patience once it has its turn. */
  async #tell(tracker: TrackerState, route: Route, event: AnnounceEvent): Promise<void> {
    const sent = deferred();
    const told = this.#announce(tracker, route, this.#close.signal, event, sent.resolve);
    await Promise.race([told, sent.promise]);
    await this.#settledWithin(this.#settings.options.announceStopMs, told);
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
      this.#hasAsked = true;
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
    const attempts: Promise<boolean>[] = [];
    for (const tracker of [...tier]) {
      if (isWon || this.#halt.signal.aborted) break;
      const onAnswered = (): void => {
        if (!isWon) promote(tier, tracker);
        isWon = true;
      };
      const attempt = this.#ask(tracker, tracker.routes, this.#halt.signal, onAnswered);
      attempts.push(attempt);
      await this.#settledWithin(HESITATION_MS, attempt);
    }
    await Promise.all(attempts);
  }

  /** A later round: in order, up to the first answer. */
  async #round(): Promise<void> {
    const onAnswered = (): void => {
      this.#wantsMore = false;
    };
    for (const tier of this.#tiers) {
      for (const tracker of [...tier]) {
        if (tracker.notBefore > this.#deps.clock.now()) continue;
        const answered = await this.#ask(tracker, tracker.routes, this.#halt.signal, onAnswered);
        if (this.#halt.signal.aborted) return;
        if (answered) return promote(tier, tracker);
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
    const routes = tracker.routes.filter(({ owesCompleted }) => owesCompleted);
    if (!this.#isComplete || routes.length === 0 || this.#close.signal.aborted) return;
    const told = this.#ask(tracker, routes, this.#close.signal).then(
      () => {
        for (const route of routes) if (this.#telling.get(route) === told) this.#telling.delete(route);
      },
      (error: unknown) => this.#fail(error),
    );
    for (const route of routes) this.#telling.set(route, told);
  }

  /**
   * Announces over some routes of a tracker at once, to each what it has not been told.
   * @param onAnswered called at each answer: another route may take long to fail
   * @returns whether there was one; never rejects but for a fault of the owner's functions
   */
  async #ask(
    tracker: TrackerState,
    routes: readonly Route[],
    signal: AbortSignal,
    onAnswered = (): void => {},
  ): Promise<boolean> {
    const isPeriodic = routes.some((route) => route.nextEvent(this.#isComplete) === undefined);
    tracker.onAsked(isPeriodic, this.#deps.clock.now());
    const outcomes = await Promise.all(
      routes.map(async (route) => {
        const failure = await this.#announce(tracker, route, signal);
        if (failure === undefined) onAnswered();
        return failure;
      }),
    );
    const failures = outcomes.filter((failure) => failure !== undefined);
    if (failures.length < routes.length) return true;
    // A tracker that knows us over a route that was not asked is well.
    const isSilent = tracker.routes.every((route) => routes.includes(route) || !route.isKnown);
    if (isSilent && !signal.aborted) this.#onFailure(tracker, failures);
    return false;
  }

  /** @returns why there was no answer, `undefined` when there was */
  async #announce(
    tracker: TrackerState,
    route: Route,
    signal: AbortSignal,
    event = route.nextEvent(this.#isComplete),
    onTurn = (): void => {},
  ): Promise<{ readonly error: unknown } | undefined> {
    const progress = this.#settings.progress();
    route.onSent(event);
    const onSent = (): void => {
      this.#hasAsked = true;
      onTurn();
    };
    let answer: AnnounceAnswer;
    try {
      const request = this.#request(route, event, progress);
      const client = this.#deps[clientOf(tracker.url)!];
      answer = await client.announce(tracker.url, request, signal, route.family, onSent);
    } catch (error) {
      route.onUnanswered(event);
      return { error };
    }
    if (event === 'stopped') {
      route.onStopped();
    } else {
      route.onAnswer(event, progress.left, answer);
      this.#onAnswer(tracker, route, answer);
    }
    return undefined;
  }

  #request(route: Route, told: AnnounceEvent | undefined, { isDone, ...progress }: Progress): AnnounceRequest {
    const { infohash, peerId, port, options } = this.#settings;
    const numwant = told === 'stopped' ? 0 : options.numwant;
    const { trackerId } = route;
    // BEP 21: a partial seed says so whenever it has nothing else to tell.
    const event = told ?? (isDone === true && progress.left > 0 ? 'paused' : undefined);
    return { infohash, peerId, port, ...progress, numwant, key: this.#key, event, trackerId };
  }

  #onAnswer(tracker: TrackerState, { family }: Route, answer: AnnounceAnswer): void {
    const now = this.#deps.clock.now();
    tracker.onAnswer(answer, now);
    const { peers, warning, seeders, leechers } = answer;
    if (peers.length > 0) this.#batches.push(peers);
    this.#onNews();
    this.#report({
      url: tracker.url,
      state: warning === undefined ? 'ok' : 'warning',
      family,
      message: warning,
      peers: peers.length,
      seeders,
      leechers,
      nextMs: tracker.dueAt - now,
    });
    // It may have seen us start while the last piece came.
    this.#tellCompleted(tracker);
  }

  #onFailure(tracker: TrackerState, failures: readonly { readonly error: unknown }[]): void {
    const now = this.#deps.clock.now();
    tracker.onFailure(now);
    const nextMs = tracker.notBefore - now;
    this.#report({
      url: tracker.url,
      state: 'error',
      message: reasonOf(failures.map(({ error }) => error)),
      peers: 0,
      nextMs,
    });
    // When it was `completed` that failed, the next round may be due earlier now.
    this.#wake?.abort(OVER);
  }

  #report(status: TrackerStatus): void {
    this.#settings.onStatus(status);
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#halt.abort(OVER);
  }

  /** Waits for work, but not for long. */
  async #settledWithin(ms: number, work: Promise<unknown>): Promise<void> {
    const enough = new AbortController();
    try {
      await Promise.race([work, this.#deps.clock.sleep(ms, enough.signal).catch(() => {})]);
    } finally {
      enough.abort(OVER);
    }
  }
}

/** The client a tracker is asked through, by the scheme of its URL. */
export function clientOf(url: string): 'http' | 'udp' | undefined {
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(url)?.[0].toLowerCase();
  if (scheme === 'udp') return 'udp';
  return scheme === 'http' || scheme === 'https' ? 'http' : undefined;
}

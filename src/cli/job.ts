/** One torrent of a command, from its name on the command line to how it ended. Knows what to tell the user, not when to exit. */
import { join, resolve } from 'node:path';
import { factsOf, SpateError } from '../errors.js';
import { formatAddress } from '../protocol/address.js';
import type { Metainfo } from '../protocol/metainfo.js';
import { isReached, type SeedGoal } from '../seed-goal.js';
import type { Download, DownloadEvent, DownloadSettings, DownloadStats, Session } from '../session.js';
import { hex } from '../text.js';
import { formatBytes, formatPart, formatPercent, formatRate, formatSeconds } from '../units.js';
import { type EventLog, eventOf } from './events.js';
import type { Output } from './output.js';

type TrackerStatus = Extract<DownloadEvent, { type: 'tracker' }>['status'];

/** How often a goal is looked at. */
const LOOK_MS = 200;

export class Job {
  readonly source: string;
  /** Resolves at the first word of a tracker, good or bad, and at once when there is none. */
  readonly announced: Promise<void>;
  error: unknown;
  readonly #output: Output;
  readonly #emit: EventLog['emit'];
  readonly #peers = new Set<string>();
  #onAnnounced = (): void => {};
  #metainfo: Metainfo | undefined;
  #download: Download | undefined;
  #out = '.';
  #fetches = true;
  #isDone = false;
  /** Why it was given up. */
  #reason: SpateError | undefined;
  /** Of `performance.now()`. */
  #startedAt = 0;
  #checkedAt = 0;
  #endedAt: number | undefined;
  /** Bytes found on disk. */
  #haveAtStart = 0;
  #checked = { pieces: 0, of: 0 };

  /** @param emit tells programs what happens */
  constructor(source: string, output: Output, emit: EventLog['emit']) {
    this.source = source;
    this.#output = output;
    this.#emit = (type, fields) => emit(type, { ...this.#identity, ...fields });
    this.announced = new Promise((resolve) => {
      this.#onAnnounced = resolve;
    });
  }

  /** What it is called: the torrent's name once that is known. */
  get name(): string {
    return this.#metainfo?.name ?? this.source;
  }

  get metainfo(): Metainfo | undefined {
    return this.#metainfo;
  }

  /** Everything that is wanted is on disk. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Where the payload is. */
  get path(): string {
    return join(this.#out, this.name);
  }

  get stats(): DownloadStats | undefined {
    return this.#download?.stats();
  }

  /** Good pieces found on disk, and pieces in all. */
  get checked(): { readonly pieces: number; readonly of: number } {
    return this.#checked;
  }

  /** What an event is about. */
  get #identity(): { source: string } | { infohash: string } {
    return this.#metainfo === undefined ? { source: this.source } : { infohash: hex(this.#metainfo.infohash) };
  }

  /** Takes the torrent, or keeps why there is none. */
  async load(read: (source: string) => Promise<Metainfo>): Promise<void> {
    this.#emit('added');
    try {
      this.#metainfo = await read(this.source);
      const { name, length } = this.#metainfo;
      this.#emit('metadata', { source: this.source, name, length });
    } catch (error) {
      this.#fail(error, undefined);
    }
  }

  /** Starts it, if there is a torrent; a failure is kept and shown. */
  start(session: Session, settings: DownloadSettings): void {
    const metainfo = this.#metainfo;
    if (metainfo === undefined) return;
    this.#out = settings.out;
    this.#fetches = settings.fetch !== false;
    this.#startedAt = this.#checkedAt = performance.now();
    if (metainfo.trackers.length + (settings.trackers?.length ?? 0) === 0) this.#onAnnounced();
    try {
      this.#download = session.add(metainfo, { ...settings, onEvent: (event) => this.#onEvent(event) });
    } catch (error) {
      this.#fail(error, this.source);
    }
  }

  /** Follows it to its end. @param interrupted whether it is being stopped, so that this is no failure */
  async untilDone(interrupted: AbortSignal): Promise<void> {
    try {
      await this.#download?.done;
      if (this.#download === undefined) return;
      this.#isDone = true;
      this.#endedAt = performance.now();
      const { state, length, fetched } = this.#figures();
      const seconds = rounded(this.#seconds());
      this.#emit('done', { state, path: resolve(this.path), length, downloaded: fetched, seconds });
    } catch (error) {
      if (interrupted.aborted && error instanceof SpateError && error.code === 'CLOSED') return;
      this.fail(this.#reason ?? error);
    }
  }

  /** Follows a torrent that seeds until the goal is reached, it is stopped or it fails. */
  async seed(goal: SeedGoal): Promise<void> {
    const since = performance.now();
    const timer = setInterval(() => {
      const { uploaded, length } = this.#figures();
      if (isReached(goal, uploaded, length, performance.now() - since)) this.#stop();
    }, LOOK_MS);
    try {
      await this.#download?.ended;
    } catch (error) {
      this.fail(error);
    } finally {
      clearInterval(timer);
    }
  }

  /** Ends it: when it is not done, it has failed for that reason. */
  giveUp(reason: SpateError): void {
    this.#reason = reason;
    this.#stop();
  }

  /** How that goes is told by `done` and `ended`. */
  #stop(): void {
    this.#download?.stop().catch(() => {});
  }

  fail(error: unknown): void {
    this.#fail(error, this.name);
  }

  /** @param name of what has failed, where the error does not tell */
  #fail(error: unknown, name: string | undefined): void {
    this.error = error;
    this.#output.error(error, name);
    this.#emit('error', { error: factsOf(error) });
  }

  /** Tells programs how far it is; nothing before it has started and after it has ended. */
  tellProgress(): void {
    const { stats } = this;
    if (stats === undefined || this.error !== undefined) return;
    const { state, length, have, downloaded, uploaded, downRate, upRate, peers } = stats;
    const rates = { downRate: Math.round(downRate), upRate: Math.round(upRate) };
    this.#emit('progress', { state, length, have, downloaded, uploaded, ...rates, peers });
  }

  /** `done <path> 2.9 GiB in 25.1 s (118 MiB/s), wasted 0.1%`, without its first word. */
  doneText(): string {
    const { length, wasted, fetched } = this.#figures();
    const size = `${this.path} ${formatBytes(length)}`;
    if (fetched === 0) return `${size}, already complete`;
    const share = ((wasted / (fetched + wasted)) * 100).toFixed(1);
    return `${size} in ${formatSeconds(this.#seconds())} (${formatRate(this.#downRate())}), wasted ${share}%`;
  }

  /** What to say of one that was stopped. */
  stoppedText(): string {
    const { length, have } = this.#figures();
    const done = `${formatPercent(have, length)}, ${formatPart(have, length)}`;
    return `${this.name}: stopped at ${done}; run the same command again to go on`;
  }

  /** For `--json`: bytes, seconds, bytes per second. */
  toJson(): Record<string, unknown> {
    const { state, length, have, uploaded, wasted, fetched, knownPeers } = this.#figures();
    const metainfo = this.#metainfo;
    return {
      source: this.source,
      infohash: metainfo === undefined ? null : hex(metainfo.infohash),
      name: metainfo?.name ?? null,
      path: metainfo === undefined ? null : resolve(this.path),
      state,
      length,
      have,
      downloaded: fetched,
      uploaded,
      wasted,
      seconds: rounded(this.#seconds()),
      downRate: Math.round(this.#downRate()),
      /** That were connected at some time, and whose address was known. */
      peers: this.#peers.size,
      knownPeers,
      ...(this.error !== undefined && { error: factsOf(this.error) }),
    };
  }

  #figures(): { state: string; fetched: number } & Pick<
    DownloadStats,
    'length' | 'have' | 'uploaded' | 'wasted' | 'knownPeers'
  > {
    const stats = this.stats;
    const { length = this.#metainfo?.length ?? 0, have = 0, uploaded = 0, wasted = 0, knownPeers = 0 } = stats ?? {};
    // Verified and on disk: what the peers have sent beyond that is lost at the end.
    const fetched = this.#fetches ? Math.max(0, have - this.#haveAtStart) : 0;
    return { state: stats?.state ?? 'failed', length, have, uploaded, wasted, knownPeers, fetched };
  }

  #seconds(): number {
    return this.#startedAt === 0 ? 0 : ((this.#endedAt ?? performance.now()) - this.#startedAt) / 1000;
  }

  /** On average since existing data were hashed. */
  #downRate(): number {
    const elapsed = (this.#endedAt ?? performance.now()) - this.#checkedAt;
    return elapsed > 0 ? (this.#figures().fetched / elapsed) * 1000 : 0;
  }

  #onEvent(event: DownloadEvent): void {
    this.#emit(...eventOf(event));
    switch (event.type) {
      case 'checked':
        return this.#onChecked(event.pieces, event.of, event.trusted);
      case 'tracker':
        this.#onAnnounced();
        return this.#onTracker(event.status);
      case 'peer': {
        const peerId = Buffer.from(event.peerId ?? []).toString('latin1');
        // By peer id: who connects to us and is connected to at once has two addresses.
        if (event.what === 'connected') this.#peers.add(peerId);
        const id = peerId === '' ? '' : ` (${peerId})`;
        return this.#output.detail(`${this.name}: peer ${formatAddress(event.address)}${id}: ${event.what}`);
      }
      case 'warning':
        return this.#output.warning(`${this.name}: ${event.message}`);
    }
  }

  #onChecked(pieces: number, of: number, trusted: number): void {
    this.#checked = { pieces, of };
    this.#checkedAt = performance.now();
    this.#haveAtStart = this.stats?.have ?? 0;
    this.#output.detail(`${this.name}: ${trusted} of ${pieces} good pieces were known from the last time`);
    if (this.#fetches && pieces > 0 && pieces < of) {
      this.#output.note(`${this.name}: ${pieces} of ${of} pieces are on disk already`);
    }
  }

  #onTracker({ url, state, message = '', peers, nextMs }: TrackerStatus): void {
    if (state !== 'ok') this.#output.warning(`tracker ${url}: ${message}`);
    const next = nextMs === undefined ? '' : `, next in ${formatSeconds(nextMs / 1000)}`;
    this.#output.detail(`${this.name}: tracker ${url}: ${state === 'ok' ? `${peers} peers` : state}${next}`);
  }
}

/** Seconds to the millisecond. */
export const rounded = (seconds: number): number => Math.round(seconds * 1000) / 1000;

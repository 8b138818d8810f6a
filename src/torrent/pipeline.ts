/**
 * How many blocks to keep requested at one peer, from measured rate and round trip. Pure; time is passed in.
 *
 * A *round* is the time in which three quarters of a window arrive: a round trip as soon as the window is what limits the peer.
 * From afar blocks come in bursts, one for each round trip, and a window is topped up when there is room for some: whoever waited for
 * the whole of it would wait for the next burst as often as not, and take the peer for half as fast.
 * The window doubles from round to round while that makes the peer clearly faster, and stays when it does not: more
 * outstanding blocks than rate x round trip cost cache and keep blocks from other peers (on loopback 500 are 10-15% slower
 * than 128), but at least a few ms of the rate, so that a fast peer is not sent requests one by one. Every few
 * seconds one round is tried at double the window again, since rates and round trips change. Who has not told its queue length is
 * asked for more than is usual only as long as each doubling pays. A slow peer is never owed more than `requestQueueMs` of its rate.
 */
import type { Options } from '../options.js';
import { BLOCK_LENGTH } from '../protocol/wire.js';

/** Rounds shorter than this measure the scheduler, not the peer. */
const MIN_ROUND_MS = 20;
/** Of a window. */
const ROUND_SHARE = 0.75;
/** A doubling is kept when it brings at least this. */
const WORTHWHILE = 1.2;
const PROBE_EVERY_MS = 4_000;
/** Of its rate, what keeps a far peer busy: one on the way there and back, and one in its queue. */
const ROUND_TRIPS = 2;

type PipelineOptions = Pick<
  Options,
  | 'requestsAtStart'
  | 'requestsMin'
  | 'requestsMax'
  | 'requestsUnknownReqq'
  | 'requestQueueMs'
  | 'requestAheadMs'
  | 'requestTightMs'
>;

export class Pipeline {
  readonly #options: PipelineOptions;
  #window: number;
  #cap: number;
  /** The peer has told its queue length, or shown it. */
  #isCapKnown = false;
  /** The window before the last doubling: what to go back to when it brought nothing. */
  #fallback: number;
  #phase: 'grow' | 'hold' = 'grow';
  #snubbed = false;
  /** Bytes per ms of the last round; 0 before the first. */
  #rate = 0;
  #roundStart: number | undefined;
  #roundBytes = 0;
  #probeAt = 0;
  /** When an idle peer was asked, as long as it has not answered. */
  #askedAt: number | undefined;
  /** From request to answer of a peer that had nothing else to answer, ms. */
  #roundTripMs = 0;

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#cap = Math.min(options.requestsUnknownReqq, options.requestsMax);
    this.#fallback = this.#window = Math.min(options.requestsAtStart, this.#cap);
  }

  /** Blocks that may be outstanding now. */
  get window(): number {
    return this.#snubbed ? 1 : this.#window;
  }

  /** The window when memory is short: what is owed by a slow peer keeps buffers from others. Never less than a far one needs. */
  get tightWindow(): number {
    const ms = Math.max(this.#options.requestTightMs, ROUND_TRIPS * this.#roundTripMs);
    const owed = Math.ceil((this.#rate * ms) / BLOCK_LENGTH);
    return Math.min(this.window, Math.max(this.#options.requestsMin, owed));
  }

  get snubbed(): boolean {
    return this.#snubbed;
  }

  /** The peer told how many requests it queues (BEP 10, `reqq`). */
  onReqq(reqq: number): void {
    this.#isCapKnown = true;
    this.#cap = Math.max(1, Math.min(reqq, this.#options.requestsMax));
    this.#window = Math.min(this.#window, this.#cap);
  }

  /** The peer rejected a request with so many others outstanding: its queue is no longer than that, whatever it said. */
  onOverflow(outstanding: number): void {
    this.#isCapKnown = true;
    this.#cap = Math.max(this.#options.requestsMin, Math.min(this.#cap, outstanding));
    this.#resize(Math.min(this.#window, this.#cap));
  }

  /** Requests go out after a pause: the time nothing was asked for must not count as slowness. */
  onIdleEnd(now: number): void {
    this.#askedAt = now;
    this.#beginRound(now);
  }

  #beginRound(now: number): void {
    this.#roundStart = now;
    this.#roundBytes = 0;
  }

  /** The peer owes blocks and has sent none for too long: one at a time until it answers. */
  onSnub(): void {
    this.#snubbed = true;
    this.#restart();
  }

  onBlock(bytes: number, now: number): void {
    if (this.#snubbed) {
      this.#snubbed = false;
      this.#restart();
    }
    if (this.#roundStart === undefined) this.#beginRound(now);
    if (this.#askedAt !== undefined) this.#roundTripMs = now - this.#askedAt;
    this.#askedAt = undefined;
    this.#roundBytes += bytes;
    const elapsed = now - this.#roundStart!;
    const full = this.#roundBytes >= ROUND_SHARE * this.#window * BLOCK_LENGTH;
    if (elapsed < MIN_ROUND_MS || (!full && elapsed < this.#options.requestQueueMs)) return;
    this.#endRound(this.#roundBytes / elapsed, full, now);
    this.#beginRound(now);
  }

  #restart(): void {
    this.#phase = 'grow';
    this.#rate = 0;
    this.#fallback = this.#window = Math.min(this.#options.requestsMin, this.#cap);
    this.#roundStart = this.#askedAt = undefined;
  }

  /** @param full whether a whole window came: what came in a shorter round was not limited by the window */
  #endRound(rate: number, full: boolean, now: number): void {
    const faster = full && rate >= this.#rate * WORTHWHILE;
    this.#rate = rate;
    if (this.#phase === 'hold') {
      if (full && now >= this.#probeAt) this.#double();
    } else if (faster && (this.#window < this.#cap || this.#raiseCap())) {
      this.#double();
    } else {
      this.#phase = 'hold';
      this.#probeAt = now + PROBE_EVERY_MS;
      if (!faster) this.#fallBack();
    }
    const owed = (rate * this.#options.requestQueueMs) / BLOCK_LENGTH;
    if (this.#window > owed) this.#resize(owed);
  }

  #fallBack(): void {
    if (!this.#isCapKnown) this.#cap = Math.min(this.#cap, Math.max(this.#options.requestsUnknownReqq, this.#fallback));
    this.#resize(this.#fallback);
  }

  /** The last doubling up to a cap that nobody has told has paid: twice as much is worth a try. @returns whether it is allowed */
  #raiseCap(): boolean {
    if (this.#isCapKnown || this.#cap >= this.#options.requestsMax) return false;
    this.#cap = Math.min(2 * this.#cap, this.#options.requestsMax);
    return true;
  }

  #double(): void {
    this.#phase = 'grow';
    this.#fallback = this.#window;
    this.#resize(this.#window * 2);
  }

  #resize(window: number): void {
    const ahead = (this.#rate * this.#options.requestAheadMs) / BLOCK_LENGTH;
    const floor = Math.min(Math.max(this.#options.requestsMin, Math.ceil(ahead)), this.#cap);
    this.#window = Math.max(floor, Math.min(Math.ceil(window), this.#cap));
  }
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULTS } from '../../../src/options.js';
import { Pipeline } from '../../../src/torrent/pipeline.js';

const BLOCK = 16_384;
const { requestsAtStart, requestsMin, requestsMax, requestsUnknownReqq, requestQueueMs } = DEFAULTS;

/**
 * A peer on virtual time: a request travels for half a round trip, waits its turn, is sent at `rate` and travels back. The
 * client tops its requests up as a session does.
 */
class SimulatedPeer {
  readonly pipeline: Pipeline;
  now = 0;
  /** Bytes per ms. */
  rate: number;
  received = 0;
  /** Of the windows after each block. */
  windowSum = 0;
  outstanding = 0;
  readonly #roundTripMs: number;
  /** When each outstanding block arrives, in order. */
  readonly #arrivals: number[] = [];
  #sentUntil = 0;

  constructor(rate: number, roundTripMs: number, pipeline = new Pipeline(DEFAULTS)) {
    this.rate = rate;
    this.#roundTripMs = roundTripMs;
    this.pipeline = pipeline;
  }

  /** Whether memory is short from now on. */
  isTight = false;

  #fill(): void {
    const window = this.isTight ? this.pipeline.tightWindow : this.pipeline.window;
    if (this.outstanding > 0 && window - this.outstanding < Math.min(0.25 * window, 64)) return;
    if (this.outstanding === 0) this.pipeline.onIdleEnd(this.now);
    while (this.outstanding < window) {
      this.#sentUntil = Math.max(this.#sentUntil, this.now + this.#roundTripMs / 2) + BLOCK / this.rate;
      this.#arrivals.push(this.#sentUntil + this.#roundTripMs / 2);
      this.outstanding++;
    }
  }

  /** Runs until the clock shows `until`. @returns the largest window on the way */
  run(until: number): number {
    let largest = 0;
    for (;;) {
      this.#fill();
      const next = this.#arrivals[0]!;
      if (next > until) break;
      this.#arrivals.shift();
      this.now = next;
      this.outstanding--;
      this.received += BLOCK;
      this.pipeline.onBlock(BLOCK, this.now);
      largest = Math.max(largest, this.pipeline.window);
      this.windowSum += this.pipeline.window;
    }
    this.now = until;
    return largest;
  }

  /** The part of the peer's rate that is used from now on for `ms`. */
  use(ms: number): number {
    const before = this.received;
    this.run(this.now + ms);
    return (this.received - before) / (this.rate * ms);
  }
}

describe('the window of a steady peer', () => {
  it.each([
    // KiB per second, round trip in ms
    [50, 20],
    [50, 300],
    [500, 300],
    [2_000, 150],
    [10_000, 50],
    [10_000, 150],
    [12_000, 100],
    [30_000, 80],
    [100_000, 20],
    [300_000, 50],
    [500_000, 2],
    [1_000_000, 0.1],
  ])('grows until %d KiB/s at %d ms are used, and keeps using them', (rate, roundTripMs) => {
    const peer = new SimulatedPeer((rate * 1024) / 1000, roundTripMs);
    peer.run(8_000);
    for (let second = 0; second < 20; second++) expect(peer.use(1_000)).toBeGreaterThan(0.9);
  });

  it('uses any peer whose rate and round trip fit into the cap', () => {
    const rates = fc.double({ min: 1, max: 5, noNaN: true }).map((exponent) => 10 ** exponent);
    fc.assert(
      fc.property(rates, fc.double({ min: 0.1, max: 400, noNaN: true }), (bytesPerMs, roundTripMs) => {
        // A window is topped up when there is room for 64 blocks: the whole cap is never outstanding all the time.
        fc.pre((bytesPerMs * roundTripMs) / BLOCK < 0.85 * requestsUnknownReqq);
        const peer = new SimulatedPeer(bytesPerMs, roundTripMs);
        peer.run(20_000);
        expect(peer.use(20_000)).toBeGreaterThan(0.85);
      }),
    );
  });

  it('uses a fast peer within a second', () => {
    const peer = new SimulatedPeer(12_500, 80);
    peer.run(1_000);
    expect(peer.use(1_000)).toBeGreaterThan(0.95);
  });

  it('stays small where growth brings nothing', () => {
    for (const [rate, roundTripMs] of [
      [1_000_000, 0.1],
      [500_000, 0.3],
      [100_000, 1],
    ] as const) {
      const peer = new SimulatedPeer(rate, roundTripMs, new Pipeline({ ...DEFAULTS, requestAheadMs: 0 }));
      peer.run(1_000);
      const [received, sum] = [peer.received, peer.windowSum];
      expect(peer.run(20_000)).toBeLessThanOrEqual(2 * requestsAtStart);
      // A probe now and then, but not for long.
      const average = (peer.windowSum - sum) / ((peer.received - received) / BLOCK);
      expect(average).toBeLessThan(1.1 * requestsAtStart);
    }
  });

  it('holds a few ms of the rate, whatever the round trip, for fewer writes', () => {
    const peer = new SimulatedPeer(500_000, 0.3);
    peer.run(1_000);
    const before = peer.windowSum;
    const blocks = peer.received / BLOCK;
    peer.run(3_000);
    const average = (peer.windowSum - before) / (peer.received / BLOCK - blocks);
    expect(average).toBeGreaterThan((500_000 * DEFAULTS.requestAheadMs) / BLOCK);
  });

  it('is never more than the peer queues', () => {
    const peer = new SimulatedPeer(100_000, 300);
    peer.pipeline.onReqq(200);
    expect(peer.run(20_000)).toBe(200);
    expect(peer.pipeline.window).toBe(200);
    peer.pipeline.onReqq(2_000);
    expect(peer.run(40_000)).toBeLessThanOrEqual(2_000);
    expect(peer.pipeline.window).toBeGreaterThan(1_800);
    peer.pipeline.onReqq(17);
    expect(peer.pipeline.window).toBe(17);
    expect(peer.run(60_000)).toBeLessThanOrEqual(17);
  });

  it('is more than is usual, while the peer has not told what it queues, only where that pays', () => {
    const near = new SimulatedPeer((0.3 * requestsUnknownReqq * BLOCK) / 100, 100);
    expect(near.run(2_000)).toBeLessThanOrEqual(2 * requestsUnknownReqq);
    expect(near.run(20_000)).toBeLessThanOrEqual(requestsUnknownReqq);
    const far = new SimulatedPeer(100_000, 300);
    expect(far.run(20_000)).toBe(requestsMax);
  });

  it('grows with a peer whose answers come in bursts, a few of them late each time', () => {
    const pipeline = new Pipeline(DEFAULTS);
    pipeline.onReqq(2_000);
    let now = 0;
    pipeline.onIdleEnd(now);
    for (let burst = 1; burst <= 12; burst++) {
      now = 50 * burst;
      // What was asked for during the last burst, but for a few that had to wait for a lease.
      const blocks = Math.ceil(0.95 * pipeline.window);
      for (let n = 0; n < blocks; n++) pipeline.onBlock(BLOCK, now);
    }
    expect(pipeline.window).toBe(2_000);
  });

  it('is never more than the most requests allowed, whatever the peer queues', () => {
    const pipeline = new Pipeline({ ...DEFAULTS, requestsMax: 40 });
    const peer = new SimulatedPeer(100_000, 300, pipeline);
    expect(peer.run(10_000)).toBeLessThanOrEqual(40);
    pipeline.onReqq(1_000_000);
    expect(peer.run(20_000)).toBeLessThanOrEqual(40);
    expect(pipeline.window).toBe(40);
  });
});

describe('the window when memory is short', () => {
  it('holds 300 ms of the rate, and never more than the usual one', () => {
    const peer = new SimulatedPeer(500, 50);
    peer.run(20_000);
    const owed = Math.ceil((500 * DEFAULTS.requestTightMs) / BLOCK);
    expect(peer.pipeline.window).toBeGreaterThan(1.5 * owed);
    expect(Math.abs(peer.pipeline.tightWindow - owed)).toBeLessThanOrEqual(2);
    peer.pipeline.onSnub();
    expect(peer.pipeline.tightWindow).toBe(1);
  });

  it.each([
    [2_000, 500],
    [500, 1_000],
    [2_000, 20],
  ])('goes on using %d bytes per ms of a peer that is %d ms away', (rate, roundTripMs) => {
    const peer = new SimulatedPeer(rate, roundTripMs);
    peer.run(30_000);
    peer.isTight = true;
    peer.use(10_000);
    expect(peer.use(30_000)).toBeGreaterThan(0.9);
  });

  it('is the least there is while the rate is not known', () => {
    expect(new Pipeline(DEFAULTS).tightWindow).toBe(requestsMin);
  });
});

describe('the window of a slow peer', () => {
  it.each([1, 5, 20, 60, 100])('falls to 3 s of its rate: %d KiB/s', (rate) => {
    const peer = new SimulatedPeer((rate * 1024) / 1000, 100);
    peer.run(60_000);
    const owed = (peer.rate * requestQueueMs) / BLOCK;
    expect(peer.run(300_000)).toBeLessThanOrEqual(Math.max(requestsMin, 1.1 * owed + 1));
    expect(peer.outstanding).toBeGreaterThan(0);
  });

  it('follows a peer that becomes slow and fast again', () => {
    const peer = new SimulatedPeer(10_000, 50);
    peer.run(5_000);
    peer.rate = 50;
    peer.run(peer.now + 180_000);
    expect(peer.pipeline.window).toBeLessThanOrEqual((50 * requestQueueMs) / BLOCK + 1);
    peer.rate = 10_000;
    peer.run(peer.now + 15_000);
    expect(peer.use(5_000)).toBeGreaterThan(0.9);
  });

  it('does not take a pause in which nothing was asked for as slowness', () => {
    const peer = new SimulatedPeer(10_000, 100);
    peer.run(5_000);
    const { window } = peer.pipeline;
    peer.pipeline.onIdleEnd(60_000);
    for (let block = 0; block < window; block++) peer.pipeline.onBlock(BLOCK, 60_000 + (block * BLOCK) / 10_000);
    expect(peer.pipeline.window).toBeGreaterThanOrEqual(window / 2);
  });
});

describe('a snubbed peer', () => {
  it('has one block outstanding until it answers, then starts small and grows', () => {
    const peer = new SimulatedPeer(12_500, 80);
    peer.run(3_000);
    const { pipeline } = peer;
    pipeline.onSnub();
    expect([pipeline.snubbed, pipeline.window]).toEqual([true, 1]);
    pipeline.onSnub();
    expect(pipeline.window).toBe(1);
    pipeline.onBlock(BLOCK, 30_000);
    expect([pipeline.snubbed, pipeline.window]).toEqual([false, requestsMin]);
    const again = new SimulatedPeer(12_500, 80, pipeline);
    again.now = 30_000;
    again.run(32_000);
    expect(again.use(5_000)).toBeGreaterThan(0.9);
  });

  it('is not owed more than it queues when it comes back', () => {
    const pipeline = new Pipeline(DEFAULTS);
    pipeline.onReqq(2);
    pipeline.onSnub();
    pipeline.onBlock(BLOCK, 1_000);
    expect(pipeline.window).toBe(2);
  });
});

describe('the window', () => {
  it('starts at its option, within what may be asked for', () => {
    expect(new Pipeline(DEFAULTS).window).toBe(requestsAtStart);
    expect(new Pipeline({ ...DEFAULTS, requestsUnknownReqq: 5 }).window).toBe(5);
  });

  it('is at least 1 and never beyond its cap, whatever happens', () => {
    const step = fc.oneof(
      {
        weight: 20,
        arbitrary: fc.record({ do: fc.constant('blocks' as const), count: fc.nat(300), each: fc.nat(200) }),
      },
      fc.record({ do: fc.constant('reqq' as const), reqq: fc.integer({ min: -5, max: 5_000 }) }),
      fc.record({ do: fc.constant('snub' as const) }),
      fc.record({ do: fc.constant('idle' as const), ms: fc.nat(10_000) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (script) => {
        const pipeline = new Pipeline(DEFAULTS);
        let cap: number = requestsUnknownReqq;
        let now = 0;
        for (const action of script) {
          if (action.do === 'reqq') {
            pipeline.onReqq(action.reqq);
            cap = Math.min(Math.max(1, action.reqq), requestsMax);
          } else if (action.do === 'snub') pipeline.onSnub();
          else if (action.do === 'idle') {
            now += action.ms;
            pipeline.onIdleEnd(now);
          } else {
            for (let i = 0; i < action.count; i++) {
              now += action.each / 10;
              pipeline.onBlock(BLOCK, now);
            }
          }
          expect(Number.isInteger(pipeline.window)).toBe(true);
          expect(pipeline.window).toBeGreaterThanOrEqual(1);
          expect(pipeline.window).toBeLessThanOrEqual(cap);
        }
      }),
    );
  });
});

describe('a peer that rejects requests', () => {
  it('is not owed as many again as when it rejected one, whatever it had said', () => {
    const pipeline = new Pipeline({ ...DEFAULTS, requestsAtStart: 200 });
    pipeline.onReqq(500);
    pipeline.onOverflow(120);
    expect(pipeline.window).toBe(120);
    for (let now = 0; now < 10_000; now += 25) pipeline.onBlock(pipeline.window * BLOCK * (1 + now), now);
    expect(pipeline.window).toBe(120);
    pipeline.onOverflow(0);
    expect(pipeline.window).toBe(requestsMin);
  });
});

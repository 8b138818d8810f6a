import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../../src/torrent/token-bucket.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 16 * KIB;

/** The same numbers in [0, 1) for the same seed. */
function randomFrom(seed: number): () => number {
  let state = ((seed + 1) * 48_271 ** 2) % 2_147_483_647;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** Timers on virtual time, each 1 to 15 ms late. */
class LateTimers {
  now = 0;
  readonly #random: () => number;
  readonly #timers: { at: number; run: () => void }[] = [];

  constructor(seed: number) {
    this.#random = randomFrom(seed);
  }

  /** At `at`, and late. */
  set(at: number, run: () => void): void {
    this.exactly(at + 1 + this.#random() * 14, run);
  }

  exactly(at: number, run: () => void): void {
    this.#timers.push({ at, run });
  }

  run(until: number): void {
    for (;;) {
      const next = this.#timers.reduce((a, b) => (b.at < a.at ? b : a), {
        at: Number.POSITIVE_INFINITY,
        run: () => {},
      });
      if (next.at > until) break;
      this.#timers.splice(this.#timers.indexOf(next), 1);
      this.now = next.at;
      next.run();
    }
    this.now = until;
  }
}

/** Takes whole blocks as long as there are any, and then waits as told. */
class BlockTaker {
  taken = 0;
  /** Takes that brought less than `nextAt` had said. */
  broken = 0;
  readonly #bucket: TokenBucket;
  readonly #timers: LateTimers;

  constructor(bucket: TokenBucket, timers: LateTimers) {
    this.#bucket = bucket;
    this.#timers = timers;
  }

  readonly go = (): void => {
    const { now } = this.#timers;
    for (;;) {
      const at = this.#bucket.nextAt(BLOCK, now);
      if (at > now) return this.#timers.set(at, this.go);
      const granted = this.#bucket.take(BLOCK, now);
      this.taken += granted;
      if (granted !== BLOCK) this.broken++;
    }
  };
}

describe('TokenBucket', () => {
  it('starts empty and fills at its rate', () => {
    const bucket = new TokenBucket(1_000_000);
    expect(bucket.take(1, 5_000)).toBe(0);
    expect(bucket.take(20_000, 5_010)).toBe(10_000);
    expect(bucket.take(20_000, 5_010)).toBe(0);
    expect(bucket.take(700, 5_011)).toBe(700);
    expect(bucket.take(700, 5_011)).toBe(300);
  });

  it('grants whole bytes and keeps the fractions', () => {
    const bucket = new TokenBucket(1_500);
    expect(bucket.take(0, 0)).toBe(0);
    expect([1, 2, 3, 4].map((now) => bucket.take(10, now))).toEqual([1, 2, 1, 2]);
  });

  it.each([
    [1_000_000, 265_000 + 16_384],
    [500_000_000, 132_500_000 + 16_384],
    [1_000, 32_768],
  ])('holds 265 ms of %d bytes per second and a block, or two blocks, however long it is left alone', (rate, most) => {
    const bucket = new TokenBucket(rate);
    bucket.take(1, 0);
    expect(bucket.take(1e12, 3_600_000)).toBe(most);
    expect(bucket.take(1e12, 3_600_000)).toBe(0);
  });

  it('grants everything when there is no limit', () => {
    const bucket = new TokenBucket(0);
    expect(bucket.take(5e12, 0)).toBe(5e12);
    expect(bucket.nextAt(5e12, 0)).toBe(0);
    expect(bucket.measureWaiting(1)).toBe(0);
  });

  it('takes a time that steps back for the newest one', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(1, 1_000);
    expect(bucket.take(1_000_000, 1_100)).toBe(100_000);
    expect(bucket.take(1, 500)).toBe(0);
    expect(bucket.take(1_000_000, 1_150)).toBe(50_000);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('refuses a rate of %d', (rate) => {
    expect(() => new TokenBucket(rate)).toThrow(`a rate must be 0 or more bytes per second, got ${rate}`);
    expect(() => new TokenBucket(1).setRate(rate, 0)).toThrow(RangeError);
  });
});

describe('nextAt', () => {
  it('is now when the bytes are there', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(1, 0);
    expect(bucket.nextAt(16_384, 17)).toBe(17);
  });

  it('is the time when they will be, at least a millisecond away', () => {
    const bucket = new TokenBucket(1_000_000);
    expect(bucket.nextAt(16_384, 100)).toBeCloseTo(116.385, 6);
    expect(bucket.nextAt(16_384, 116)).toBe(117);
    expect(new TokenBucket(500 * MIB).nextAt(16_384, 7)).toBe(8);
  });

  it('does not wait for more than comes in 50 ms, or a block', () => {
    expect(new TokenBucket(1_000_000).nextAt(1e9, 0)).toBeCloseTo(50.001, 6);
    expect(new TokenBucket(1_000).nextAt(1e9, 0)).toBeCloseTo(16_385, 6);
  });

  it('is when the last of the buckets has enough', () => {
    const parent = new TokenBucket(1_000_000);
    const child = new TokenBucket(100_000, parent);
    expect(child.nextAt(10_000, 0)).toBeCloseTo(100.01, 6);
    const wide = new TokenBucket(10_000_000, parent);
    expect(wide.nextAt(10_000, 0)).toBeCloseTo(10.001, 6);
  });

  it('promises no more than it keeps: who comes then gets it all', () => {
    const rates = fc.oneof(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 2 ** 33 }));
    const starts = fc.double({ min: 0, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(
        rates,
        rates,
        starts,
        fc.integer({ min: 1, max: BLOCK }),
        fc.boolean(),
        (rate, above, start, wanted, used) => {
          const bucket = new TokenBucket(rate, new TokenBucket(above));
          if (used) {
            bucket.take(1, start);
            bucket.take(1e12, start + 1_000_000);
          }
          const now = start + 1_000_000;
          const at = bucket.nextAt(wanted, now);
          expect(at).toBeGreaterThanOrEqual(now + 1);
          expect(bucket.nextAt(wanted, at)).toBe(at);
          expect(bucket.take(wanted, at)).toBe(wanted);
        },
      ),
    );
  });
});

describe('the rate', () => {
  const RATES = [64 * KIB, MIB, 500 * MIB];
  const SECONDS = 20;

  it.each(RATES)('of %d bytes per second is reached by takers of blocks with late timers', (rate) => {
    const timers = new LateTimers(1);
    const taker = new BlockTaker(new TokenBucket(rate), timers);
    taker.go();
    timers.run(SECONDS * 1_000);
    expect(taker.broken).toBe(0);
    expect(taker.taken / (rate * SECONDS)).toBeGreaterThan(0.97);
    expect(taker.taken / (rate * SECONDS)).toBeLessThanOrEqual(1);
  });

  it.each(RATES)('of %d bytes per second is reached by takers of blocks on a late tick of 250 ms', (rate) => {
    const random = randomFrom(2);
    const bucket = new TokenBucket(rate);
    let taken = 0;
    let now = 0;
    bucket.take(1, now);
    while (now < SECONDS * 1_000) {
      now += 251 + random() * 14;
      while (bucket.nextAt(BLOCK, now) === now) taken += bucket.take(BLOCK, now);
    }
    expect(taken / ((rate * now) / 1_000)).toBeGreaterThan(0.97);
    expect(taken / ((rate * now) / 1_000)).toBeLessThanOrEqual(1);
  });

  it.each(RATES)('of %d bytes per second is reached by takers of whatever there is', (rate) => {
    const timers = new LateTimers(3);
    const bucket = new TokenBucket(rate);
    let taken = 0;
    const go = (): void => {
      taken += bucket.take(100 * MIB, timers.now);
      timers.set(bucket.nextAt(100 * MIB, timers.now), go);
    };
    go();
    timers.run(SECONDS * 1_000);
    expect(taken / (rate * SECONDS)).toBeGreaterThan(0.97);
    expect(taken / (rate * SECONDS)).toBeLessThanOrEqual(1);
  });

  it.each([
    [MIB, 60],
    [500 * MIB, 5],
  ])('of %d bytes per second is that of four groups of ten peers together', (rate, seconds) => {
    const timers = new LateTimers(4);
    const takers = [0, 1, 2, 3].flatMap(() => {
      const group = new TokenBucket(rate / 4);
      return Array.from({ length: 10 }, () => new BlockTaker(new TokenBucket(0, group), timers));
    });
    for (const taker of takers) taker.go();
    timers.run(seconds * 1_000);
    const taken = takers.reduce((sum, taker) => sum + taker.taken, 0);
    expect(taken / (rate * seconds)).toBeGreaterThan(0.97);
    expect(taken / (rate * seconds)).toBeLessThanOrEqual(1);
    expect(takers.every(({ broken }) => broken === 0)).toBe(true);
  });

  it('does not drift in ten hours of times that are no whole numbers', () => {
    const random = randomFrom(5);
    const rate = 123_456_789;
    const bucket = new TokenBucket(rate);
    const start = 86_400_000.123;
    let now = start;
    let taken = bucket.take(1, now);
    while (now - start < 36_000_000) {
      now += random() * 30;
      taken += bucket.take(1e12, now);
    }
    expect(Math.abs(taken - ((now - start) * rate) / 1_000)).toBeLessThan(2);
  });

  it('is never exceeded by more than a full bucket, in any stretch of time', () => {
    const calls = fc.array(fc.tuple(fc.double({ min: 0, max: 600, noNaN: true }), fc.nat(300_000)), {
      minLength: 1,
      maxLength: 50,
      size: 'max',
    });
    fc.assert(
      fc.property(fc.integer({ min: 1_000, max: 2_000_000 }), calls, (rate, script) => {
        const bucket = new TokenBucket(rate);
        const full = BLOCK + Math.max(BLOCK, rate * 0.265);
        let now = 0;
        const log = script.map(([pause, wanted]) => {
          now += pause;
          return { now, bytes: bucket.take(wanted, now) };
        });
        for (const [i, from] of log.entries()) {
          let bytes = 0;
          for (const to of log.slice(i)) {
            bytes += to.bytes;
            expect(bytes).toBeLessThanOrEqual(full + ((to.now - from.now) * rate) / 1_000 + 1e-6);
          }
        }
      }),
    );
  });
});

describe('a parent', () => {
  it('limits its children together, and each of them keeps its own limit', () => {
    const parent = new TokenBucket(1_000_000);
    const narrow = new TokenBucket(200_000, parent);
    const wide = new TokenBucket(0, parent);
    narrow.take(0, 0);
    expect(narrow.take(100_000, 100)).toBe(20_000);
    expect(wide.take(80_000, 100)).toBe(80_000);
    expect(narrow.take(1_000, 101)).toBe(200);
    expect(wide.take(10_000, 102)).toBe(1_800);
    expect(wide.take(1, 102)).toBe(0);
  });

  it('does not charge a child for what it cannot give', () => {
    const parent = new TokenBucket(100_000);
    const child = new TokenBucket(1_000_000, parent);
    child.take(0, 0);
    expect(child.take(50_000, 100)).toBe(10_000);
    parent.setRate(0, 100);
    expect(child.take(200_000, 100)).toBe(90_000);
  });

  it('is charged through any number of floors', () => {
    const buckets = [new TokenBucket(1_000_000)];
    for (let i = 0; i < 5; i++) buckets.push(new TokenBucket(0, buckets.at(-1)));
    buckets.at(-1)!.take(0, 0);
    expect(buckets.at(-1)!.take(70_000, 100)).toBe(70_000);
    expect(buckets[2]!.take(70_000, 100)).toBe(30_000);
  });

  it('never grants more than it has, whatever the tree and the calls', () => {
    const call = fc.record({
      leaf: fc.nat(5),
      pause: fc.double({ min: 0, max: 40, noNaN: true }),
      wanted: fc.nat(60_000),
      ask: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 200, size: 'max' }), (script) => {
        const root = new TokenBucket(1_000_000);
        const torrents = [new TokenBucket(600_000, root), new TokenBucket(0, root)];
        const leaves = Array.from({ length: 6 }, (_, i) => new TokenBucket(i % 3 === 0 ? 0 : 300_000, torrents[i % 2]));
        let now = 0;
        root.take(0, now);
        const taken = leaves.map(() => 0);
        for (const { leaf, pause, wanted, ask } of script) {
          now += pause;
          if (ask) leaves[leaf]!.nextAt(wanted, now);
          const granted = leaves[leaf]!.take(wanted, now);
          expect(granted).toBeGreaterThanOrEqual(0);
          expect(granted).toBeLessThanOrEqual(wanted);
          taken[leaf]! += granted;
        }
        const sum = (leaf: (index: number) => boolean): number =>
          taken.reduce((total, bytes, index) => total + (leaf(index) ? bytes : 0), 0);
        expect(sum(() => true)).toBeLessThanOrEqual(now * 1_000 + 1e-6);
        expect(sum((index) => index % 2 === 0)).toBeLessThanOrEqual(now * 600 + 1e-6);
        expect(sum((index) => index === 1)).toBeLessThanOrEqual(now * 300 + 1e-6);
      }),
    );
  });
});

describe('siblings', () => {
  it.each([128 * KIB, MIB, 500 * MIB])(
    'of one that grabs every byte get blocks all the same, at %d bytes per second',
    (rate) => {
      const timers = new LateTimers(6);
      const parent = new TokenBucket(rate);
      const greedy = new TokenBucket(0, parent);
      let grabbed = 0;
      const grab = (): void => {
        grabbed += greedy.take(1e12, timers.now);
        timers.exactly(timers.now + 0.25, grab);
      };
      grab();
      const polite = [0, 1, 2].map(() => new BlockTaker(new TokenBucket(0, parent), timers));
      for (const taker of polite) taker.go();
      timers.run(20_000);
      const total = grabbed + polite.reduce((sum, { taken }) => sum + taken, 0);
      expect(total / (rate * 20)).toBeGreaterThan(0.97);
      // A turn of the queue takes 15 ms for each that is late, and its four blocks; all have as many turns.
      const turnMs = 3 * 16 + (4 * BLOCK * 1_000) / rate;
      for (const { taken } of polite) expect(taken).toBeGreaterThan((BLOCK * 20_000) / turnMs);
    },
  );

  it('get nothing of a parent that is taken from without a break when they never come back', () => {
    const parent = new TokenBucket(1_000_000);
    const absent = new TokenBucket(0, parent);
    const other = new TokenBucket(0, parent);
    expect(absent.nextAt(BLOCK, 0)).toBeGreaterThan(0);
    // A block is set aside for as long as it takes to come, and 265 ms.
    expect(other.take(1e9, 100)).toBe(100_000 - BLOCK);
    expect(other.take(1e9, 281)).toBe(181_000);
    expect(other.take(1e9, 282)).toBe(1_000 + BLOCK);
  });

  it('have what was set aside as soon as one of them leaves', () => {
    const parent = new TokenBucket(1_000_000);
    const [first, second, third] = [0, 1, 2].map(() => new TokenBucket(0, parent)) as [
      TokenBucket,
      TokenBucket,
      TokenBucket,
    ];
    for (const bucket of [first, second, third]) bucket.nextAt(BLOCK, 0);
    second.leave();
    expect(third.take(1e9, 20)).toBe(20_000 - BLOCK);
    first.leave();
    // The third has had a part of its block: the rest of it is what it waits for.
    expect(second.take(1e9, 20)).toBe(20_000 - BLOCK);
    expect(third.take(1e9, 20)).toBe(BLOCK - (20_000 - BLOCK));
    third.leave();
    third.leave();
    expect(second.take(1e9, 21)).toBe(1_000);
  });

  it('queue behind who is left when the last of the queue leaves', () => {
    const parent = new TokenBucket(1_000_000);
    const [first, second, third] = [0, 1, 2].map(() => new TokenBucket(0, parent)) as [
      TokenBucket,
      TokenBucket,
      TokenBucket,
    ];
    first.nextAt(BLOCK, 0);
    second.nextAt(BLOCK, 0);
    second.leave();
    third.nextAt(BLOCK, 0);
    first.leave();
    expect(second.take(1e9, 20)).toBe(20_000 - BLOCK);
    expect(third.take(1e9, 20)).toBe(BLOCK);
  });

  it('have no more set aside than they wait for', () => {
    const parent = new TokenBucket(1_000_000);
    expect(new TokenBucket(0, parent).nextAt(1_000, 0)).toBeGreaterThan(0);
    expect(new TokenBucket(0, parent).take(1e9, 100)).toBe(99_000);
  });

  it('are served in the order in which they went short', () => {
    const parent = new TokenBucket(1_000_000);
    const buckets = [0, 1, 2].map(() => new TokenBucket(0, parent));
    for (const bucket of buckets) expect(bucket.take(BLOCK, 0)).toBe(0);
    const served = [17, 34, 51].map((now) => {
      const ready = buckets.filter((bucket) => bucket.nextAt(BLOCK, now) === now);
      for (const bucket of ready) bucket.take(BLOCK, now);
      return ready.map((bucket) => buckets.indexOf(bucket));
    });
    expect(served).toEqual([[0], [1], [2]]);
  });

  it('have about the same when all take blocks in the same way', () => {
    const timers = new LateTimers(7);
    const parent = new TokenBucket(4 * MIB);
    const takers = Array.from({ length: 20 }, () => new BlockTaker(new TokenBucket(0, parent), timers));
    for (const taker of takers) taker.go();
    timers.run(60_000);
    const fair = (4 * MIB * 60) / 20;
    for (const { taken } of takers) {
      expect(taken / fair).toBeGreaterThan(0.9);
      expect(taken / fair).toBeLessThan(1.1);
    }
  });

  it('below their parent share what it has with those of another parent', () => {
    const timers = new LateTimers(8);
    const root = new TokenBucket(MIB);
    const torrents = [new TokenBucket(0, root), new TokenBucket(0, root)];
    const greedy = new TokenBucket(0, torrents[0]);
    const grab = (): void => {
      greedy.take(1e12, timers.now);
      timers.exactly(timers.now + 0.25, grab);
    };
    grab();
    const taker = new BlockTaker(new TokenBucket(0, torrents[1]), timers);
    taker.go();
    timers.run(20_000);
    expect(taker.taken).toBeGreaterThan(20 * MIB * 0.45);
  });
});

describe('setRate', () => {
  it('counts the time before at the old rate and the time after at the new one', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(0, 0);
    bucket.setRate(2_000_000, 50);
    expect(bucket.take(1e9, 60)).toBe(70_000);
  });

  it('cuts what the bucket holds to the new capacity', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(0, 0);
    bucket.setRate(1_000, 1_000);
    expect(bucket.take(1e9, 1_000)).toBe(32_768);
  });

  it('lifts a limit, and begins a new one with an empty bucket', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(0, 0);
    bucket.setRate(0, 100);
    expect(bucket.take(1e9, 100)).toBe(1e9);
    bucket.setRate(1_000_000, 5_000);
    expect(bucket.take(1e9, 5_000)).toBe(0);
    expect(bucket.take(1e9, 5_010)).toBe(10_000);
  });

  it('keeps the place of who waits while the bytes come more slowly', () => {
    const parent = new TokenBucket(1_000_000);
    const [first, second] = [new TokenBucket(0, parent), new TokenBucket(0, parent)];
    first.nextAt(BLOCK, 0);
    parent.setRate(1_000, 0);
    expect(second.take(1e9, 16_000)).toBe(0);
    expect(first.take(BLOCK, 16_400)).toBe(BLOCK);
  });

  it('every second makes no difference when the rate stays the same', () => {
    const bucket = new TokenBucket(MIB);
    let taken = bucket.take(1, 0);
    for (let now = 100; now <= 100_000; now += 100) {
      taken += bucket.take(1e12, now);
      if (now % 1_000 === 0) bucket.setRate(MIB, now);
    }
    expect(taken).toBe(100 * MIB);
  });
});

describe('charge', () => {
  it('goes into debt, in every bucket above, which is paid before anything is granted', () => {
    const parent = new TokenBucket(1_000_000);
    const child = new TokenBucket(0, parent);
    child.charge(100_000, 0);
    expect(parent.take(1, 100)).toBe(0);
    expect(child.nextAt(16_384, 100)).toBeCloseTo(116.385, 6);
    expect(child.take(1e9, 110)).toBe(10_000);
  });

  it('gives back what was taken and did not move', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(0, 0);
    expect(bucket.take(50_000, 100)).toBe(50_000);
    bucket.charge(-20_000, 100);
    expect(bucket.take(1e9, 100)).toBe(70_000);
  });

  it('of more than was ever taken fills the bucket and no more', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(0, 0);
    bucket.charge(-1e9, 0);
    expect(bucket.take(1e12, 0)).toBe(265_000 + BLOCK);
  });
});

describe('measureWaiting', () => {
  it('is the part of the time from a call cut short to one granted in full', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(0, 0);
    expect(bucket.measureWaiting(0)).toBe(0);
    expect(bucket.take(50_000, 40)).toBe(40_000);
    expect(bucket.take(10_000, 60)).toBe(10_000);
    expect(bucket.measureWaiting(100)).toBeCloseTo(0.2, 9);
    bucket.nextAt(1e9, 170);
    bucket.take(1e9, 180);
    expect(bucket.measureWaiting(200)).toBeCloseTo(0.2, 9);
    expect(bucket.measureWaiting(300)).toBe(1);
  });

  it('does not end with a grant that another bucket cut short', () => {
    const parent = new TokenBucket(1_000_000);
    const [wide, narrow] = [new TokenBucket(0, parent), new TokenBucket(1_000, parent)];
    narrow.take(0, 0);
    wide.take(1e9, 100);
    parent.measureWaiting(100);
    expect(narrow.take(1_000, 130)).toBe(130);
    expect(parent.measureWaiting(200)).toBe(1);
  });

  it('does not end with bytes that were counted afterwards or given back, nor with a call for none', () => {
    const bucket = new TokenBucket(1_000_000);
    bucket.take(1e9, 0);
    bucket.charge(5_000, 10);
    bucket.charge(-5_000, 20);
    bucket.take(0, 30);
    expect(bucket.measureWaiting(100)).toBe(1);
  });

  it('shows which of the buckets is the limit', () => {
    const parent = new TokenBucket(1_000_000);
    const child = new TokenBucket(100_000, parent);
    for (let now = 0; now <= 1_000; now += 10) child.take(1e9, now);
    expect(child.measureWaiting(1_000)).toBe(1);
    expect(parent.measureWaiting(1_000)).toBe(0);
  });

  it.each([MIB, 500 * MIB])('is all of it for takers that want more than %d bytes per second', (rate) => {
    const timers = new LateTimers(9);
    const bucket = new TokenBucket(rate);
    new BlockTaker(bucket, timers).go();
    timers.run(2_000);
    bucket.measureWaiting(timers.now);
    timers.run(12_000);
    expect(bucket.measureWaiting(timers.now)).toBeGreaterThan(0.99);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateMeter } from '../../../src/torrent/rate-meter.js';
import { type RateDemand, type RateShare, splitRate, splitSlots } from '../../../src/torrent/slots.js';
import { TokenBucket } from '../../../src/torrent/token-bucket.js';

const MIB = 1_048_576;
const BLOCK = 16_384;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Groups with these numbers of connected and interested peers. */
const torrent = (...groups: readonly (readonly [number, number])[]) =>
  groups.map(([peers, interested]) => ({ peers, interested }));

/** Groups with these peers, use and waiting. */
const session = (...groups: readonly (readonly [number, number, number])[]): RateDemand[] =>
  groups.map(([peers, bytesPerSecond, waiting]) => ({ peers, bytesPerSecond, waiting }));

describe('splitSlots', () => {
  it.each([
    ['by interested peers', 8, torrent([20, 6], [20, 6]), [4, 4]],
    ['by largest remainder', 9, torrent([20, 11], [20, 2], [20, 6]), [5, 1, 3]],
    ['the earlier first when equal', 8, torrent([5, 5], [5, 5], [5, 5]), [3, 3, 2]],
    ['one at least where anybody is interested', 8, torrent([80, 80], [80, 1], [80, 1], [80, 0]), [6, 1, 1, 0]],
    ['no more than are interested while others wait', 8, torrent([50, 50], [1, 1]), [7, 1]],
    ['what is left over where peers are connected', 8, torrent([1, 1], [7, 1], [0, 0]), [2, 6, 0]],
    ['evenly when nobody is there', 8, torrent([0, 0], [0, 0], [0, 0]), [3, 3, 2]],
    ['none when there are none', 0, torrent([5, 5], [5, 0]), [0, 0]],
    ['all to an only group', 8, torrent([3, 0]), [8]],
    ['nothing to no groups', 8, [], []],
  ])('gives slots %s', (_, total, groups, expected) => {
    expect(splitSlots(total, groups)).toEqual(expected);
  });

  it('gives single slots by turns when there is not one for each group with interested peers', () => {
    const groups = torrent([9, 9], [9, 0], [9, 1], [9, 3], [9, 2]);
    const turns = [0, 1, 2].map((turn) => splitSlots(3, groups, turn));
    expect(turns).toEqual([
      [1, 0, 1, 1, 0],
      [1, 0, 1, 0, 1],
      [1, 0, 0, 1, 1],
    ]);
    expect([0, 1, 2, 3].map((turn) => splitSlots(1, groups, turn).indexOf(1))).toEqual([0, 2, 3, 4]);
  });

  const demand = fc
    .record({ peers: fc.nat(100), part: fc.double({ min: 0, max: 1, noNaN: true }) })
    .map(({ peers, part }) => ({ peers, interested: Math.round(peers * part) }));
  const demands = fc.array(demand, { minLength: 1, maxLength: 16, size: 'max' });

  it('gives all slots and no more, one to each group that has use for it, and none that a waiting peer could have', () => {
    fc.assert(
      fc.property(fc.nat(400), demands, fc.nat(1000), (total, groups, turn) => {
        const slots = splitSlots(total, groups, turn);
        expect(sum(slots)).toBe(total);
        expect(slots.every((count) => Number.isInteger(count) && count >= 0)).toBe(true);
        const wanting = groups.filter(({ interested }) => interested > 0).length;
        const wanted = sum(groups.map(({ interested }) => interested));
        for (const [index, { interested }] of groups.entries()) {
          if (interested > 0 && total >= wanting) expect(slots[index]).toBeGreaterThanOrEqual(1);
          if (total <= wanted) expect(slots[index]).toBeLessThanOrEqual(interested);
          else expect(slots[index]).toBeGreaterThanOrEqual(interested);
        }
      }),
    );
  });

  it('gives no group fewer slots than one with fewer interested peers', () => {
    fc.assert(
      fc.property(fc.nat(400), demands, (total, groups) => {
        const slots = splitSlots(total, groups);
        const wanting = groups.filter(({ interested }) => interested > 0).length;
        if (total < wanting || total > sum(groups.map(({ interested }) => interested))) return;
        for (const [i, a] of groups.entries()) {
          for (const [j, b] of groups.entries()) {
            if (a.interested > b.interested) expect(slots[i]).toBeGreaterThanOrEqual(slots[j]!);
          }
        }
      }),
    );
  });

  it('gives each group its slot in as many turns as there are groups, however few slots there are', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), demands, (total, groups) => {
        const had = groups.map(() => 0);
        for (let turn = 0; turn < groups.length; turn++) {
          for (const [index, count] of splitSlots(total, groups, turn).entries()) had[index]! += count;
        }
        for (const [index, { interested }] of groups.entries())
          if (interested > 0) expect(had[index]).toBeGreaterThan(0);
      }),
    );
  });
});

describe('splitRate', () => {
  const rates = (limit: number, groups: readonly RateDemand[], waits: readonly number[] = []): number[] =>
    splitRate(
      limit,
      groups,
      waits.map((count) => ({ bytesPerSecond: 1, waits: count })),
    ).map(({ bytesPerSecond }) => bytesPerSecond);

  it.each([
    ['evenly at first', session([0, 0, 0], [0, 0, 0]), [], [500_000, 500_000]],
    ['by peers at first', session([30, 0, 0], [10, 0, 0]), [], [750_000, 250_000]],
    ['by peers when all wait', session([30, 500_000, 1], [10, 500_000, 1]), [3, 3], [750_000, 250_000]],
    ['what one does not use to the other', session([10, 200_000, 0], [10, 500_000, 1]), [], [215_000, 785_000]],
    ['nearly all to the only one that waits', session([0, 0, 0], [10, 500_000, 1]), [], [15_000, 985_000]],
    ['a quarter more at the first wait', session([10, 200_000, 1], [10, 800_000, 1]), [0, 3], [250_000, 750_000]],
    ['half as much again at the second', session([10, 200_000, 1], [10, 800_000, 1]), [1, 3], [300_000, 700_000]],
    ['twice as much at the third', session([10, 200_000, 1], [10, 800_000, 1]), [2, 3], [400_000, 600_000]],
    ['the part by peers at the fourth', session([10, 200_000, 1], [10, 800_000, 1]), [3, 3], [500_000, 500_000]],
    ['what is left to those that wait', session([10, 200_000, 1], [30, 200_000, 1]), [], [375_000, 625_000]],
    ['nothing for waits in the past', session([10, 200_000, 0.5], [10, 800_000, 1]), [9, 3], [215_000, 785_000]],
    ['nearly all to the only one with peers', session([10, 0, 0], [0, 0, 0]), [], [998_636, 1_364]],
    ['all to an only group', session([0, 0, 0]), [], [1_000_000]],
  ])('gives %s', (_, groups, waits, expected) => {
    const shares = rates(1_000_000, groups, waits);
    for (const [index, share] of shares.entries()) expect(Math.abs(share - expected[index]!)).toBeLessThanOrEqual(2);
    expect(sum(shares)).toBe(1_000_000);
  });

  it('gives no limit when there is none', () => {
    expect(rates(0, session([10, 5, 1], [10, 0, 0]))).toEqual([0, 0]);
  });

  it('gives a byte per second at least, since 0 is no limit', () => {
    expect(rates(2, session([9, 2, 1], [0, 0, 0], [0, 0, 0]))).toEqual([1, 1, 1]);
    expect(splitRate(1_000_000, [])).toEqual([]);
  });

  it('takes a group that waits to use what it had, since a meter lags behind', () => {
    const before = [100_000, 900_000].map((bytesPerSecond, index) => ({ bytesPerSecond, waits: index * 4 }));
    const [first] = splitRate(1_000_000, session([10, 7_000, 1], [10, 900_000, 1]), before);
    expect(Math.abs(first!.bytesPerSecond - 125_000)).toBeLessThanOrEqual(2);
  });

  it('counts the splits in a row at which a group waits', () => {
    let shares: RateShare[] = [];
    const waits = [1, 0.95, 0.5, 0.9, 1, 1].map((waiting) => {
      shares = splitRate(1_000_000, session([1, 100, waiting], [1, 100, 0]), shares);
      return shares.map((share) => share.waits);
    });
    expect(waits).toEqual([1, 2, 0, 1, 2, 3].map((count) => [count, 0]));
  });

  const demand = fc.record({
    peers: fc.nat(500),
    bytesPerSecond: fc.oneof(fc.nat(2_000_000), fc.double({ min: 0, max: 1e10, noNaN: true })),
    waiting: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
    waits: fc.nat(4),
  });
  const demands = fc.array(demand, { minLength: 1, maxLength: 32, size: 'max' });
  const limits = fc.oneof(fc.integer({ min: 32, max: 5_000_000 }), fc.integer({ min: 32, max: 2 ** 40 }));
  type Demand = RateDemand & { readonly waits: number };
  const split = (limit: number, groups: readonly Demand[]): number[] =>
    rates(
      limit,
      groups,
      groups.map(({ waits }) => waits),
    );

  it('gives whole bytes whose sum is the limit', () => {
    fc.assert(
      fc.property(limits, demands, (limit, groups) => {
        const shares = split(limit, groups);
        expect(sum(shares)).toBe(limit);
        expect(shares.every((share) => Number.isInteger(share) && share >= 1)).toBe(true);
      }),
    );
  });

  it('gives a group that keeps waiting its part by peers at least, but for the 1.5% that others have to spare', () => {
    fc.assert(
      fc.property(limits, demands, (limit, groups) => {
        const shares = split(limit, groups);
        const peers = sum(groups.map((group) => Math.max(1, group.peers)));
        for (const [index, { peers: own, waiting, waits }] of groups.entries()) {
          const part = (limit * Math.max(1, own)) / peers;
          if (waiting === 1 && waits >= 3) {
            expect(shares[index]).toBeGreaterThanOrEqual(part * 0.985 - groups.length - 1);
          }
        }
      }),
    );
  });

  it('leaves 1.5% with those that do not use it while somebody waits', () => {
    fc.assert(
      fc.property(limits, demands, (limit, groups) => {
        if (groups.every(({ waiting }) => waiting < 0.9)) return;
        const shares = split(limit, groups);
        const used = groups.map(({ bytesPerSecond, waiting }, index) =>
          waiting >= 0.9 ? shares[index]! : Math.min(shares[index]!, bytesPerSecond),
        );
        expect(sum(used)).toBeGreaterThanOrEqual(limit * 0.985 - 2 * groups.length);
      }),
    );
  });

  it('leaves a group what it uses when all together use less than the limit', () => {
    fc.assert(
      fc.property(demands, fc.double({ min: 1, max: 10, noNaN: true }), (groups, slack) => {
        const calm = groups.map((group) => ({ ...group, waiting: 0 }));
        const limit = Math.ceil(sum(calm.map(({ bytesPerSecond }) => bytesPerSecond)) * slack * 1.03) + 10_000;
        for (const [index, share] of split(limit, calm).entries()) {
          expect(share).toBeGreaterThanOrEqual(Math.floor(calm[index]!.bytesPerSecond) - calm.length);
        }
      }),
    );
  });
});

/** Groups behind their token buckets, on virtual time, whose limits are split anew every so often. */
class SimulatedSession {
  readonly #limit: number;
  readonly #everyMs: number;
  readonly #buckets: readonly TokenBucket[];
  readonly #meters: readonly RateMeter[];
  readonly #backlogs: number[];
  #shares: RateShare[] = [];
  #random = 1;
  #now = 0;

  constructor(limit: number, groups: number, everyMs: number) {
    this.#limit = limit;
    this.#everyMs = everyMs;
    this.#buckets = Array.from({ length: groups }, () => new TokenBucket(limit / groups));
    this.#meters = this.#buckets.map(() => new RateMeter());
    this.#backlogs = this.#buckets.map(() => 0);
  }

  /**
   * Offers bytes to each group, in bursts of 30 ms on average, which takes them in blocks; up to two seconds of the whole
   * limit wait.
   * @returns bytes per second taken by each
   */
  run(seconds: number, offered: readonly number[]): number[] {
    const taken = offered.map(() => 0);
    for (const end = this.#now + seconds * 1_000; this.#now < end; this.#now += 10) {
      for (const [index, rate] of offered.entries()) {
        this.#random = (this.#random * 48_271) % 2_147_483_647;
        const burst = this.#random % 3 === 0 ? rate * 0.03 : 0;
        this.#backlogs[index] = Math.min(this.#backlogs[index]! + burst, 2 * this.#limit);
        taken[index]! += this.#take(index);
      }
      if (this.#now % this.#everyMs === 0) this.#split(offered);
    }
    return taken.map((bytes) => bytes / seconds);
  }

  #take(index: number): number {
    const bucket = this.#buckets[index]!;
    let taken = 0;
    while (this.#backlogs[index]! >= BLOCK && bucket.nextAt(BLOCK, this.#now) === this.#now) {
      const granted = bucket.take(BLOCK, this.#now);
      this.#backlogs[index]! -= granted;
      taken += granted;
    }
    this.#meters[index]!.add(taken, this.#now);
    return taken;
  }

  #split(offered: readonly number[]): void {
    const groups = offered.map((rate, index) => ({
      peers: rate > 0 ? 10 : 0,
      bytesPerSecond: this.#meters[index]!.bytesPerSecond(this.#now),
      waiting: this.#buckets[index]!.measureWaiting(this.#now),
    }));
    this.#shares = splitRate(this.#limit, groups, this.#shares);
    for (const [index, share] of this.#shares.entries()) this.#buckets[index]!.setRate(share.bytesPerSecond, this.#now);
  }
}

describe.each([
  [4 * MIB, 1_000],
  [4 * MIB, 10_000],
  [MIB, 2_000],
  [64 * MIB, 2_000],
])('a session of %d bytes per second that is split anew every %d ms', (limit, everyMs) => {
  const times = (count: number, rate: number): number[] => Array(count).fill(rate);

  it.each<readonly [string, readonly number[], readonly number[]]>([
    ['all want more', [10, 10, 10, 10], [1, 1, 1, 1]],
    ['only one wants anything', [0, 10, 0, 0], [0, 4, 0, 0]],
    ['only one of sixteen wants anything', [10, ...times(15, 0)], [4, ...times(15, 0)]],
    ['one uses half its part', [0.5, 10, 10, 10], [0.5, 1.17, 1.17, 1.17]],
    ['three use little', [0.1, 0.2, 0.3, 10], [0.1, 0.2, 0.3, 3.4]],
    ['two want nearly all', [3.5, 10, 0, 0], [2, 2, 0, 0]],
    ['fifteen use a little', [10, ...times(15, 0.1)], [2.5, ...times(15, 0.1)]],
    ['all use less than there is', [1.8, 0.9, 0.5, 0.4], [1.8, 0.9, 0.5, 0.4]],
  ])('is used to within three percent when %s', (_, offered, expected) => {
    // Written for 4 MiB/s.
    const unit = limit / 4;
    const session = new SimulatedSession(limit, offered.length, everyMs);
    const bytes = offered.map((rate) => rate * unit);
    session.run((20 * everyMs) / 1_000, bytes);
    const rates = session.run((20 * everyMs) / 1_000, bytes).map((rate) => rate / unit);
    expect(sum(rates)).toBeGreaterThan(0.97 * sum(expected));
    expect(sum(rates)).toBeLessThan(1.02 * sum(expected));
    for (const [index, rate] of rates.entries()) expect(Math.abs(rate - expected[index]!)).toBeLessThan(0.15);
  });

  it('is shared evenly five splits after a second group begins to want all of it', () => {
    const unit = limit / 4;
    const session = new SimulatedSession(limit, 4, everyMs);
    const second = everyMs / 1_000;
    session.run(20 * second, [10 * unit, 0, 0, 0]);
    session.run(5 * second, [10 * unit, 0, 10 * unit, 0]);
    const [one, , other] = session.run(10 * second, [10 * unit, 0, 10 * unit, 0]);
    expect(one! / unit).toBeCloseTo(1.97, 1);
    expect(other! / unit).toBeCloseTo(1.97, 1);
  });
});

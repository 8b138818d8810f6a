/**
 * How main splits what is limited as a whole over the groups: a torrent's upload slots and the session's rates. Pure; main
 * asks every few seconds, with what the groups have reported. Which peers get a group's slots and bytes is the group's affair.
 */

/** A torrent in one group, for `splitSlots`. */
export interface SlotDemand {
  /** Connected peers. */
  readonly peers: number;
  /** Those of them that are interested in us. */
  readonly interested: number;
}

/** A group, for `splitRate`; one direction. */
export interface RateDemand {
  /** Peers that could use the rate: unchoked by us for uploads, giving or willing to give for downloads. */
  readonly peers: number;
  /** Used lately. */
  readonly bytesPerSecond: number;
  /** Part of the time, 0 to 1, in which the group's share was what held it back (`TokenBucket.measureWaiting`). */
  readonly waiting: number;
}

/** What a group had, and for how many splits in a row it has waited. */
export interface RateShare {
  readonly bytesPerSecond: number;
  readonly waits: number;
}

/** Part of the limit that groups which do not wait for theirs may have beyond what they use, to grow and to begin with. */
const SPARE = 0.015;
/** A group that waits for this part of the time would use more: its bursts alone do not keep its bucket empty for so long. */
const WAITING = 0.9;
/** What a group could use, as a multiple of what it does, by the splits in a row at which it waited; then anything. */
const GROWTH = [1, 1.25, 1.5, 2];

/**
 * Upload slots of one torrent, per group; their sum is `total`.
 *
 * Each interested peer counts the same, and each group that has any gets a slot. With fewer slots than such groups, one slot
 * each goes to `total` of them, by turns. Slots beyond the interested peers go where peers could become so.
 * @param turn counts up; who gets a slot when there is not one for each moves on with it
 */
export function splitSlots(total: number, groups: readonly SlotDemand[], turn = 0): number[] {
  const interested = groups.map((group) => group.interested);
  const demanding = groups.flatMap((group, index) => (group.interested > 0 ? [index] : []));
  if (total < demanding.length) {
    const shares = groups.map(() => 0);
    for (let i = 0; i < total; i++) shares[demanding[(turn * total + i) % demanding.length]!] = 1;
    return shares;
  }
  const wanted = sum(interested);
  if (total >= wanted) {
    const rest = apportion(
      total - wanted,
      groups.map(({ peers, interested }) => 1 + peers - interested),
    );
    return interested.map((count, index) => count + rest[index]!);
  }
  const beyondFirst = interested.map((count) => Math.max(0, count - 1));
  const rest = apportion(total - demanding.length, beyondFirst);
  return interested.map((count, index) => Math.min(count, 1) + rest[index]!);
}

/**
 * Rate limits per group until the next split. Their sum is the limit, and each is 1 at least, since 0 means no limit: 0 is
 * split into zeros, and a limit below one byte for each group is raised to that.
 *
 * A group that does not wait keeps what it uses and has a little to spare; the rest is for those that wait. These are
 * believed by degrees, since a burst makes a group wait that could not use much more: from split to split it gets a
 * quarter more than it had, half as much again, twice as much, and from the fourth on its peers' part of the limit at
 * least, each peer counting the same (all but `SPARE`). What is left over goes to those that wait, if any do, else to those
 * that have peers: nearly all to an only one.
 * @param previous what the last split returned, for the same groups
 */
export function splitRate(
  bytesPerSecond: number,
  groups: readonly RateDemand[],
  previous: readonly RateShare[] = [],
): RateShare[] {
  const waits = groups.map(({ waiting }, index) => (waiting < WAITING ? 0 : (previous[index]?.waits ?? 0) + 1));
  if (bytesPerSecond === 0 || groups.length === 0) return waits.map((count) => ({ bytesPerSecond: 0, waits: count }));
  const total = Math.max(Math.floor(bytesPerSecond), groups.length);
  const peers = groups.map((group) => Math.max(1, group.peers));
  const pool = waits.includes(0) ? total * (1 - SPARE) : total;
  const demands = groups.map((group, index) => {
    const growth = GROWTH[waits[index]!];
    // Who waits uses all it has, whatever a meter that lags behind may say.
    const used = waits[index] === 0 ? 0 : (previous[index]?.bytesPerSecond ?? 0);
    return growth === undefined ? total : Math.min(total, Math.max(used, group.bytesPerSecond) * growth);
  });
  const shares = fill(pool, demands, peers);
  const waiting = peers.map((count, index) => (waits[index] === 0 ? 0 : count));
  // Room to grow, in proportion to use, and to begin, by the peers there are.
  const room = shares.map((share, index) => (waits[index] === 0 ? share + (total * peers[index]!) / sum(peers) : 0));
  // Nobody can begin where there is no peer.
  const able = room.map((weight, index) => (groups[index]!.peers > 0 ? weight : 0));
  add(shares, pool - sum(shares), sum(waiting) > 0 ? waiting : sum(able) > 0 ? able : room);
  add(shares, total - pool, room);
  return apportion(total - groups.length, shares).map((share, index) => ({
    bytesPerSecond: share + 1,
    waits: waits[index]!,
  }));
}

/** Adds an amount to the shares, in proportion to the weights. */
function add(shares: number[], amount: number, weights: readonly number[]): void {
  const weight = sum(weights);
  if (weight === 0) return;
  for (const [index, own] of weights.entries()) shares[index]! += (amount * own) / weight;
}

/** Max-min fair: everybody's demand up to a level per unit of weight, and the level such that `pool` is used if it can be. */
function fill(pool: number, demands: readonly number[], weights: readonly number[]): number[] {
  const order = demands.map((_, index) => index).sort((a, b) => demands[a]! / weights[a]! - demands[b]! / weights[b]!);
  const shares = demands.map(() => 0);
  let left = pool;
  let weight = sum(weights);
  for (const index of order) {
    const share = Math.min(demands[index]!, (left * weights[index]!) / weight);
    shares[index] = share;
    left -= share;
    weight -= weights[index]!;
  }
  return shares;
}

/**
 * Whole shares in proportion to the weights, by largest remainder; their sum is `total`. Equals: the earlier first.
 * @param weights 0 or more; all count the same when all are 0
 */
function apportion(total: number, weights: readonly number[]): number[] {
  const weight = sum(weights);
  const quotas = weights.map((own) => (weight > 0 ? (total * own) / weight : total / weights.length));
  const shares = quotas.map(Math.floor);
  const order = quotas.map((_, index) => index);
  order.sort((a, b) => quotas[b]! - shares[b]! - (quotas[a]! - shares[a]!));
  for (const index of order.slice(0, total - sum(shares))) shares[index]!++;
  return shares;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

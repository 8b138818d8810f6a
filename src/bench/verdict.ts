/** What limited a transfer, by the evidence of the same invocation. Pure. */

export type Limit = 'hash' | 'disk' | 'network' | 'main loop' | 'scheduler' | 'seeders';

/** Bytes per second; parts of the time 0 to 1. */
export interface Evidence {
  readonly goodput: number;
  /** Absent where the stage has no part in the transfer. */
  readonly ceilings: { readonly hash?: number; readonly disk?: number; readonly net?: number };
  readonly mainUtilisation: number;
  /** Of each group's thread. */
  readonly groupUtilisation: readonly number[];
  /** Of the busiest peer process; rate limits and delays make peers the limit whatever they do. */
  readonly seederUtilisation: number;
  readonly seedersThrottled: boolean;
  /** Nothing is transferred: data on disk are read and hashed, by threads of their own. */
  readonly reads: boolean;
}

export interface Verdict {
  readonly limit: Limit;
  readonly evidence: string;
}

/** A stage that could do little more than what was done is what holds it back. */
const NEAR = 0.8;
/** A thread that is busy so much of the time has no more to give. */
const SATURATED = 0.9;

/**
 * The first that holds: peers that were told to be slow or have no time left; the main thread; the lowest ceiling, when it is
 * near; groups that are all busy, of which the lower of hash and network tells; else nobody is busy, and work comes too late.
 */
export function verdictOf(facts: Evidence): Verdict {
  const { goodput, ceilings, mainUtilisation, seederUtilisation } = facts;
  if (facts.seedersThrottled) return { limit: 'seeders', evidence: 'they were told to be slow' };
  if (mainUtilisation >= SATURATED) return { limit: 'main loop', evidence: `it is ${percent(mainUtilisation)} busy` };
  const known: readonly (readonly [Limit, number | undefined])[] = [
    ['hash', ceilings.hash],
    ['disk', ceilings.disk],
    ['network', ceilings.net],
  ];
  const stages = known.flatMap(([limit, rate]) => (rate === undefined ? [] : [{ limit, rate }]));
  const lowest = stages.sort((a, b) => a.rate - b.rate)[0];
  if (lowest !== undefined && goodput >= NEAR * lowest.rate) {
    return { limit: lowest.limit, evidence: `goodput is ${percent(goodput / lowest.rate)} of its ceiling` };
  }
  if (seederUtilisation >= SATURATED) {
    return { limit: 'seeders', evidence: `the busiest is ${percent(seederUtilisation)} busy` };
  }
  if (facts.reads) return { limit: 'disk', evidence: 'reading is what hashing waits for' };
  const busiest = Math.max(0, ...facts.groupUtilisation);
  if (busiest >= SATURATED) {
    const own = stages.filter(({ limit }) => limit !== 'disk')[0];
    return { limit: own?.limit ?? 'network', evidence: `a group is ${percent(busiest)} busy with it` };
  }
  return {
    limit: 'scheduler',
    evidence: `no thread is busy (main ${percent(mainUtilisation)}, groups up to ${percent(busiest)}), no ceiling near`,
  };
}

const percent = (part: number): string => `${Math.round(part * 100)}%`;

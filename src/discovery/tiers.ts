/** The order in which trackers are asked (BEP 12): tiers one after the other, at random within a tier, who answered first. Pure. */

/** A torrent may list as many as it likes; more than this only cost time. */
const MAX_TRACKERS = 256;

/**
 * The trackers of a torrent in the order of their first use: shuffled within each tier, without repetitions and empty tiers.
 * @param tiers announce URLs as the torrent lists them
 * @param random uniform in [0, 1)
 */
export function arrangeTiers(tiers: readonly (readonly string[])[], random: () => number): string[][] {
  const seen = new Set<string>();
  const arranged = tiers.map((tier) => {
    const fresh = tier
      .map((url) => url.trim())
      .filter((url) => url !== '' && !seen.has(url) && seen.size < MAX_TRACKERS && seen.add(url));
    return shuffle(fresh, random);
  });
  return arranged.filter((tier) => tier.length > 0);
}

/** Moves what answered to the front of its tier. */
export function promote<T>(tier: T[], answered: T): void {
  const at = tier.indexOf(answered);
  tier.splice(at, 1);
  tier.unshift(answered);
}

/** Fisher and Yates, in place. */
function shuffle<T>(items: T[], random: () => number): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [items[last], items[other]] = [items[other]!, items[last]!];
  }
  return items;
}

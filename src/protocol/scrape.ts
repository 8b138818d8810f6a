/**
 * What a scrape tells of a swarm (BEP 48 over HTTP, BEP 15 over UDP), the same for both. Only the shapes: the bytes are in
 * `tracker-http.ts` and `tracker-udp.ts`. Pure.
 */

export interface ScrapeCounts {
  readonly seeders: number;
  /** How many have ever completed; some HTTP trackers do not count them. */
  readonly completed: number | undefined;
  readonly leechers: number;
}

/** Most infohashes in one request: BEP 15 names 74 as what a packet takes; as many make a URL of 5 KiB, and servers take 8. */
export const MAX_SCRAPE = 74;

/** Infohashes in groups of at most `MAX_SCRAPE`, one per request. */
export function scrapeBatches(infohashes: readonly Uint8Array[]): Uint8Array[][] {
  const count = Math.ceil(infohashes.length / MAX_SCRAPE);
  return Array.from({ length: count }, (_, i) => infohashes.slice(i * MAX_SCRAPE, (i + 1) * MAX_SCRAPE));
}

/** `spate info --scrape`: how large a swarm is, as each tracker of a torrent counts it (BEP 48 over HTTP, BEP 15 over UDP). */
import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { clientOf } from '../discovery/announcer.js';
import { Gates } from '../discovery/gate.js';
import { HttpTrackers } from '../discovery/http-tracker.js';
import { Names } from '../discovery/names.js';
import { UdpTrackers } from '../discovery/udp-tracker.js';
import { messageOf } from '../errors.js';
import { DEFAULTS } from '../options.js';
import { VERSION } from '../package.js';
import type { Metainfo } from '../protocol/metainfo.js';
import type { ScrapeCounts } from '../protocol/scrape.js';

/** What one tracker says, or why it says nothing. */
export type Scraped = { readonly url: string } & (
  | { readonly counts: ScrapeCounts; readonly error?: never }
  | { readonly counts?: never; readonly error: string }
);

/** All trackers together. */
const TOTAL_MS = 30_000;
/** A torrent may list thousands. */
const AT_ONCE = 32;

/** Asks every tracker of every tier, once. @returns in the order of the torrent */
export async function scrapeAll({ trackers, infohash }: Metainfo, totalMs = TOTAL_MS): Promise<Scraped[]> {
  const names = new Names();
  const { lookup } = names;
  const clients = {
    http: new HttpTrackers(DEFAULTS, { userAgent: `spate/${VERSION}`, lookup, findPeers: async () => [] }),
    udp: new UdpTrackers(DEFAULTS, { random: () => randomInt(2 ** 32) / 2 ** 32, lookup }),
  };
  const late = new AbortController();
  setMaxListeners(0, late.signal);
  const timer = setTimeout(() => late.abort(new Error(`no answer within ${totalMs} ms`)), totalMs);
  const gates = new Gates(AT_ONCE);
  const ask = async (url: string): Promise<Scraped> => {
    try {
      const kind = clientOf(url);
      if (kind === undefined) throw new Error('expected an http, https or udp tracker');
      const scrape = () => clients[kind].scrape(url, [infohash], late.signal);
      const [counts] = await gates.pass('', false, late.signal, scrape);
      return counts === undefined ? { url, error: 'the tracker does not know this torrent' } : { url, counts };
    } catch (error) {
      return { url, error: messageOf(error) };
    }
  };
  try {
    return await Promise.all([...new Set(trackers.flat())].map(ask));
  } finally {
    clearTimeout(timer);
    clients.http.close();
    clients.udp.close();
    names.close();
  }
}

/** For `--json`. */
export function scrapeJson(scraped: readonly Scraped[]): Record<string, unknown>[] {
  return scraped.map(({ url, counts, error }) => ({ url, ...(error === undefined ? counts : { error }) }));
}

/** For people: a table of those that answered. */
export function scrapeLines(scraped: readonly Scraped[]): string[] {
  const rows = scraped.flatMap(({ url, counts }) => {
    if (counts === undefined) return [];
    const { seeders, leechers, completed = '-' } = counts;
    return [[seeders, leechers, completed, url]];
  });
  const line = ([seeders, leechers, completed, url]: readonly unknown[]): string =>
    `${String(seeders).padStart(7)}  ${String(leechers).padStart(8)}  ${String(completed).padStart(9)}  ${url}`;
  return rows.length === 0 ? [] : [['seeders', 'leechers', 'completed', 'tracker'], ...rows].map(line);
}

/** Debian's opentracker: one process that tells a case's clients of each other over HTTP and UDP. Not a test. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, type Lab, PortTaken } from './lab.js';

/** BEP 48. */
export interface Scrape {
  readonly seeds: number;
  readonly leechers: number;
  /** `completed` events. */
  readonly completed: number;
}

export interface Tracker {
  readonly http: string;
  readonly udp: string;
  scrape(infohash: Uint8Array): Promise<Scrape>;
  /** Waits until the tracker counts so many. */
  expect(infohash: Uint8Array, wanted: Partial<Scrape>): Promise<void>;
}

/** The whitelist, which opentracker looks up in the folder it changes its root to. */
const WHITELIST = 'whitelist';

/** Starts a tracker that serves these infohashes and no others, as Debian's build requires. */
export async function startTracker(lab: Lab, infohashes: readonly Uint8Array[]): Promise<Tracker> {
  const root = lab.newPath('tracker');
  await mkdir(root);
  await writeFile(join(root, WHITELIST), infohashes.map((hash) => `${Buffer.from(hash).toString('hex')}\n`).join(''));
  // opentracker gives up root before it reads.
  await Promise.all([chmod(lab.folder, 0o755), chmod(root, 0o755), chmod(join(root, WHITELIST), 0o644)]);
  return lab.onFreePort(async (port) => {
    const address = ['-i', '127.0.0.1', '-p', `${port}`, '-P', `${port}`];
    const client = await lab.start('opentracker', 'opentracker', [...address, '-d', root, '-w', WHITELIST]);
    const scrape = (infohash: Uint8Array): Promise<Scrape> => scrapeOnce(port, infohash);
    await lab
      .answer(client, 'a scrape', () => scrape(infohashes[0]!))
      .catch((error: unknown) => {
        throw client.end === undefined ? error : new PortTaken(`port ${port}: opentracker ended with ${client.end}`);
      });
    return {
      http: `http://127.0.0.1:${port}/announce`,
      udp: `udp://127.0.0.1:${port}/announce`,
      scrape,
      expect: (infohash, wanted) => expectScrape(lab, client, () => scrape(infohash), wanted),
    };
  });
}

async function expectScrape(
  lab: Lab,
  client: Client,
  scrape: () => Promise<Scrape>,
  wanted: Partial<Scrape>,
): Promise<void> {
  await lab.answer(client, `a scrape with ${JSON.stringify(wanted)}`, async () => {
    const found = await scrape();
    const mismatch = Object.entries(wanted).some(([name, count]) => found[name as keyof Scrape] !== count);
    if (mismatch) throw new Error(`found ${JSON.stringify(found)}`);
    return found;
  });
}

async function scrapeOnce(port: number, infohash: Uint8Array): Promise<Scrape> {
  const hash = [...infohash].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  const response = await fetch(`http://127.0.0.1:${port}/scrape?info_hash=${hash}`);
  const body = Buffer.from(await response.arrayBuffer()).toString('latin1');
  if (!response.ok) throw new Error(`expected a scrape, found status ${response.status}: ${body}`);
  // A torrent nobody has announced yet is left out.
  const count = (key: string): number => Number(new RegExp(`${key.length}:${key}i(\\d+)e`).exec(body)?.[1] ?? 0);
  return { seeds: count('complete'), leechers: count('incomplete'), completed: count('downloaded') };
}

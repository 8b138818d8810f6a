import { expect, onTestFinished, test } from 'vitest';
import { scrapeAll, scrapeJson, scrapeLines } from '../../../src/cli/scrape.js';
import { parseMetainfo } from '../../../src/protocol/metainfo.js';
import { startTracker } from '../../../src/swarm/tracker.js';
import { smallTorrent } from '../../helpers/small-torrent.js';
import { scriptedHttp, scriptedTcp } from '../../helpers/tracker-http.js';

const METAINFO = parseMetainfo(smallTorrent(1000, 16_384).bytes);

async function ending<T extends { close(): Promise<unknown> }>(opening: Promise<T>): Promise<T> {
  const opened = await opening;
  onTestFinished(async () => void (await opened.close()));
  return opened;
}

test('every tracker of every tier is asked, over HTTP and UDP, and each has its counts or its error', async () => {
  const infohash = Buffer.from(METAINFO.infohash).toString('latin1');
  const counting = await ending(
    scriptedHttp((_, response) => {
      response.end(Buffer.from(`d5:filesd20:${infohash}d8:completei5e10:downloadedi50e10:incompletei7eeee`, 'latin1'));
    }),
  );
  const { udpUrl } = await ending(startTracker());
  const ignorant = await ending(scriptedHttp((_, response) => response.end('d5:filesdee')));
  const urls = {
    http: `${counting.origin}/announce`,
    udp: udpUrl!,
    ignorant: `${ignorant.origin}/announce`,
    unscrapable: `${counting.origin}/x`,
    odd: 'wss://t.example',
  };
  const trackers = [
    [urls.http, urls.udp],
    [urls.ignorant, urls.unscrapable],
    [urls.odd, urls.http],
  ];

  const scraped = await scrapeAll({ ...METAINFO, trackers });

  expect(scrapeJson(scraped)).toEqual([
    { url: urls.http, seeders: 5, completed: 50, leechers: 7 },
    { url: urls.udp, seeders: 0, completed: 0, leechers: 0 },
    { url: urls.ignorant, error: 'the tracker does not know this torrent' },
    {
      url: urls.unscrapable,
      error: `expected "announce" in the path of a tracker to scrape, got "${urls.unscrapable}"`,
    },
    { url: urls.odd, error: 'expected an http, https or udp tracker' },
  ]);
  expect(scrapeLines(scraped)).toEqual([
    'seeders  leechers  completed  tracker',
    `      5         7         50  ${urls.http}`,
    `      0         0          0  ${urls.udp}`,
  ]);
});

test('trackers that say nothing are given up together, those that had no turn yet among them', async () => {
  const silent = await ending(scriptedTcp(() => {}));
  const trackers = [Array.from({ length: 40 }, (_, i) => `${silent.origin}/${i}/announce`)];
  const scraped = await scrapeAll({ ...METAINFO, trackers }, 50);
  expect(new Set(scraped.map(({ error }) => error))).toEqual(new Set(['no answer within 50 ms']));
  expect(scrapeLines(scraped)).toEqual([]);
});

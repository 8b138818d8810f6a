// Hundreds of torrents in one session, from one peer that has them all, with a tracker.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { benchTorrent } from '../../src/bench/payload-files.js';
import type { Download } from '../../src/download.js';
import { Pattern } from '../../src/swarm/pattern.js';
import { servePattern } from '../../src/swarm/pattern-server.js';
import { startTracker } from '../../src/swarm/tracker.js';
import { emptyFolder, ending, openSession } from '../helpers/session-harness.js';

const BLOCK = 16_384;
const COUNT = 200;
const AT_ONCE = 25;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

describe('a session', () => {
  it('holds nothing of downloads that have ended, and their trackers have been told all', async () => {
    const pattern = new Pattern('many', BLOCK);
    const torrents = Array.from({ length: COUNT }, (_, n) => benchTorrent(pattern, `t${n}`, 2 * BLOCK, 1, 2 * n));
    const { ports } = await ending(servePattern({ host: '127.0.0.1', ports: 1, pattern, torrents }));
    const tracker = await ending(startTracker());
    const [out, stateFolder] = [await emptyFolder(), await emptyFolder()];
    const session = await openSession({}, { stateFolder });
    const peers = ports.map((port) => ({ host: '127.0.0.1', port }));
    const downloads: WeakRef<Download>[] = [];
    const waiting = torrents.values();
    const lane = async (): Promise<void> => {
      for (const { bytes } of waiting) {
        const download = session.add(bytes, { out, peers, trackers: [tracker.httpUrl] });
        downloads.push(new WeakRef(download));
        await download.ended;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    for (const { infohash } of torrents) {
      expect(tracker.counts(infohash)).toMatchObject({ seeders: 0, leechers: 0, completed: 1 });
    }
    await expect
      .poll(() => {
        collectGarbage();
        return downloads.filter((download) => download.deref() !== undefined).length;
      })
      .toBe(0);
  });
});

// The built `spate get` downloads from Debian's aria2, libtorrent and transmission, introduced by Debian's opentracker. Everything is
// on loopback. transmission ignores peers there that a tracker names: our side dials it.
import { describe, expect, it } from 'vitest';
import { aria2 } from './aria2.js';
import { inLab } from './lab.js';
import { libtorrent } from './libtorrent.js';
import { expectCopy, makeFilePayload, makeFolderPayload, type Payload } from './payload.js';
import { spateGet } from './spate.js';
import { ALL, suiteOf } from './suite.js';
import { type ForeignClient, newFolder } from './task.js';
import { transmission } from './transmission.js';

type Scheme = 'http' | 'udp';

/** The payloads and a copy. */
const ROOM_BYTES = 1 * 2 ** 30;

const { payloads, trackerIn } = suiteOf({ file: makeFilePayload, folder: makeFolderPayload }, ROOM_BYTES);

describe('spate get', () => {
  async function downloadsFrom(client: ForeignClient, payload: Payload, scheme: Scheme): Promise<void> {
    await inLab(async (lab) => {
      const tracker = await trackerIn(lab);
      const torrent = payload.torrent(tracker[scheme]);
      const out = await newFolder(lab, 'out');
      await client.seed({ lab, torrent, folder: payload.root });
      await tracker.expect(payload.infohash, { seeds: 1 });

      const outcome = await spateGet({ lab, torrent, folder: out });

      expect(outcome).toMatchObject({ state: 'complete', downloaded: payload.length });
      await expectCopy(payload, out);
      // It has told the tracker of its success, and that it has left.
      await tracker.expect(payload.infohash, { seeds: 1, leechers: 0, completed: 1 });
    });
  }

  it('downloads a file from aria2, found at an HTTP tracker', () => downloadsFrom(aria2, payloads.file, 'http'));

  it('downloads a folder from libtorrent, found at a UDP tracker', () =>
    downloadsFrom(libtorrent, payloads.folder, 'udp'));

  it('downloads a folder from transmission, known by its address alone', () =>
    inLab(async (lab) => {
      const { folder } = payloads;
      const torrent = folder.torrent();
      const out = await newFolder(lab, 'out');
      const address = await transmission.seed({ lab, torrent, folder: folder.root });

      const outcome = await spateGet({ lab, torrent, folder: out }, '--peer', address!);

      expect(outcome).toMatchObject({ state: 'complete', downloaded: folder.length, peers: 1 });
      await expectCopy(folder, out);
    }));

  it('downloads a file from all three at once, found at the tracker of --tracker, with little memory', () =>
    inLab(async (lab) => {
      const { file } = payloads;
      const tracker = await trackerIn(lab);
      const out = await newFolder(lab, 'out');
      for (const client of ALL) await client.seed({ lab, torrent: file.torrent(tracker.http), folder: file.root });
      await tracker.expect(file.infohash, { seeds: ALL.length });

      const options = ['--tracker', tracker.udp, '--memory', '16MiB'];
      const outcome = await spateGet({ lab, torrent: file.torrent(), folder: out }, ...options);

      expect(outcome).toMatchObject({ state: 'complete', downloaded: file.length });
      // Whoever is slow to accept may be too late.
      expect(outcome.peers).toBeGreaterThan(1);
      await expectCopy(file, out);
      await tracker.expect(file.infohash, { seeds: ALL.length, leechers: 0, completed: 1 });
    }));
});

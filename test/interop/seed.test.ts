// The built `spate seed` gives to Debian's aria2, libtorrent and transmission, introduced by Debian's opentracker. Everything is on
// loopback. transmission ignores peers there that a tracker names: our side dials it.
import { describe, expect, it } from 'vitest';
import { aria2 } from './aria2.js';
import { inLab } from './lab.js';
import { libtorrent } from './libtorrent.js';
import { makeFilePayload, makeFolderPayload, type Payload } from './payload.js';
import { type Outcome, type SpateStay, spateSeed } from './spate.js';
import { ALL, leechesCopy, suiteOf } from './suite.js';
import type { ForeignClient } from './task.js';
import { transmission } from './transmission.js';

type Scheme = 'http' | 'udp';

/** The payloads and, in one case, three copies. */
const ROOM_BYTES = 1.5 * 2 ** 30;

const { payloads, trackerIn } = suiteOf({ file: makeFilePayload, folder: makeFolderPayload }, ROOM_BYTES);

describe('spate seed', () => {
  /** The clients ask the tracker when our seed is there, or before, so that our seed is the one that dials. */
  async function seedsTo(
    clients: readonly ForeignClient[],
    payload: Payload,
    scheme: Scheme,
    first: 'seed' | 'leechers',
  ): Promise<Outcome> {
    return inLab(async (lab) => {
      const tracker = await trackerIn(lab);
      const torrent = payload.torrent(tracker[scheme]);
      const startSeed = (): Promise<SpateStay> => spateSeed({ lab, torrent, folder: payload.root });
      const leechAll = async (): Promise<void> => {
        await Promise.all(clients.map((client) => leechesCopy(client, payload, { lab, torrent })));
      };
      if (first === 'seed') {
        const seed = await startSeed();
        await leechAll();
        return seed.leave();
      }
      const everybodyIsThere = (): Promise<void> => tracker.expect(payload.infohash, { leechers: clients.length });
      const [, seed] = await Promise.all([leechAll(), everybodyIsThere().then(startSeed)]);
      return seed.leave();
    });
  }

  it('gives a folder to aria2, which finds it at an HTTP tracker', async () => {
    const { folder } = payloads;
    const { uploaded } = await seedsTo([aria2], folder, 'http', 'seed');
    expect(uploaded).toBeGreaterThanOrEqual(folder.length);
  });

  it('gives a file to libtorrent, which finds it at a UDP tracker', async () => {
    const { file } = payloads;
    const { uploaded } = await seedsTo([libtorrent], file, 'udp', 'seed');
    expect(uploaded).toBeGreaterThanOrEqual(file.length);
  });

  it('gives a folder to transmission, which it has to dial, named by a UDP tracker', async () => {
    const { folder } = payloads;
    const { uploaded } = await seedsTo([transmission], folder, 'udp', 'leechers');
    expect(uploaded).toBeGreaterThanOrEqual(folder.length);
  });

  it('gives a file to all three at once, which it has to dial, named by an HTTP tracker', async () => {
    const { file } = payloads;
    const { uploaded, peers } = await seedsTo(ALL, file, 'http', 'leechers');
    expect(uploaded).toBeGreaterThanOrEqual(file.length);
    expect(peers).toBeGreaterThanOrEqual(ALL.length);
  });
});

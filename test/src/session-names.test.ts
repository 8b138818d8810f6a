// Sessions whose trackers and peers have names that lead nowhere, with a DNS server of their own.
import { expect, it } from 'vitest';
import type { Lookup } from '../../src/discovery/lookup.js';
import { Names } from '../../src/discovery/names.js';
import { dnsServer } from '../helpers/dns-server.js';
import { emptyFolder, ending, openSession } from '../helpers/session-harness.js';
import { smallTorrent } from '../helpers/small-torrent.js';
import { scriptedHttp } from '../helpers/tracker-http.js';

/** A session that knows one tracker by name; no other name is ever found. @returns the tracker, and what was asked of the system */
async function world(elsewhere: 'silence' | undefined) {
  let onAnnounce = (): void => {};
  const announced = new Promise<void>((resolve) => {
    onAnnounce = resolve;
  });
  const tracker = await ending(
    scriptedHttp((_, response) => {
      onAnnounce();
      response.end('d8:intervali1800e5:peers0:e');
    }),
  );
  const dns = await dnsServer((name) => (name === 'good.example' ? '127.0.0.1' : elsewhere));
  const system: string[] = [];
  const endless: Lookup = (name) => {
    system.push(name);
    return new Promise(() => {});
  };
  const names = new Names({ servers: dns.servers, system: endless, readHosts: async () => '' });
  const session = await openSession({}, { names });
  /** A torrent of its own for each tracker. */
  const add = async (announce: string, seed: number): Promise<void> => {
    const torrent = smallTorrent(1000, 16_384, { announce, seed, name: `${seed}.bin` });
    session.add(torrent.bytes, { out: await emptyFolder() }).done.catch(() => {});
  };
  return { session, dns, system, add, announced, goodUrl: `http://good.example:${tracker.port}/announce` };
}

it('a tracker that names its peers by names nobody answers for delays no other tracker, and not the end', async () => {
  const { session, dns, system, add, announced, goodUrl } = await world('silence');
  const list = Array.from({ length: 16 }, (_, i) => `n${i}.example`);
  const hostile = await ending(
    scriptedHttp((_, response) => {
      const peers = list.map((host) => `d2:ip${host.length}:${host}4:porti1ee`);
      response.end(`d8:intervali1800e5:peersl${peers.join('')}ee`);
    }),
  );
  await add(`${hostile.origin}/announce`, 1);
  await expect.poll(() => dns.asked.length).toBe(list.length);
  await add(goodUrl, 2);
  await announced;
  await session.close();
  expect(system).toEqual([]);
});

it('trackers whose look-up by the system never ends delay no other tracker, and not the end', async () => {
  const { session, system, add, announced, goodUrl } = await world(undefined);
  await add('http://one.local/announce', 1);
  await add('udp://two.local:1/announce', 2);
  await expect.poll(() => system.length).toBe(1);
  await add(goodUrl, 3);
  await announced;
  await session.close();
  expect(system.length).toBe(1);
});

// Sessions behind a gateway: a scripted one on loopback, which a session would not ask by itself.
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/discovery/clock.js';
import { PcpMapper } from '../../src/discovery/port-mapping/pcp.js';
import { type GatewaySettings, gatewayMapping, PortMapping } from '../../src/discovery/port-mapping/port-mapping.js';
import type { PeerAddress } from '../../src/protocol/address.js';
import type { Session } from '../../src/session.js';
import { pcpAnswer, udpGateway } from '../helpers/nat-gateway.js';
import { ScriptedSeed } from '../helpers/scripted-peer.js';
import { emptyFolder, ending, openSession } from '../helpers/session-harness.js';
import { smallTorrent } from '../helpers/small-torrent.js';
import { scriptedHttp } from '../helpers/tracker-http.js';

const EXTERNAL_PORT = 7777;

/** A mapping as the session's own, through this gateway. */
const through =
  (at: PeerAddress) =>
  ({ options, random, onDetail, bind }: GatewaySettings): PortMapping => {
    const mapper = new PcpMapper(options, { gateway: async () => at, clock: systemClock, random, bind });
    return new PortMapping(options, { mappers: [mapper], clock: systemClock, onDetail });
  };

/** Has a session seed something. @returns the port that it announces */
async function announcedBy(session: Session): Promise<number> {
  let onAnnounce = (_target: string): void => {};
  const announced = new Promise<string>((resolve) => {
    onAnnounce = resolve;
  });
  const tracker = await ending(
    scriptedHttp((request, response) => {
      onAnnounce(request.url!);
      response.end('d8:intervali1800e5:peers0:e');
    }),
  );
  const torrent = smallTorrent(1000, 16_384, { announce: `${tracker.origin}/announce` });
  const out = await emptyFolder();
  await writeFile(join(out, torrent.name), torrent.payload);
  await session.add(torrent.bytes, { out, fetch: false, seed: true }).done;
  return Number(/[?&]port=(\d+)/.exec(await announced)![1]);
}

it('a session has its port mapped, announces the one outside, and takes the mapping back at its end', async () => {
  const { at, asked } = await udpGateway((bytes) => pcpAnswer(bytes, EXTERNAL_PORT));
  let onLine = (_line: string): void => {};
  const line = new Promise<string>((resolve) => {
    onLine = resolve;
  });
  const session = await openSession({}, { nat: true, createMapping: through(at), onNat: onLine });

  expect(await line).toBe(`port ${session.port} is reached at port ${EXTERNAL_PORT} of the gateway (PCP)`);
  expect(asked.map(lifetimeOf)).not.toContain(0);
  expect(asked[0]!.readUInt16BE(40)).toBe(session.port);
  expect(await announcedBy(session)).toBe(EXTERNAL_PORT);

  await session.close();
  expect(lifetimeOf(asked.at(-1)!)).toBe(0);
  expect(asked.at(-1)!.readUInt16BE(40)).toBe(session.port);
});

/** RFC 6887 §7.1 */
const lifetimeOf = (request: Buffer): number => request.readUInt32BE(4);

it('a download completes while the gateway hangs, and the session ends all the same', async () => {
  const { at, asked, socket } = await udpGateway(() => undefined);
  const lines: string[] = [];
  const session = await openSession(
    { natResendMs: 10_000, natCloseMs: 50 },
    { nat: true, createMapping: through(at), onNat: (line) => lines.push(line) },
  );
  if (asked.length === 0) await once(socket, 'message');
  const torrent = smallTorrent(100_000, 16_384);
  const seed = await ending(ScriptedSeed.listen(torrent));
  const out = await emptyFolder();
  await session.add(torrent.bytes, { out, peers: [{ host: '127.0.0.1', port: seed.port }] }).done;
  expect(await readFile(join(out, torrent.name))).toEqual(torrent.payload);
  await session.close();
  expect(lines).toEqual([]);
});

it('a session whose port the gateway does not map announces its own', async () => {
  const { at } = await udpGateway((bytes) => {
    const answer = pcpAnswer(bytes, 0);
    // NOT_AUTHORIZED
    answer[3] = 2;
    return answer;
  });
  let onLine = (_line: string): void => {};
  const line = new Promise<string>((resolve) => {
    onLine = resolve;
  });
  const session = await openSession({}, { nat: true, createMapping: through(at), onNat: onLine });
  expect(await line).toContain('is not mapped: PCP: the gateway refused');
  expect(await announcedBy(session)).toBe(session.port);
});

it.each(['127.0.0.1', '::ffff:127.0.0.1'])('a session bound to %s asks no gateway', async (bind) => {
  const made: unknown[] = [];
  const createMapping: typeof gatewayMapping = (settings) => {
    const mapping = gatewayMapping(settings);
    made.push(mapping);
    return mapping;
  };
  const session = await openSession({}, { bind, nat: true, createMapping });
  expect(made).toEqual([undefined]);
  expect(await announcedBy(session)).toBe(session.port);
});

it('a session that is not told to asks no gateway', async () => {
  const made: unknown[] = [];
  const session = await openSession({}, { createMapping: (settings) => void made.push(settings) });
  expect(await announcedBy(session)).toBe(session.port);
  expect(made).toEqual([]);
});

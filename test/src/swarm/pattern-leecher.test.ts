import { expect, onTestFinished, test } from 'vitest';
import { Pattern } from '../../../src/swarm/pattern.js';
import { leech } from '../../../src/swarm/pattern-leecher.js';
import { servePattern } from '../../../src/swarm/pattern-server.js';
import {
  block,
  FAST_AND_EXTENDED,
  handshakeOf,
  have,
  message,
  type RawPeer,
  ScriptedPeer,
  UNCHOKE,
} from '../../helpers/scripted-peer.js';

const BLOCK = 16_384;
const pattern = new Pattern('seed', 2 * BLOCK);
/** Five pieces, the last one of half a block. */
const torrent = { infohash: Buffer.alloc(20, 0xab), first: 5, length: 8 * BLOCK + BLOCK / 2 };
const host = '127.0.0.1';

async function served(ports: number, corrupt = 0) {
  const server = await servePattern({ host, ports, pattern, torrents: [torrent], corrupt });
  onTestFinished(() => server.close());
  return server.ports.map((port) => ({ host, port }));
}

async function scripted(script: (peer: RawPeer) => Promise<void>) {
  const peer = await ScriptedPeer.listen(script);
  onTestFinished(() => peer.close());
  return [{ host, port: peer.port }];
}

const HAVE_NONE = message(15);
const HELLO = handshakeOf(torrent.infohash, undefined, FAST_AND_EXTENDED);

test('fetches each piece from one of its peers, and tells how much that was', async () => {
  expect(await leech({ peers: await served(3), pattern, torrent, compare: true })).toBe(torrent.length);
});

test('needs no more peers than there are pieces', async () => {
  expect(await leech({ peers: await served(7), pattern, torrent, compare: true })).toBe(torrent.length);
});

test('asks for a piece as soon as it is there', async () => {
  const asked: string[] = [];
  const peers = await scripted(async (peer) => {
    await peer.bytes(68);
    peer.send(HELLO, HAVE_NONE, UNCHOKE);
    for (const piece of [3, 0, 4, 1, 2]) {
      peer.send(have(piece));
      for (let at = 0; at < Math.min(2 * BLOCK, torrent.length - piece * 2 * BLOCK); at += BLOCK) {
        const { body } = await peer.nextOf(6);
        const [index, begin, length] = [body.readUInt32BE(0), body.readUInt32BE(4), body.readUInt32BE(8)];
        asked.push(`${index} ${begin} ${length}`);
        peer.send(block(index, begin, Buffer.from(pattern.block(torrent.first + index, begin / BLOCK, length))));
      }
    }
  });
  expect(await leech({ peers, pattern, torrent, compare: true })).toBe(torrent.length);
  expect(asked).toEqual([
    ...['3 0 16384', '3 16384 16384', '0 0 16384', '0 16384 16384', '4 0 8192'],
    ...['1 0 16384', '1 16384 16384', '2 0 16384', '2 16384 16384'],
  ]);
});

test('fails at the first wrong byte, if it is to compare', async () => {
  await expect(leech({ peers: await served(1, 1), pattern, torrent, compare: true })).rejects.toThrow(
    /^a block of piece \d is wrong$/,
  );
  expect(await leech({ peers: await served(1, 1), pattern, torrent, compare: false })).toBe(torrent.length);
});

test.each<[string, (peer: RawPeer) => Promise<void>]>([
  ['a peer hung up with 139264 bytes to go', async (peer) => void peer.socket.end()],
  [
    'a peer choked a bench',
    async (peer) => {
      await peer.bytes(68);
      peer.send(HELLO, HAVE_NONE, message(0));
    },
  ],
])('fails with "%s"', async (expected, script) => {
  await expect(leech({ peers: await scripted(script), pattern, torrent, compare: true })).rejects.toThrow(expected);
});

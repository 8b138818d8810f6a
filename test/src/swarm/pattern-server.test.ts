import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Pattern } from '../../../src/swarm/pattern.js';
import { servePattern } from '../../../src/swarm/pattern-server.js';

const infohash = new Uint8Array(20).fill(0xab);
const HANDSHAKE = Buffer.concat([
  Buffer.from('\x13BitTorrent protocol'),
  Buffer.alloc(8),
  infohash,
  Buffer.from('-XX0000-abcdefghijkl'),
]);
/** Piece 1, begin 16384, length 16384. */
const REQUEST = Buffer.from('0000000d06000000010000400000004000', 'hex');

/** Everything that comes until so many bytes are there or the peer hangs up. */
async function ask(port: number, bytes: Uint8Array, length: number): Promise<Buffer> {
  const socket = connect({ host: '127.0.0.1', port });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  socket.write(bytes);
  let got = Buffer.alloc(0);
  for await (const chunk of socket) {
    got = Buffer.concat([got, chunk]);
    if (got.length >= length) break;
  }
  return got;
}

async function serve(corrupt: number) {
  const pattern = new Pattern('seed', 32_768);
  const torrent = { infohash, first: 5, length: 65_536 };
  const server = await servePattern({ host: '127.0.0.1', ports: 1, pattern, torrents: [torrent], corrupt });
  onTestFinished(() => server.close());
  return { pattern, port: server.ports[0]! };
}

test('answers a plain peer with a bitfield, an unchoke and the block it asks for', async () => {
  const { pattern, port } = await serve(0);
  const got = await ask(port, Buffer.concat([HANDSHAKE, REQUEST]), 68 + 6 + 5 + 13 + 16_384);
  expect(got.toString('hex', 28, 48)).toBe('ab'.repeat(20));
  expect(got.toString('hex', 68, 92)).toBe('0000000205c0' + '0000000101' + '00004009070000000100004000');
  expect(Buffer.compare(got.subarray(92), pattern.block(6, 1, 16_384))).toBe(0);
});

test('gives wrong bytes when it is to lie', async () => {
  const { pattern, port } = await serve(1);
  const got = await ask(port, Buffer.concat([HANDSHAKE, REQUEST]), 92 + 16_384);
  expect(got.length).toBe(92 + 16_384);
  expect(Buffer.compare(got.subarray(92), pattern.block(6, 1, 16_384))).not.toBe(0);
});

test.each([
  ['a torrent it does not have', Buffer.concat([HANDSHAKE.subarray(0, 28), Buffer.alloc(40)]), 0],
  ['a piece outside of it', Buffer.concat([HANDSHAKE, Buffer.from('0000000d06000000020000000000004000', 'hex')]), 79],
  ['an endless message', Buffer.concat([HANDSHAKE, Buffer.from('7fffffff', 'hex')]), 79],
])('hangs up on %s', async (_, bytes, most) => {
  const { port } = await serve(0);
  expect((await ask(port, bytes, 1_000_000)).length).toBeLessThanOrEqual(most);
});

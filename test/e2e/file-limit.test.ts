// Few descriptors: what a machine's defaults, a container or a shell leave to a process.
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { parseMetainfo } from '../../src/protocol/metainfo.js';
import { firstDifference, type PayloadShape } from '../../src/swarm/payload.js';
import { startSpate } from '../helpers/cli-run.js';
import { testSwarm } from '../helpers/cli-swarm.js';

/** More files than descriptors. */
const MANY: PayloadShape = {
  seed: 'many',
  name: 'many',
  length: 400 * 10_000,
  files: Array.from({ length: 400 }, (_, n) => ({ path: [`${n}.bin`], length: 10_000 })),
};
const LIMIT = { fileLimit: 256 };
/** More than the process may have sockets. */
const CROWD = 300;
const AT_ONCE = 10;

/** A peer that shakes hands and then sits there, as long as it is let; resolves when it has been answered or turned away. */
async function idler(port: number, infohash: Uint8Array, n: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => {
    socket.destroy();
  });
  const peerId = `-XX0001-${String(n).padStart(12, '0')}`;
  socket.write(Buffer.concat([Buffer.from('\x13BitTorrent protocol'), Buffer.alloc(8), infohash, Buffer.from(peerId)]));
  await new Promise<void>((resolve) => {
    socket.once('data', () => resolve());
    socket.once('close', () => resolve());
  });
}

test.runIf(process.platform === 'linux')(
  '256 open files are enough for many files and a crowd at the door, giving and taking',
  async () => {
    const swarm = await testSwarm(MANY, () => []);
    const { infohash } = parseMetainfo(await readFile(swarm.torrent));
    const local = ['--bind', '127.0.0.1', '--workers', '2', '--peers', '1000', '-v'];
    const seed = startSpate(['seed', swarm.torrent, swarm.seeds, ...local], LIMIT);
    await seed.said('listening on port');
    const portOf = (text: string): number => Number(/listening on port (\d+)/.exec(text)![1]);
    const seedPort = portOf(seed.text());
    await seed.said('seeding many');

    const peer = ['--peer', `127.0.0.1:${seedPort}`, '--max-down', '1MiB'];
    const get = startSpate(['get', swarm.torrent, '-o', swarm.downloads, ...local, ...peer], LIMIT);
    await get.said(': connected');
    await seed.said(': connected');
    const doors = [seedPort, portOf(get.text())];
    for (let n = 0; n < CROWD; n += AT_ONCE) {
      const some = Array.from({ length: AT_ONCE }, (_, i) => n + i);
      await Promise.all(doors.flatMap((port) => some.map((each) => idler(port, infohash, each))));
    }

    const { code, stderr } = await get.ended;
    expect(stderr).toContain('disconnected: full');
    expect(code).toBe(0);
    expect(await firstDifference(swarm.shape, swarm.downloads)).toBeUndefined();
    seed.child.kill('SIGTERM');
    expect((await seed.ended).code).toBe(143);
  },
  60_000,
);

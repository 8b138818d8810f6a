// Where a group listens and whom it reaches over either address family. To listen everywhere is the point here, so these tests
// do, on a free port and for a moment; they connect over loopback alone.
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type FromGroup, post } from '../../src/messages.js';
import { resolveOptions } from '../../src/options.js';
import { SharedMemory } from '../../src/torrent/shared-memory.js';
import { runGroup } from '../../workers/group.js';
import { itWithIpv6 } from '../helpers/ipv6.js';
import { fullBitfield, handshakeOf, RawPeer } from '../helpers/scripted-peer.js';
import { smallTorrent } from '../helpers/small-torrent.js';

/** Where listening fails, and with which code. */
const broken = vi.hoisted(() => new Map<string, string>());

vi.mock('node:net', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:net')>();
  const createServer = (onConnection: (socket: Socket) => void): net.Server => {
    const server = original.createServer(onConnection);
    const listen = server.listen.bind(server) as (options: net.ListenOptions, onListening?: () => void) => net.Server;
    server.listen = ((options: net.ListenOptions, onListening?: () => void) => {
      const code = broken.get(options.host ?? '');
      if (code === undefined) return listen(options, onListening);
      process.nextTick(() => server.emit('error', Object.assign(new Error(`listen ${code}`), { code })));
      return server;
    }) as typeof server.listen;
    return server;
  };
  return { ...original, createServer };
});

const torrent = smallTorrent(1000, 1000);
const OUR_ID = new TextEncoder().encode('-SP0000-ourselves123');

const closers: (() => unknown)[] = [];
afterEach(async () => {
  broken.clear();
  for (const close of closers.splice(0).reverse()) await close();
});

/** A group as a session without `--bind` starts it, with one torrent. */
class Group {
  readonly #port;
  readonly #inbox: FromGroup[] = [];
  #wake = (): void => {};

  constructor(bind?: string) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.on('message', (received: FromGroup) => {
      this.#inbox.push(received);
      this.#wake();
    });
    const options = resolveOptions({ tickMs: 10 });
    const stopped = runGroup({
      port: port2,
      group: 0,
      client: 'spate test',
      options,
      ...(bind === undefined ? {} : { bind }),
    });
    closers.push(async () => {
      post(port1, { type: 'stop' });
      await stopped;
      port1.close();
    });
    post(port1, { type: 'addTorrent', torrent: 1, infohash: torrent.infohash, peerId: OUR_ID, port: 1 });
    post(port1, {
      type: 'metainfo',
      torrent: 1,
      geometry: { length: 1000, pieceLength: 1000 },
      shared: SharedMemory.create(torrent.hashes, 1).buffer,
      private: false,
      metadataSize: 0,
      root: '/nonexistent',
      files: [{ path: [torrent.name], length: 1000, offset: 0, pad: false }],
      have: Buffer.alloc(1),
      wanted: fullBitfield(1),
    });
  }

  /** @returns the port, or why there is none */
  async listen(port = 0): Promise<number | string> {
    post(this.#port, { type: 'listen', port });
    const answer = await this.next('listening', 'listenFailed');
    return answer.type === 'listening' ? answer.port : answer.message;
  }

  connect(host: string, port: number): void {
    post(this.#port, { type: 'connect', torrent: 1, host, port, encrypted: false });
  }

  async next<T extends FromGroup['type']>(...types: T[]): Promise<Extract<FromGroup, { type: T }>> {
    for (;;) {
      const at = this.#inbox.findIndex(({ type }) => types.includes(type as T));
      if (at !== -1) return this.#inbox.splice(at, 1)[0] as Extract<FromGroup, { type: T }>;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function dial(host: string, port: number): Promise<RawPeer> {
  const socket = net.connect(port, host);
  closers.push(() => socket.destroy());
  await once(socket, 'connect');
  return new RawPeer(socket);
}

async function listener(host: string): Promise<{ readonly server: net.Server; readonly port: number }> {
  const server = net.createServer();
  server.listen({ port: 0, host });
  await once(server, 'listening');
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  return { server, port: (server.address() as AddressInfo).port };
}

describe('a group that listens', () => {
  itWithIpv6('without a local address takes peers of both families, and knows IPv4 peers as such', async () => {
    const group = new Group();
    const port = (await group.listen()) as number;
    for (const host of ['127.0.0.1', '::1']) {
      const peer = await dial(host, port);
      peer.send(handshakeOf(torrent.infohash, `-XX0001-${host.padEnd(12, '-')}`));
      expect(await group.next('connected')).toMatchObject({ host, incoming: true, port: peer.socket.localPort });
    }
  });

  it.each(['EAFNOSUPPORT', 'EADDRNOTAVAIL'])('takes IPv4 peers where the system has no IPv6 (%s)', async (code) => {
    broken.set('::', code);
    const group = new Group();
    const peer = await dial('127.0.0.1', (await group.listen()) as number);
    peer.send(handshakeOf(torrent.infohash));
    expect(await group.next('connected')).toMatchObject({ host: '127.0.0.1', incoming: true });
  });

  it('says why it can listen nowhere', async () => {
    broken.set('::', 'EAFNOSUPPORT').set('0.0.0.0', 'EACCES');
    expect(await new Group().listen(1)).toBe('listen EACCES');
  });

  itWithIpv6('does not settle for IPv4 when the port is taken over IPv6', async () => {
    const { port } = await listener('::1');
    expect(await new Group().listen(port)).toMatch(/EADDRINUSE/);
  });

  itWithIpv6('with a local address takes peers of its family alone', async () => {
    const { group, port } = await besideAnother();
    const peer = await dial('::1', port);
    peer.send(handshakeOf(torrent.infohash));
    expect(await group.next('connected')).toMatchObject({ host: '::1' });
  });

  it('with a local address that is gone says so, and listens nowhere else', async () => {
    broken.set('::1', 'EADDRNOTAVAIL');
    expect(await new Group('::1').listen()).toBe('listen EADDRNOTAVAIL');
  });
});

describe('a group that dials', () => {
  itWithIpv6('reaches peers of both families', async () => {
    const group = new Group();
    for (const host of ['127.0.0.1', '::1']) {
      const { server, port } = await listener(host);
      server.once('connection', (socket) => {
        closers.push(() => socket.destroy());
        socket.write(handshakeOf(torrent.infohash, `-XX0001-${host.padEnd(12, '-')}`));
      });
      group.connect(host, port);
      expect(await group.next('connected')).toMatchObject({ host, port, incoming: false });
    }
  });
});

/** A group on a port that somebody else has over IPv4, who would have kept one from it that listened there, too. */
async function besideAnother(): Promise<{ group: Group; port: number }> {
  for (;;) {
    const { port } = await listener('127.0.0.1');
    const group = new Group('::1');
    const result = await group.listen(port);
    if (result === port) return { group, port };
    // Taken over IPv6 by a test beside this one.
    expect(result).toMatch(/EADDRINUSE: address already in use ::1/);
  }
}

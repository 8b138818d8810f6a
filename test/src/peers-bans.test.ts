// The swarm side of main, with what it sends caught: bans by address, and who loses a claim to a peer id.
import { describe, expect, it } from 'vitest';
import type { ToGroup } from '../../src/messages.js';
import { resolveOptions } from '../../src/options.js';
import { Peers } from '../../src/peers.js';
import { Census } from '../../src/torrent/census.js';
import { ExternalAddress } from '../../src/torrent/external-address.js';

const idOf = (name: string): Uint8Array => new TextEncoder().encode(name.padEnd(20, '-'));

class World {
  readonly drops: [number, readonly number[], string][] = [];
  readonly connects: string[] = [];
  readonly warnings: string[] = [];
  readonly happened: string[] = [];
  readonly peers: Peers;
  #count = 0;

  constructor() {
    this.peers = new Peers(
      {
        torrent: 1,
        ownId: idOf('m'),
        encryption: 'off',
        families: [4, 6],
        port: 6881,
        external: new ExternalAddress(),
        census: new Census(1_000),
        options: resolveOptions({ silentMs: 1_000 }),
        send: (group, message: ToGroup) => {
          if (message.type === 'drop') this.drops.push([group, message.peers, message.reason]);
          if (message.type === 'connect') this.connects.push(message.host);
        },
      },
      {
        onCanDial: () => {},
        onDial: () => {},
        onPeer: (what, { host }) => this.happened.push(`${host} ${what}`),
        onWarning: (message) => this.warnings.push(message),
      },
    );
  }

  /** @returns its number */
  accept(host: string, { group = 0, name = `p${this.#count}`, now = 0 } = {}): number {
    const peer = ++this.#count;
    const address = { host, port: 40_000 + peer };
    const peerId = idOf(name);
    this.peers.onConnected(group, { type: 'connected', torrent: 1, peer, ...address, peerId, incoming: true }, now);
    return peer;
  }
}

describe('a host that sent bad data', () => {
  it('loses all its connections, in whatever group, and is told of once', () => {
    const world = new World();
    const [a, b] = [world.accept('192.0.2.1'), world.accept('192.0.2.1', { group: 1 })];
    world.accept('192.0.2.2');
    world.peers.ban('192.0.2.1');
    world.peers.ban('192.0.2.1');
    expect(world.drops).toEqual([
      [0, [a], 'banned'],
      [1, [b], 'banned'],
    ]);
    expect(world.warnings).toEqual(['peer 192.0.2.1 is banned: it sent bad data']);
  });

  it('is neither accepted nor dialled again, at any port and in any spelling, as long as the download lasts', () => {
    const world = new World();
    world.peers.add([{ host: '192.0.2.1', port: 1 }], 0);
    world.peers.ban('192.0.2.1');
    world.peers.add([{ host: '192.0.2.1', port: 2 }], 0);
    world.peers.dial([0], 10, 1e9);
    expect(world.connects).toEqual([]);
    const refused = [world.accept('192.0.2.1'), world.accept('::ffff:192.0.2.1', { now: 1e9 })];
    expect(world.drops).toEqual(refused.map((peer) => [0, [peer], 'banned']));
    expect([world.happened, world.peers.connected]).toEqual([[], 0]);
  });

  it('is known by its connection after that has gone', () => {
    const world = new World();
    const peer = world.accept('192.0.2.1');
    const gone = { type: 'disconnected', torrent: 1, reason: 'closed', downloaded: 0, uploaded: 0 } as const;
    world.peers.onDisconnected(0, { ...gone, peer }, 0);
    expect([world.peers.hostOf(0, peer), world.peers.hostOf(1, peer)]).toEqual(['192.0.2.1', undefined]);
  });
});

describe('two that claim one peer id', () => {
  it('count as one: who has worked of late stays, and the other was never there', () => {
    const world = new World();
    const owner = world.accept('192.0.2.1', { name: 'z' });
    world.peers.onWorking(0, [owner], 900);
    const thief = world.accept('192.0.2.2', { name: 'z', group: 1, now: 1_500 });
    expect(world.drops).toEqual([[1, [thief], 'duplicate']]);
    expect(world.happened).toEqual(['192.0.2.1 connected']);
  });

  it('change places when the first one is silent', () => {
    const world = new World();
    const thief = world.accept('192.0.2.1', { name: 'z' });
    world.accept('192.0.2.2', { name: 'z', group: 1, now: 1_000 });
    expect(world.drops).toEqual([[0, [thief], 'duplicate']]);
    expect(world.happened).toEqual(['192.0.2.1 connected', '192.0.2.2 connected']);
  });
});

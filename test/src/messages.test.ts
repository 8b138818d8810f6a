import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { type FromGroup, type Outbox, post, type ToGroup } from '../../src/messages.js';
import { Geometry } from '../../src/torrent/geometry.js';

const geometry = new Geometry({ length: 1_000, pieceLength: 100 });
const piece = geometry.pieceIndex(7)!;
const [buffer, another] = [new ArrayBuffer(16), new ArrayBuffer(32)];
const infohash = new Uint8Array(20);
const peer = { torrent: 1, host: '192.0.2.1', port: 6881 };

const BLOCKS = { present: new Uint8Array(3), givers: Uint32Array.of(0, 3, 3) };
const digests = new Uint8Array(60);

const LOAD = { peers: 1, bytesPerSecond: 2, waiting: 0.5 };

/** One message of every type, and the buffers it gives away. */
const TO_GROUP = {
  batch: [
    {
      type: 'batch',
      messages: [
        { type: 'recall', torrent: 1, lease: 2 },
        { type: 'share', torrent: 1, lease: 2, buffer },
        { type: 'batch', messages: [{ type: 'share', torrent: 1, lease: 3, buffer: another }] },
      ],
    },
    [buffer, another],
  ],
  listen: [{ type: 'listen', port: 0 }, []],
  addTorrent: [{ type: 'addTorrent', torrent: 1, infohash, peerId: infohash, port: 6881 }, []],
  metainfo: [
    {
      type: 'metainfo',
      torrent: 1,
      geometry: { length: 1_000, pieceLength: 100 },
      shared: new SharedArrayBuffer(8),
      private: false,
      metadataSize: 0,
      root: '/out',
      files: [],
      have: new Uint8Array(2),
      wanted: new Uint8Array(2),
    },
    [],
  ],
  removeTorrent: [{ type: 'removeTorrent', torrent: 1, reason: 'removed' }, []],
  connect: [{ type: 'connect', encrypted: false, ...peer }, []],
  drop: [{ type: 'drop', peers: [1, 2], reason: 'duplicate' }, []],
  lease: [
    {
      type: 'lease',
      torrent: 1,
      leases: [
        { lease: 1, piece, buffer },
        { lease: 2, piece, buffer: another, present: Uint8Array.of(1, 0), suspect: true },
      ],
    },
    [buffer, another],
  ],
  recall: [{ type: 'recall', torrent: 1, lease: 2 }, []],
  share: [{ type: 'share', torrent: 1, lease: 2, buffer }, [buffer]],
  have: [{ type: 'have', torrent: 1, pieces: [piece] }, []],
  slots: [{ type: 'slots', torrent: 1, slots: 3 }, []],
  roster: [{ type: 'roster', torrent: 1, peers: [{ host: '192.0.2.1', port: 1, flags: 0x10 }] }, []],
  refuse: [{ type: 'refuse', infohash }, []],
  limits: [{ type: 'limits', down: 1, up: 2 }, []],
  torrentLimit: [{ type: 'torrentLimit', torrent: 1, down: 1 }, []],
  measure: [{ type: 'measure' }, []],
  stop: [{ type: 'stop' }, []],
} satisfies { readonly [Type in ToGroup['type']]: [Extract<ToGroup, { type: Type }>, ArrayBuffer[]] };

const FROM_GROUP = {
  listening: [{ type: 'listening', port: 6881 }, []],
  listenFailed: [{ type: 'listenFailed', message: 'in use' }, []],
  want: [{ type: 'want', torrent: 1, count: 2, leased: 3 }, []],
  verified: [
    {
      type: 'verified',
      torrent: 1,
      leases: [
        { lease: 1, piece, buffer },
        { lease: 2, piece, buffer: another, digests },
      ],
    },
    [buffer, another],
  ],
  returned: [{ type: 'returned', torrent: 1, lease: 1, piece, buffer, ...BLOCKS }, [buffer]],
  shared: [{ type: 'shared', torrent: 1, lease: 1, buffer, ...BLOCKS }, [buffer]],
  corrupt: [{ type: 'corrupt', torrent: 1, lease: 1, piece, buffer, givers: BLOCKS.givers, digests }, [buffer]],
  connected: [{ type: 'connected', peer: 4, peerId: infohash, incoming: true, ...peer }, []],
  connectFailed: [{ type: 'connectFailed', reason: 'refused', ...peer }, []],
  disconnected: [{ type: 'disconnected', torrent: 1, peer: 4, reason: 'closed', downloaded: 1, uploaded: 2 }, []],
  discovered: [{ type: 'discovered', torrent: 1, peer: 1, peers: [{ host: '192.0.2.1', port: 1 }] }, []],
  listens: [{ type: 'listens', torrent: 1, peer: 4, port: 6881 }, []],
  suggested: [{ type: 'suggested', torrent: 1, piece }, []],
  seenAs: [{ type: 'seenAs', torrent: 1, peer: 4, host: '192.0.2.9' }, []],
  survey: [{ type: 'survey', torrent: 1, useless: [1], quiet: [2], seeds: [3] }, []],
  incoming: [{ type: 'incoming', infohash }, []],
  removed: [{ type: 'removed', torrent: 1 }, []],
  readFailed: [{ type: 'readFailed', torrent: 1, message: 'gone' }, []],
  measured: [
    { type: 'measured', figures: { utilisation: 0.5, delayP99Ms: 1, gcMs: 2, messages: 3, latency: [0, 4] } },
    [],
  ],
  load: [{ type: 'load', down: LOAD, up: LOAD }, []],
  torrentLoad: [{ type: 'torrentLoad', torrent: 1, down: LOAD }, []],
  stats: [
    {
      type: 'stats',
      torrents: [
        { torrent: 1, downloaded: 1, uploaded: 2, wasted: 3, peers: 4, interested: 2, active: 5, working: [4] },
      ],
    },
    [],
  ],
} satisfies { readonly [Type in FromGroup['type']]: [Extract<FromGroup, { type: Type }>, ArrayBuffer[]] };

const ALL: [string, ToGroup | FromGroup, ArrayBuffer[]][] = [
  ...Object.values(TO_GROUP),
  ...Object.values(FROM_GROUP),
].map(([message, buffers]) => [message.type, message, buffers]);

describe('post', () => {
  it.each(ALL)('posts %s once, with exactly the buffers it gives away', (_, message, buffers) => {
    const posted: unknown[][] = [];
    const outbox: Outbox = { postMessage: (...args) => posted.push(args) };
    post(outbox, message);
    expect(posted).toHaveLength(1);
    expect(posted[0]![0]).toBe(message);
    expect(posted[0]![1]).toEqual(buffers);
    for (const [i, each] of buffers.entries()) expect((posted[0]![1] as ArrayBuffer[])[i]).toBe(each);
  });
});

describe('over a port', () => {
  const { port1, port2 } = new MessageChannel();
  afterEach(() => port1.close());

  it('a buffer moves: its bytes arrive, and nothing is left behind', () => {
    const moved = Uint8Array.of(1, 2, 3).buffer;
    const present = Uint8Array.of(1, 0);
    const givers = Uint32Array.of(7, 0);
    post(port1, { type: 'returned', torrent: 1, lease: 9, piece, buffer: moved, present, givers });
    expect(moved.byteLength).toBe(0);
    expect(present.length).toBe(2);
    const { message } = receiveMessageOnPort(port2) as { message: Extract<FromGroup, { type: 'returned' }> };
    expect(new Uint8Array(message.buffer)).toEqual(Uint8Array.of(1, 2, 3));
    expect(message).toMatchObject({ type: 'returned', torrent: 1, lease: 9, piece: 7, present, givers });
  });
});

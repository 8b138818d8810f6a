// A peer group beside the test, in the same thread, over a MessageChannel: what main would say, said by hand.
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type FromGroup, post, type ToGroup } from '../../src/messages.js';
import { type Options, resolveOptions } from '../../src/options.js';
import type { EncryptionMode } from '../../src/protocol/mse.js';
import type { PieceIndex } from '../../src/torrent/geometry.js';
import { SharedMemory } from '../../src/torrent/shared-memory.js';
import { runGroup } from '../../workers/group.js';
import { fullBitfield } from './scripted-peer.js';
import type { SmallTorrent } from './small-torrent.js';

type Of<T extends FromGroup['type']> = Extract<FromGroup, { type: T }>;

export const OUR_ID = new TextEncoder().encode('-SP0000-ourselves123');

export class GroupHarness {
  readonly port: MessagePort;
  readonly stopped: Promise<void>;
  /** Messages not yet asked for. */
  readonly inbox: FromGroup[] = [];
  #wake: (() => void) | undefined;
  #leases = 0;

  constructor(overrides: Partial<Options> = {}, encryption: EncryptionMode = 'prefer') {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    port1.on('message', (received: FromGroup) => {
      this.inbox.push(received);
      this.#wake?.();
    });
    const options = resolveOptions({ tickMs: 10, ...overrides });
    this.stopped = runGroup({ port: port2, group: 0, client: 'spate test', bind: '127.0.0.1', encryption, options });
  }

  send(message: ToGroup): void {
    post(this.port, message);
  }

  /** The next message of one of some types; others stay for later. */
  async next<T extends FromGroup['type']>(...types: readonly T[]): Promise<Of<T>> {
    for (;;) {
      const at = this.inbox.findIndex((received) => types.includes(received.type as T));
      if (at !== -1) return this.inbox.splice(at, 1)[0] as Of<T>;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Adds a torrent as main does. @returns its shared memory */
  add(
    torrent: SmallTorrent,
    {
      key = 1,
      root = '/nonexistent',
      have = Buffer.alloc(Math.ceil(torrent.pieceCount / 8)),
      peerId = OUR_ID as Uint8Array,
      isPrivate = false,
      wanted = fullBitfield(torrent.pieceCount),
    } = {},
  ): SharedMemory {
    const memory = SharedMemory.create(torrent.hashes, 1);
    this.send({ type: 'addTorrent', torrent: key, infohash: torrent.infohash, peerId, port: 1 });
    this.send({
      type: 'metainfo',
      torrent: key,
      geometry: { length: torrent.payload.length, pieceLength: torrent.pieceLength },
      shared: memory.buffer,
      private: isPrivate,
      metadataSize: 0,
      root,
      files: [{ path: [torrent.name], length: torrent.payload.length, offset: 0, pad: false }],
      have,
      wanted,
    });
    return memory;
  }

  connect(port: number, key = 1, encrypted = false): void {
    this.send({ type: 'connect', torrent: key, host: '127.0.0.1', port, encrypted });
  }

  /**
   * Leases pieces with fresh buffers: once the group wants some, or they go home at the next tick, as nobody can go on with them.
   * @returns the lease numbers
   */
  lease(torrent: SmallTorrent, pieces: readonly number[], key = 1): number[] {
    const leases = pieces.map((piece) => ({
      lease: ++this.#leases,
      piece: piece as PieceIndex,
      buffer: new ArrayBuffer(torrent.pieceLength),
    }));
    this.send({ type: 'lease', torrent: key, leases });
    return leases.map(({ lease }) => lease);
  }

  async close(): Promise<void> {
    this.send({ type: 'stop' });
    await this.stopped;
    this.port.close();
  }
}

/** Debian's libtorrent, driven by a script of ours. Not a test. */
import { fileURLToPath } from 'node:url';
import type { Client } from './lab.js';
import { type ForeignClient, type Task, torrentFile } from './task.js';

/** The system's Python: any other lacks Debian's modules. */
export const PYTHON = '/usr/bin/python3';

const SCRIPT = fileURLToPath(new URL('libtorrent-peer.py', import.meta.url));

export const libtorrent: ForeignClient = clientWith('libtorrent');

/** Takes and makes encrypted connections only. */
export const encryptedLibtorrent: ForeignClient = clientWith('libtorrent that requires encryption', '--encrypt');

/** Dials nobody. */
export const passiveLibtorrent: ForeignClient = clientWith('libtorrent that waits to be dialled', '--passive');

function clientWith(name: string, ...options: readonly string[]): ForeignClient {
  return {
    name,
    async seed(task) {
      const peer = await startLibtorrent(task, ...options);
      await peer.seeds();
      return peer.address;
    },
    async leech(task) {
      await task.lab.expectEnd((await startLibtorrent(task, ...options, '--leave')).client);
    },
  };
}

export interface LibtorrentPeer {
  readonly client: Client;
  /** Where it accepts peers. */
  readonly address: string;
  /** Resolves when it has everything, on disk. */
  seeds(): Promise<void>;
}

/** @param options of the script */
export async function startLibtorrent(task: Task, ...options: readonly string[]): Promise<LibtorrentPeer> {
  const { lab, folder } = task;
  const client = await lab.start('libtorrent', PYTHON, [SCRIPT, await torrentFile(task), folder, ...options]);
  const [, address] = await client.line(/^address (.+)$/, lab.signal);
  return {
    client,
    address: address!,
    async seeds() {
      await client.line(/^seeding$/, lab.signal);
    },
  };
}

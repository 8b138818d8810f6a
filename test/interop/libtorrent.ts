/** Debian's libtorrent, driven by a script of ours. Not a test. */
import { fileURLToPath } from 'node:url';
import type { Client } from './lab.js';
import { type ForeignClient, type Task, torrentFile } from './task.js';

/** The system's Python: any other lacks Debian's modules. */
export const PYTHON = '/usr/bin/python3';

const SCRIPT = fileURLToPath(new URL('libtorrent-peer.py', import.meta.url));

export const libtorrent: ForeignClient = {
  name: 'libtorrent',
  async seed(task) {
    const client = await start(task);
    await client.line(/^seeding$/, task.lab.signal);
    return undefined;
  },
  async leech(task) {
    await task.lab.expectEnd(await start(task, '--leave'));
  },
};

async function start(task: Task, ...options: readonly string[]): Promise<Client> {
  return task.lab.start('libtorrent', PYTHON, [SCRIPT, await torrentFile(task), task.folder, ...options]);
}

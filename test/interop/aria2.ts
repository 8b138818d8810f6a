/** Debian's aria2. It speaks to UDP trackers only with its DHT on, so its torrents name an HTTP one. Not a test. */
import type { Client } from './lab.js';
import { type ForeignClient, type Task, torrentFile } from './task.js';

const ARGUMENTS = [
  '--no-conf',
  '--interface=127.0.0.1',
  '--disable-ipv6=true',
  // It takes one that is free.
  '--listen-port=20000-29999',
  '--enable-dht=false',
  '--bt-enable-lpd=false',
  '--file-allocation=none',
  '--show-console-readout=false',
  '--console-log-level=info',
  '--enable-color=false',
];

export const aria2: ForeignClient = {
  name: 'aria2',
  async seed(task) {
    // It does not say when it has hashed what is there; the tracker knows.
    await start(task, ['--check-integrity=true', '--seed-ratio=0']);
    return undefined;
  },
  async leech(task) {
    const client = await start(task, ['--seed-time=0']);
    await task.lab.expectEnd(client);
  },
};

async function start(task: Task, role: readonly string[]): Promise<Client> {
  const { lab, folder } = task;
  return lab.start('aria2', 'aria2c', [...ARGUMENTS, ...role, `--dir=${folder}`, await torrentFile(task)]);
}

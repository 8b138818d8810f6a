/**
 * Debian's transmission-daemon, driven by its RPC. It ignores peers on loopback that a tracker names, so somebody has to dial
 * it. Not a test.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { transmissionRpc, transmissionSettings } from '../../src/bench/daemon-rivals.js';
import { type Client, type Lab, PortTaken } from './lab.js';
import { type ForeignClient, newFolder, type Task } from './task.js';

interface Daemon {
  readonly client: Client;
  /** Where it accepts peers. */
  readonly address: string;
  readonly rpc: ReturnType<typeof transmissionRpc>;
}

export const transmission: ForeignClient = {
  name: 'transmission',
  lacksEmptyFiles: true,
  async seed(task) {
    const daemon = await startDaemon(task.lab);
    await complete(task, daemon);
    return daemon.address;
  },
  async leech(task) {
    await complete(task, await startDaemon(task.lab));
  },
};

/** Hands it the torrent and waits until nothing is missing. */
async function complete({ lab, torrent, folder }: Task, { client, rpc }: Daemon): Promise<void> {
  await rpc('torrent-add', { metainfo: Buffer.from(torrent).toString('base64'), 'download-dir': folder });
  await lab.answer(client, 'transmission to have every piece', async () => {
    const { torrents } = await rpc('torrent-get', { fields: ['status', 'leftUntilDone', 'errorString'] });
    const [{ status, leftUntilDone, errorString }] = torrents as [
      { status: number; leftUntilDone: number; errorString: string },
    ];
    if (status === SEEDING && leftUntilDone === 0) return true;
    throw new Error(`status ${status}, ${leftUntilDone} bytes missing, error ${JSON.stringify(errorString)}`);
  });
}

/** `status` in the RPC's `torrent-get`. */
const SEEDING = 6;

function startDaemon(lab: Lab): Promise<Daemon> {
  return lab.onFreePort((peerPort) => lab.onFreePort((rpcPort) => startOn(lab, peerPort, rpcPort)));
}

async function startOn(lab: Lab, peerPort: number, rpcPort: number): Promise<Daemon> {
  const folder = await newFolder(lab, 'transmission');
  // As it is installed, it prefers encryption.
  const settings = { ...transmissionSettings(folder, peerPort, rpcPort), 'rename-partial-files': false, encryption: 1 };
  await writeFile(join(folder, 'settings.json'), JSON.stringify(settings));
  const client = await lab.start('transmission', 'transmission-daemon', ['-f', '--log-info', '-g', folder]);
  await client.line(/Using settings from/, lab.signal);
  const taken = client.lines.find((line) => line.includes("Couldn't bind"));
  if (taken !== undefined) {
    client.kill('SIGKILL');
    throw new PortTaken(taken);
  }
  const rpc = transmissionRpc(`http://127.0.0.1:${rpcPort}/transmission/rpc`, lab.signal);
  await lab.answer(client, 'its RPC', async () => {
    const session = await rpc('session-get', {});
    if (session['config-dir'] === folder) return true;
    client.kill('SIGKILL');
    throw new PortTaken(`port ${rpcPort} is the RPC of another daemon`);
  });
  return { client, address: `127.0.0.1:${peerPort}`, rpc };
}

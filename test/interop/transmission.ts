/**
 * Debian's transmission-daemon, driven by its RPC. It ignores peers on loopback that a tracker names, so somebody has to dial
 * it. Not a test.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, type Lab, PortTaken } from './lab.js';
import { type ForeignClient, newFolder, type Task } from './task.js';

interface Daemon {
  readonly client: Client;
  /** Where it accepts peers. */
  readonly address: string;
  readonly rpc: Rpc;
}

type Rpc = (method: string, args: object) => Promise<Record<string, unknown>>;

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
  await writeFile(join(folder, 'settings.json'), JSON.stringify(settings(peerPort, rpcPort)));
  const client = await lab.start('transmission', 'transmission-daemon', ['-f', '--log-info', '-g', folder]);
  await client.line(/Using settings from/, lab.signal);
  const taken = client.lines.find((line) => line.includes("Couldn't bind"));
  if (taken !== undefined) {
    client.kill('SIGKILL');
    throw new PortTaken(taken);
  }
  const rpc = connectRpc(`http://127.0.0.1:${rpcPort}/transmission/rpc`);
  await lab.answer(client, 'its RPC', async () => {
    const session = await rpc('session-get', {});
    if (session['config-dir'] === folder) return true;
    client.kill('SIGKILL');
    throw new PortTaken(`port ${rpcPort} is the RPC of another daemon`);
  });
  return { client, address: `127.0.0.1:${peerPort}`, rpc };
}

function settings(peerPort: number, rpcPort: number): object {
  return {
    'bind-address-ipv4': '127.0.0.1',
    'bind-address-ipv6': '::1',
    'peer-port': peerPort,
    'rpc-bind-address': '127.0.0.1',
    'rpc-port': rpcPort,
    'rpc-authentication-required': false,
    'dht-enabled': false,
    'lpd-enabled': false,
    'pex-enabled': false,
    'utp-enabled': false,
    'port-forwarding-enabled': false,
    'rename-partial-files': false,
  };
}

/** Its RPC wants the session id that its first refusal tells. */
function connectRpc(url: string): Rpc {
  let session = '';
  const post = async (body: string): Promise<Response> => {
    const response = await fetch(url, { method: 'POST', body, headers: { 'X-Transmission-Session-Id': session } });
    session = response.headers.get('X-Transmission-Session-Id') ?? session;
    return response;
  };
  return async (method, args) => {
    const body = JSON.stringify({ method, arguments: args });
    let response = await post(body);
    if (response.status === 409) response = await post(body);
    const answer = (await response.json()) as { result: string; arguments: Record<string, unknown> };
    if (answer.result !== 'success') throw new Error(`${method}: ${answer.result}`);
    return answer.arguments;
  };
}

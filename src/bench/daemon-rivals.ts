/**
 * The clients that do not end when they are done: configured by a file, told what to do and asked how far they are over HTTP. Both
 * listen on loopback alone, on ports that were free a moment ago.
 */
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Course } from './rivals.js';

/** What a daemon's command and its questions are filled in with. */
type Values = Readonly<Record<string, string | number>>;

export interface Daemon {
  /** It ignores peers on loopback that a tracker names, so the seeds have to dial it. */
  readonly mustBeDialled: boolean;
  /** Writes its settings. */
  prepare(course: Course): Promise<Values>;
  /** Hands it the torrent as soon as it listens; resolves when it has everything. @throws the signal's reason */
  complete(course: Course, values: Values, signal: AbortSignal): Promise<void>;
}

const LOOPBACK = '127.0.0.1';
/** Between two questions: what is measured is late by half of it. */
const ASK_AGAIN_MS = 40;

/** `status` in the RPC's `torrent-get`. */
const TRANSMISSION_SEEDS = 6;

/** 3.00 tells a peer that it is interested by a timer of 10 s: the start of a short race is all there is to see. */
export const transmissionDaemon: Daemon = {
  mustBeDialled: true,
  async prepare({ home, out }) {
    const [peerPort, webPort] = await freePorts(2);
    const folder = join(home, 'transmission');
    await mkdir(folder);
    await writeFile(join(folder, 'settings.json'), JSON.stringify(transmissionSettings(out, peerPort!, webPort!)));
    return { peerPort: peerPort!, webPort: webPort! };
  },
  async complete({ torrent, dial }, { peerPort, webPort }, signal) {
    const ask = transmissionRpc(`http://${LOOPBACK}:${webPort}/transmission/rpc`, signal);
    const metainfo = (await readFile(torrent)).toString('base64');
    await until(() => ask('torrent-add', { metainfo }), signal);
    dial?.({ host: LOOPBACK, port: Number(peerPort) });
    await until(async () => {
      const { torrents } = await ask('torrent-get', { fields: ['status', 'leftUntilDone'] });
      const [{ status, leftUntilDone }] = torrents as [{ status: number; leftUntilDone: number }];
      return status === TRANSMISSION_SEEDS && leftUntilDone === 0;
    }, signal);
  },
};

/** `settings.json` of one on loopback, TCP and plaintext, that keeps to itself. */
export function transmissionSettings(out: string, peerPort: number, webPort: number): object {
  return {
    'download-dir': out,
    'bind-address-ipv4': LOOPBACK,
    'bind-address-ipv6': '::1',
    'peer-port': peerPort,
    'rpc-bind-address': LOOPBACK,
    'rpc-port': webPort,
    'rpc-authentication-required': false,
    'dht-enabled': false,
    'lpd-enabled': false,
    'pex-enabled': false,
    'utp-enabled': false,
    'port-forwarding-enabled': false,
    encryption: 0,
  };
}

type Ask = (method: string, args: object) => Promise<Record<string, unknown>>;

/** Its RPC wants the session id that its first refusal tells. */
export function transmissionRpc(url: string, signal: AbortSignal): Ask {
  let session = '';
  return async (method, args) => {
    const body = JSON.stringify({ method, arguments: args });
    for (let attempt = 1; ; attempt++) {
      const headers = { 'X-Transmission-Session-Id': session };
      const response = await fetch(url, { method: 'POST', body, headers, signal });
      session = response.headers.get('X-Transmission-Session-Id') ?? session;
      if (response.status === 409 && attempt === 1) {
        await response.arrayBuffer();
        continue;
      }
      const answer = (await response.json()) as { result: string; arguments: Record<string, unknown> };
      if (answer.result === 'success') return answer.arguments;
      throw new Error(`${method}: ${answer.result}`);
    }
  };
}

export const qbittorrentDaemon: Daemon = {
  mustBeDialled: false,
  async prepare({ home, out }) {
    const [peerPort, webPort] = await freePorts(2);
    const folder = join(home, 'qBittorrent', 'config');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'qBittorrent.conf'), qbittorrentSettings(out, peerPort!));
    return { webPort: webPort! };
  },
  async complete({ torrent, infohash, seeds }, { webPort }, signal) {
    const call = async (path: string, body?: FormData | URLSearchParams): Promise<Response> => {
      const method = body === undefined ? 'GET' : 'POST';
      const response = await fetch(`http://${LOOPBACK}:${webPort}/api/v2/torrents/${path}`, {
        method,
        signal,
        ...(body && { body }),
      });
      if (!response.ok) throw new Error(`${path}: status ${response.status}`);
      return response;
    };
    const form = new FormData();
    form.append('torrents', new Blob([await readFile(torrent)]), 'it.torrent');
    await until(async () => await (await call('add', form)).text(), signal);
    const peers = seeds.map(({ host, port }) => `${host}:${port}`).join('|');
    await until(
      async () => await (await call('addPeers', new URLSearchParams({ hashes: infohash, peers }))).text(),
      signal,
    );
    await until(async () => {
      const [it] = (await (await call(`info?hashes=${infohash}`)).json()) as { state: string; amount_left: number }[];
      return it?.amount_left === 0 && /^(?:uploading|stalledUP|forcedUP|queuedUP|pausedUP)$/.test(it.state);
    }, signal);
  },
};

function qbittorrentSettings(out: string, peerPort: number): string {
  // A value is quoted where it has what the format gives a meaning.
  const folder = `"${out.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  return `[LegalNotice]
Accepted=true

[BitTorrent]
Session\\DefaultSavePath=${folder}
Session\\Interface=lo
Session\\InterfaceAddress=${LOOPBACK}
Session\\InterfaceName=lo
Session\\Port=${peerPort}
Session\\BTProtocol=TCP
Session\\Encryption=2
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=false
Session\\MultiConnectionsPerIp=true
Session\\RefreshInterval=100

[Network]
PortForwardingEnabled=false

[Preferences]
WebUI\\Address=${LOOPBACK}
WebUI\\LocalHostAuth=false
WebUI\\CSRFProtection=false
WebUI\\HostHeaderValidation=false
`;
}

/** Asks until the answer is yes. A question may fail, as it does while a daemon starts. @throws the signal's reason */
async function until(ask: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (await ask().catch(() => false)) return;
    await delay(ASK_AGAIN_MS);
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, LOOPBACK));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { qbittorrentDaemon, transmissionDaemon } from '../../../src/bench/daemon-rivals.js';
import type { Course } from '../../../src/bench/rivals.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

/** A daemon's web server: answers what the function makes of a request and its body. */
async function webServer(answer: (request: IncomingMessage, body: string) => Answer): Promise<number> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { status = 200, headers = {}, body = '' } = answer(request, Buffer.concat(chunks).toString('latin1'));
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function course(dialled: string[] = []): Promise<Course> {
  const folder = await temporaryFolder();
  const [out, home] = ['the "out"', 'home'].map((name) => join(folder, name)) as [string, string];
  mkdirSync(home);
  writeFileSync(join(folder, 'it.torrent'), 'd4:spam4:eggse');
  return {
    ...{ torrent: join(folder, 'it.torrent'), out, home, payload: '', name: 'payload.bin' },
    ...{ size: 1, pieceLength: 1, infohash: 'ab'.repeat(20), seeds: [{ host: '127.0.0.1', port: 7001 }] },
    dial: ({ host, port }) => void dialled.push(`${host}:${port}`),
  };
}

test('transmission is set to loopback, TCP and plaintext, on ports of its own', async () => {
  const it = await course();
  const values = await transmissionDaemon.prepare(it);
  const settings = JSON.parse(readFileSync(join(it.home, 'transmission', 'settings.json'), 'utf8'));
  expect(settings).toMatchObject({
    'download-dir': it.out,
    'peer-port': values.peerPort,
    'rpc-port': values.webPort,
    'bind-address-ipv4': '127.0.0.1',
    'rpc-bind-address': '127.0.0.1',
    'dht-enabled': false,
    'utp-enabled': false,
    encryption: 0,
  });
  expect(values.peerPort).not.toBe(values.webPort);
});

test('transmission is handed the torrent, dialled, and asked until nothing is missing', async () => {
  const heard: string[] = [];
  let asked = 0;
  const webPort = await webServer((request, body) => {
    if (request.headers['x-transmission-session-id'] !== 'secret') {
      return { status: 409, headers: { 'X-Transmission-Session-Id': 'secret' } };
    }
    const { method, arguments: args } = JSON.parse(body);
    heard.push(method);
    if (method === 'torrent-add') {
      expect(args).toEqual({ metainfo: Buffer.from('d4:spam4:eggse').toString('base64') });
      // As while it starts.
      if (heard.length === 1) return { body: { result: 'not yet' } };
    }
    const torrents = [
      { status: 4, leftUntilDone: 9 },
      { status: 4, leftUntilDone: 0 },
      { status: 6, leftUntilDone: 0 },
    ];
    return {
      body: { result: 'success', arguments: method === 'torrent-get' ? { torrents: [torrents[asked++]] } : {} },
    };
  });
  const dialled: string[] = [];

  await transmissionDaemon.complete(await course(dialled), { webPort, peerPort: 5 }, new AbortController().signal);

  expect(heard).toEqual(['torrent-add', 'torrent-add', 'torrent-get', 'torrent-get', 'torrent-get']);
  expect(dialled).toEqual(['127.0.0.1:5']);
});

test('qbittorrent-nox is set to loopback, TCP and plaintext', async () => {
  const it = await course();
  await qbittorrentDaemon.prepare(it);
  const settings = readFileSync(join(it.home, 'qBittorrent', 'config', 'qBittorrent.conf'), 'utf8');
  expect(settings.split('\n')).toEqual(
    expect.arrayContaining([
      ...['Accepted=true', 'Session\\InterfaceAddress=127.0.0.1', 'Session\\BTProtocol=TCP', 'Session\\Encryption=2'],
      `Session\\DefaultSavePath="${it.out.replaceAll('"', '\\"')}"`,
    ]),
  );
});

test('qbittorrent-nox is handed the torrent and the seeds, and asked until it seeds', async () => {
  const heard: string[] = [];
  let asked = 0;
  const states = [
    [],
    [{ state: 'downloading', amount_left: 5 }],
    [{ state: 'moving', amount_left: 0 }],
    [{ state: 'stalledUP', amount_left: 0 }],
  ];
  const webPort = await webServer((request, body) => {
    const path = request.url!.replace('/api/v2/torrents/', '');
    heard.push(path);
    if (path === 'add') {
      if (heard.length === 1) return { status: 503 };
      expect(body).toContain('d4:spam4:eggse');
    }
    if (path === 'addPeers') expect(body).toBe(`hashes=${'ab'.repeat(20)}&peers=127.0.0.1%3A7001`);
    return { body: path.startsWith('info') ? states[asked++] : 'Ok.' };
  });

  await qbittorrentDaemon.complete(await course(), { webPort }, new AbortController().signal);

  const info = `info?hashes=${'ab'.repeat(20)}`;
  expect(heard).toEqual(['add', 'add', 'addPeers', info, info, info, info]);
});

test.each([
  ['transmission', transmissionDaemon],
  ['qbittorrent-nox', qbittorrentDaemon],
])('%s is asked no more when its run is over', async (_, daemon) => {
  const controller = new AbortController();
  const webPort = await webServer(() => {
    controller.abort(new Error('over'));
    return { status: 500 };
  });
  const values = { webPort, peerPort: 5 };
  await expect(daemon.complete(await course(), values, controller.signal)).rejects.toThrow('over');
});

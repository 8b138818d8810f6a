import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startCseeds } from '../../../src/bench/race-seeds.js';
import { isListening } from '../../helpers/cli-run.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

const PAYLOAD = { file: '/payload.bin', infohash: 'ab'.repeat(20), pieceLength: 16_384 };

/** What `cseed` looks like from outside: prints its port, does as stdin tells it, ends with it. */
const FAKE = `#!${process.execPath}
const net = require('net');
const { CONTROL, BIND } = process.env;
const server = net.createServer().listen(Number(process.argv[2]), BIND, () => {
  console.log('ready ' + server.address().port);
});
require('readline').createInterface(process.stdin).on('line', (line) => {
  const [word, host, port] = line.split(' ');
  net.connect(port, host).end([word, CONTROL, ...process.argv.slice(3)].join(' '));
}).on('close', () => process.exit());
`;

async function program(script: string): Promise<string> {
  const folder = await temporaryFolder();
  const path = join(folder, 'cseed');
  // CommonJS, whatever a package above says.
  writeFileSync(join(folder, 'package.json'), '{}');
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return path;
}

/** What the next connections say until they end. */
function heard(server: Server, connections: number): Promise<string[]> {
  const texts: string[] = [];
  return new Promise((resolve) => {
    server.on('connection', (socket: Socket) => {
      let text = '';
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      socket.once('end', () => {
        texts.push(text);
        if (texts.length === connections) resolve(texts);
      });
    });
  });
}

test('seeds listen on ports of their own, dial whom they are told to, and end', async () => {
  const seeds = await startCseeds(await program(FAKE), PAYLOAD, 2);
  onTestFinished(() => seeds.stop());
  const ports = seeds.addresses.map(({ port }) => port);
  expect(new Set(ports).size).toBe(2);
  expect(await Promise.all(ports.map(isListening))).toEqual([true, true]);

  const client = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void client.close());
  await once(client, 'listening');
  const words = heard(client, 2);
  seeds.dial!({ host: '127.0.0.1', port: (client.address() as AddressInfo).port });
  expect(await words).toEqual(Array(2).fill(`dial 1 ${PAYLOAD.infohash} /payload.bin 16384`));

  await seeds.stop();
  await seeds.stop();
  expect(await Promise.all(ports.map(isListening))).toEqual([false, false]);
});

test('a seed that does not start ends the others', async () => {
  const flag = join(await temporaryFolder(), 'flag');
  const script = FAKE.replace(
    'const net',
    `try { require('fs').mkdirSync(${JSON.stringify(flag)}); } catch { process.exit(1); }\nconst net`,
  );
  await expect(startCseeds(await program(script), PAYLOAD, 3)).rejects.toThrow('the C seeder did not start');
});

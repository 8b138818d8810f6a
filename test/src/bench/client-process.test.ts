import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type ClientProcess, startClient } from '../../../src/bench/client-process.js';
import { isListening } from '../../helpers/cli-run.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';

/** Uses so much processor time, of its own. */
const BURN = 'const burn = (ms) => { while (process.cpuUsage().user + process.cpuUsage().system < ms * 1000); };';
const node = (script: string): string[] => [process.execPath, '-e', script];

async function start(command: readonly string[], graceMs = 10_000): Promise<ClientProcess & { log: () => string }> {
  const folder = await temporaryFolder();
  const log = join(folder, 'log');
  const { PATH } = process.env;
  const client = await startClient({ command, cwd: folder, env: { PATH, TEST_FOLDER: folder }, log, graceMs });
  onTestFinished(() => client.stop());
  return Object.assign(client, { log: () => readFileSync(log, 'utf8') });
}

/** The first line with a match, as soon as it is printed. */
async function printed(client: { log: () => string }, pattern: RegExp): Promise<string> {
  for (;;) {
    const match = pattern.exec(client.log());
    if (match !== null) return match[1]!;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test.each([
  [['true'], 0],
  [['sh', '-c', 'exit 3'], 3],
  [['sh', '-c', 'kill -9 $$'], 137],
  [['no-such-program'], 127],
])('%j ends with exit code %i', async (command, code) => {
  const client = await start(command);
  expect(await client.ended).toBe(code);
});

test('what it prints is in the log, both streams', async () => {
  const client = await start(['sh', '-c', 'echo out; echo err >&2']);
  await client.ended;
  expect(client.log()).toBe('out\nerr\n');
});

test('counts the processor time of a command that has ended, and of the child it waited for', async () => {
  const child = JSON.stringify(`${BURN} burn(300)`);
  const client = await start(
    node(`${BURN} require('child_process').spawnSync(process.execPath, ['-e', ${child}]); burn(500)`),
  );
  expect(await client.ended).toBe(0);
  const { cpuSeconds, peakRssBytes } = client.usage()!;
  expect(cpuSeconds).toBeGreaterThan(0.75);
  expect(cpuSeconds).toBeLessThan(5);
  expect(peakRssBytes).toBeGreaterThan(10 * 2 ** 20);
});

test('counts a daemon that goes on in a session of its own, and ends it', async () => {
  const daemon = JSON.stringify(
    `${BURN} burn(400); const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log('port ' + s.address().port + ';'))`,
  );
  const client = await start(
    node(
      `require('child_process').spawn(process.execPath, ['-e', ${daemon}], { detached: true, stdio: ['ignore', 1, 2] }).unref()`,
    ),
  );
  expect(await client.ended).toBe(0);
  const port = Number(await printed(client, /port (\d+);/));
  expect(client.usage()!.cpuSeconds).toBeGreaterThan(0.38);
  expect(await isListening(port)).toBe(true);

  await client.stop();

  expect(await isListening(port)).toBe(false);
  await client.stop();
});

test('kills what does not go when it is asked to', async () => {
  const client = await start(
    node(
      `process.on('SIGTERM', () => console.log('asked')); const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log('port ' + s.address().port + ';'))`,
    ),
    0,
  );
  const port = Number(await printed(client, /port (\d+);/));
  await client.stop();
  expect(await isListening(port)).toBe(false);
  expect(await client.ended).toBe(137);
});

test('a client that is stopped before it has a process is waited for, and killed', async () => {
  const client = await start(node('setInterval(() => {}, 1000)'), 0);
  await client.stop();
  expect(await client.ended).toBe(137);
});

test('a log that cannot be written is an error of this machine', async () => {
  const folder = await temporaryFolder();
  writeFileSync(join(folder, 'file'), '');
  const log = join(folder, 'file', 'log');
  await expect(startClient({ command: ['true'], cwd: folder, env: {}, log })).rejects.toThrow(/ENOTDIR/);
});

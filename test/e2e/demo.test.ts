import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { isListening } from '../helpers/cli-run.js';
import { temporaryFolder } from '../helpers/fs-temp.js';

const DEMO = fileURLToPath(new URL('../../dist/src/swarm/demo.js', import.meta.url));

interface Demo {
  readonly folder: string;
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
  said(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

/** The demo with a temporary folder of its own. */
async function startDemo(...args: string[]): Promise<Demo> {
  const folder = await temporaryFolder();
  const child = spawn(process.execPath, [DEMO, ...args], {
    env: { ...process.env, TMPDIR: folder, TEMP: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let look = (): void => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      look();
    });
  }
  const ended = new Promise<{ code: number | null; output: string }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  return {
    folder,
    ended,
    said: (text) =>
      new Promise((resolve, reject) => {
        look = () => {
          if (output.includes(text)) resolve();
        };
        look();
        ended.then(() => reject(new Error(`expected "${text}", got "${output}"`)), reject);
      }),
    kill: (signal) => void child.kill(signal),
  };
}

test('the demo downloads its payload, compares it and leaves nothing behind', async () => {
  const demo = await startDemo('--size', '3000000');

  const { code, output } = await demo.ended;

  expect(output).toMatch(/^done \S+demo\.bin 2\.9 MiB in /m);
  expect(output).toContain('demo: compared 2.9 MiB with the payload: every byte is right\n');
  expect(code).toBe(0);
  expect(readdirSync(demo.folder)).toEqual([]);
});

test('with --keep the files stay', async () => {
  const demo = await startDemo('--size', '300K', '--keep');

  const { code, output } = await demo.ended;

  expect(code).toBe(0);
  const [kept] = readdirSync(demo.folder);
  expect(output).toContain(`demo: kept ${demo.folder}/${kept}\n`);
  expect(readdirSync(`${demo.folder}/${kept}/downloads`)).toEqual(['demo.bin']);
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s ends the demo with all it has started and cleans up, exit code %i', async (signal, expected) => {
  const demo = await startDemo('--size', '3000000');
  await demo.said('now downloading');

  demo.kill(signal);

  const { code, output } = await demo.ended;
  expect(code).toBe(expected);
  const ports = /seeders on ports (\d+) and (\d+);/.exec(output)!.slice(1);
  expect(await Promise.all(ports.map((port) => isListening(Number(port))))).toEqual([false, false]);
  expect(readdirSync(demo.folder)).toEqual([]);
});

test.each([
  [['--size', 'lots'], 2, 'expected a size such as 256MiB'],
  [['--size', '0'], 2, 'expected a size of at least one byte'],
  [['--nope'], 2, 'usage: npm run demo'],
  [['--size', '4000TiB'], 9, 'free in'],
] as const)('%j ends the demo before it has made anything, exit code %i', async (args, expected, message) => {
  const demo = await startDemo(...args);

  const { code, output } = await demo.ended;

  expect(code).toBe(expected);
  expect(output).toMatch(/^demo: [^\n]+\n$/);
  expect(output).toContain(message);
  expect(readdirSync(demo.folder)).toEqual([]);
});

// The real command as a child process: what tests of the command line and of whole swarms drive.
import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** The compiled command, which the global setup has refreshed. */
export const CLI = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Written to stdin, which is empty otherwise. */
  readonly stdin?: Uint8Array | string;
  /** More may be written to stdin later. */
  readonly keepsStdin?: boolean;
  /** Most files the process may have open; as many as this one when absent. Not on Windows. */
  readonly fileLimit?: number;
  /** What a shell is to do with its output first, as `2>/dev/full`. */
  readonly redirect?: string;
  /** A command that becomes the one that is given behind it. */
  readonly within?: readonly string[];
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves as soon as stderr holds the text; rejects when the process ends before. */
  said(text: string): Promise<void>;
  /** What stderr holds. */
  text(): string;
}

/** Starts `spate`; whatever is left of it is killed when the test ends. */
export function startSpate(args: readonly string[], options: RunOptions = {}): Running {
  const command = [...(options.within ?? []), process.execPath, CLI, ...args];
  const { fileLimit, redirect = '' } = options;
  const limit = fileLimit === undefined ? '' : `ulimit -n ${fileLimit}; `;
  const isPlain = limit === '' && redirect === '';
  const [file, ...rest] = isPlain ? command : ['sh', '-c', `${limit}exec "$@" ${redirect}`, 'sh', ...command];
  const child = spawn(file!, rest, {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, ...options.env },
    stdio: 'pipe',
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text.stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text.stderr += chunk;
  });
  child.stdin.on('error', () => {});
  if (options.stdin !== undefined) child.stdin.write(options.stdin);
  if (options.keepsStdin !== true) child.stdin.end();
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...text }));
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  const said = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (text.stderr.includes(wanted)) resolve();
      };
      child.stderr.on('data', look);
      look();
      ended.then(() => reject(new Error(`expected "${wanted}" on stderr, got "${text.stderr}"`)), reject);
    });
  return { child, ended, said, text: () => text.stderr };
}

/** Runs `spate` to its end. */
export async function spate(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return await startSpate(args, options).ended;
}

/** Whether somebody listens on a loopback port: what tells a living process from one that nobody has waited for. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

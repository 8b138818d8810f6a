/**
 * Runs the `spate` command as a child process that cannot outlive its parent: it ends when told, and when the parent dies in
 * whatever way (`leash.ts`). It has a process group of its own: a Ctrl-C reaches the parent, which decides who ends when.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BUILT } from '../package.js';

export interface SpateProcessOptions {
  /** Another built program than the command. */
  readonly program?: URL | undefined;
  readonly cwd?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly stdout: 'inherit' | 'pipe';
  readonly stderr: 'inherit' | 'pipe';
  /** Opens a channel for messages that are cloned, binary ones too. */
  readonly ipc?: boolean | undefined;
}

/** How a process ended. */
export interface ExitStatus {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SpateProcess {
  readonly child: ChildProcess;
  /** Resolves when it is gone and its output has been read. */
  readonly exited: Promise<ExitStatus>;
  /** Asks it to end, kills it when it does not, and waits for that. Safe to call again. */
  stop(signal?: NodeJS.Signals): Promise<ExitStatus>;
}

/** Leaving takes two seconds at most; a process that is not gone after these hangs. */
const GRACE_MS = 5_000;

export function spawnSpate(args: readonly string[], options: SpateProcessOptions): SpateProcess {
  const { program = BUILT.cli, cwd, env, stdout, stderr, ipc = false } = options;
  const child = spawn(process.execPath, ['--import', BUILT.leash.href, fileURLToPath(program), ...args], {
    cwd,
    env: env ?? process.env,
    stdio: ipc ? ['pipe', stdout, stderr, 'ipc'] : ['pipe', stdout, stderr],
    serialization: 'advanced',
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  // It may be gone when the pipe is closed.
  child.stdin?.on('error', () => {});
  const exited = new Promise<ExitStatus>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  // Whoever wants to know waits for it.
  exited.catch(() => {});
  return { child, exited, stop: (signal = 'SIGTERM') => stop(child, exited, signal) };
}

async function stop(child: ChildProcess, exited: Promise<ExitStatus>, signal: NodeJS.Signals): Promise<ExitStatus> {
  if (isRunning(child)) child.kill(signal);
  const timer = setTimeout(() => {
    if (isRunning(child)) child.kill('SIGKILL');
  }, GRACE_MS);
  try {
    return await exited;
  } finally {
    clearTimeout(timer);
  }
}

/** A process that has been waited for may have given its id to another. */
function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

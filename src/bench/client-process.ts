/**
 * One run of a client, whatever processes it consists of: started, watched for what it costs, and ended with all of them. A shell
 * holds it: it waits for the command, says how that ended, and stays until what the command has used has been read off it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, SpateError } from '../errors.js';
import { ProcessTree, type Usage } from './process-tree.js';

export interface ClientSettings {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** File that takes what it prints. */
  readonly log: string;
  /** A client that has not gone so long after it was asked to is killed; some tell a tracker first. */
  readonly graceMs?: number;
}

export interface ClientProcess {
  /** Resolves with the exit code of the command, 128 and the number for a signal. A daemon may live on. */
  readonly ended: Promise<number>;
  /** What it has used so far; `undefined` where that cannot be told. */
  usage(): Usage | undefined;
  /** Ends whatever is left of it: asks first, kills what has not gone in time. Safe to call again. */
  stop(): Promise<void>;
}

/** Descriptor 3 tells the exit code and is closed on the holder when it may go; the command does not get it. */
const HOLDER = '"$@" 3>&-; printf "%s\\n" "$?" >&3; read -r _ <&3';

/** Memory is looked at so often, new processes are looked for every `LOOK_EVERY` times. */
const GLANCE_MS = 50;
const LOOK_EVERY = 5;
const GRACE_MS = 10_000;
const GONE_CHECK_MS = 20;

const MARK = 'SPATE_RACE';
const HAS_PROC = process.platform === 'linux';

/** @throws SpateError LOCAL_IO when the log cannot be written or there is no shell */
export async function startClient({
  command,
  cwd,
  env,
  log,
  graceMs = GRACE_MS,
}: ClientSettings): Promise<ClientProcess> {
  const mark = randomUUID();
  const out = openSync(log, 'a');
  try {
    const holder = spawn('/bin/sh', ['-c', HOLDER, 'sh', ...command], {
      cwd,
      env: { ...env, [MARK]: mark },
      stdio: ['ignore', out, out, 'pipe'],
      // A process group of its own: a Ctrl-C reaches us alone, and we decide who ends when.
      detached: true,
    });
    await once(holder, 'spawn');
    return new HeldClient(holder, new ProcessTree(holder.pid!, `${MARK}=${mark}`), graceMs);
  } catch (error) {
    throw new SpateError('LOCAL_IO', `cannot start ${command[0]}: ${messageOf(error)}`, { cause: error });
  } finally {
    closeSync(out);
  }
}

class HeldClient implements ClientProcess {
  readonly ended: Promise<number>;
  readonly #holder: ChildProcess;
  readonly #tree: ProcessTree;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #graceMs: number;
  #stopping: Promise<void> | undefined;
  readonly #onExit = (): void => this.#kill('SIGKILL');

  constructor(holder: ChildProcess, tree: ProcessTree, graceMs: number) {
    this.#graceMs = graceMs;
    this.#holder = holder;
    this.#tree = tree;
    this.ended = exitCode(holder.stdio[3] as Socket);
    process.once('exit', this.#onExit);
    if (!HAS_PROC) return;
    let glances = 0;
    this.#timer = setInterval(() => (glances++ % LOOK_EVERY === 0 ? tree.look() : tree.glance()), GLANCE_MS);
  }

  usage(): Usage | undefined {
    if (!HAS_PROC) return undefined;
    this.#tree.look();
    return this.#tree.usage();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    clearInterval(this.#timer);
    const killAt = performance.now() + this.#graceMs;
    for (let signal: NodeJS.Signals | undefined = 'SIGTERM'; this.#pids().length > 0; ) {
      if (signal !== undefined) this.#kill(signal);
      await delay(GONE_CHECK_MS);
      signal = performance.now() < killAt ? undefined : 'SIGKILL';
    }
    (this.#holder.stdio[3] as Socket).destroy();
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) await once(this.#holder, 'exit');
    process.off('exit', this.#onExit);
  }

  /** What lives of it; where that cannot be told, the holder stands for all, until it has gone. */
  #pids(): number[] {
    if (HAS_PROC) {
      this.#tree.look();
      return this.#tree.pids();
    }
    const isGone = this.#holder.exitCode !== null || this.#holder.signalCode !== null;
    return isGone ? [] : [-this.#holder.pid!];
  }

  #kill(signal: NodeJS.Signals): void {
    for (const pid of this.#pids()) {
      try {
        process.kill(pid, signal);
      } catch {
        // Gone meanwhile.
      }
    }
  }
}

/** The number the holder prints; a holder that was killed prints none. */
async function exitCode(channel: Socket): Promise<number> {
  let text = '';
  channel.setEncoding('utf8').on('error', () => {});
  for await (const chunk of channel.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
    text += chunk;
    if (text.includes('\n')) break;
  }
  return Number.parseInt(text, 10);
}

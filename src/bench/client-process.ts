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
  #hasEnded = false;
  readonly #onExit = (): void => {
    for (const pid of [...this.#pids(), -this.#holder.pid!]) send(pid, 'SIGKILL');
  };

  constructor(holder: ChildProcess, tree: ProcessTree, graceMs: number) {
    this.#graceMs = graceMs;
    this.#holder = holder;
    this.#tree = tree;
    this.ended = exitCode(holder.stdio[3] as Socket).then((code) => {
      this.#hasEnded = true;
      return code;
    });
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
    const asked = new Set<number>();
    // What has just been started may not have a process yet.
    for (let pids = this.#pids(); pids.length > 0 || !this.#hasEnded; pids = this.#pids()) {
      const isLate = performance.now() >= killAt;
      for (const pid of pids) if (isLate || !asked.has(pid)) send(pid, isLate ? 'SIGKILL' : 'SIGTERM');
      for (const pid of pids) asked.add(pid);
      await delay(GONE_CHECK_MS);
    }
    (this.#holder.stdio[3] as Socket).destroy();
    if (!this.#isHolderGone()) await once(this.#holder, 'exit');
    process.off('exit', this.#onExit);
  }

  /** What lives of it; where that cannot be told, its process group, which the holder is in as well. */
  #pids(): number[] {
    if (!HAS_PROC) return this.#isHolderGone() ? [] : [-this.#holder.pid!];
    this.#tree.look();
    return this.#tree.pids();
  }

  #isHolderGone(): boolean {
    return this.#holder.exitCode !== null || this.#holder.signalCode !== null;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone meanwhile.
  }
}

/** The number the holder prints; a holder that was killed prints none. */
function exitCode(channel: Socket): Promise<number> {
  return new Promise((resolve) => {
    let text = '';
    channel.setEncoding('utf8').on('error', () => {});
    channel.on('data', (chunk: string) => {
      text += chunk;
      if (text.endsWith('\n')) resolve(Number(text));
    });
    channel.once('close', () => resolve(Number.NaN));
  });
}

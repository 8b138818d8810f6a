/**
 * One case's laboratory: its temporary folder, its deadline and its processes. Every wait is on something a process does - a
 * line it prints, an answer it gives, its end - and fails at the deadline, or as soon as the process that should do it has
 * ended. Whatever happens, the processes are killed by pid and the folder is removed. Not a test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../src/errors.js';

/** Shorter than a test's time limit, so that a case that hangs ends here, with the logs. */
const DEADLINE_MS = 85_000;
/** Between two questions to something that can only be asked. */
const ASK_AGAIN_MS = 50;
/** Starts of one process on a port that somebody else turned out to have. */
const PORT_ATTEMPTS = 5;
/** Lines of a process's output that a failure shows. */
const TAIL_LINES = 30;
/** A summary of a thousand torrents is one line. */
const TAIL_COLUMNS = 500;

/** A process of the case. Lines of stdout and stderr that are not empty are one log. */
export class Client {
  readonly name: string;
  readonly pid: number;
  readonly lines: string[] = [];
  /** How it ended; resolves when its output has been read to the end. */
  readonly ended: Promise<string>;
  #end: string | undefined;
  readonly #process: ChildProcess;
  readonly #listeners = new Set<() => void>();

  constructor(name: string, process: ChildProcess, pid: number) {
    this.name = name;
    this.pid = pid;
    this.#process = process;
    for (const stream of [process.stdout!, process.stderr!]) {
      createInterface(stream).on('line', (line) => {
        if (line.trim() === '') return;
        this.lines.push(line);
        this.#notify();
      });
    }
    this.ended = once(process, 'close').then(([code, signal]) => {
      this.#end = signal === null ? `exit code ${code}` : `signal ${signal}`;
      this.#notify();
      return this.#end;
    });
  }

  /** How it ended, `undefined` while it runs. */
  get end(): string | undefined {
    return this.#end;
  }

  /** The first match among the lines printed so far and yet to come. */
  line(pattern: RegExp, signal: AbortSignal): Promise<RegExpExecArray> {
    const what = `${this.name} to print ${pattern}`;
    return new Promise((resolve, reject) => {
      let seen = 0;
      const finish = (settle: () => void): void => {
        this.#listeners.delete(look);
        signal.removeEventListener('abort', onAbort);
        settle();
      };
      const onAbort = (): void => finish(() => reject(new Error(`waited in vain for ${what}`)));
      const look = (): void => {
        for (; seen < this.lines.length; seen++) {
          const match = pattern.exec(this.lines[seen]!);
          if (match !== null) return finish(() => resolve(match));
        }
        if (this.#end !== undefined) finish(() => reject(new Error(`expected ${what}, found ${this.#end}`)));
      };
      if (signal.aborted) return onAbort();
      this.#listeners.add(look);
      signal.addEventListener('abort', onAbort, { once: true });
      look();
    });
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#end === undefined) this.#process.kill(signal);
  }

  /** The end of its log. */
  tail(): string {
    const lines = this.lines.slice(-TAIL_LINES).map((line) => `  ${line.slice(0, TAIL_COLUMNS)}`);
    return [`--- ${this.name} (${this.#end ?? 'running'})`, ...lines].join('\n');
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

export class Lab {
  /** A folder of this case's own, world-searchable, its path free of symlinks. */
  readonly folder: string;
  /** Aborted at the case's deadline. */
  readonly signal: AbortSignal;
  /** Resolves at the case's deadline. */
  readonly #late: Promise<undefined>;
  readonly #clients: Client[] = [];
  #names = 0;

  private constructor(folder: string, deadlineMs: number) {
    this.folder = folder;
    this.signal = AbortSignal.timeout(deadlineMs);
    this.#late = new Promise((resolve) => {
      this.signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    openLabs.add(this);
  }

  static async open(deadlineMs = DEADLINE_MS): Promise<Lab> {
    return new Lab(await realpath(await mkdtemp(join(tmpdir(), 'spate-interop-'))), deadlineMs);
  }

  /** The path of something that is not there yet. */
  newPath(name: string): string {
    return join(this.folder, `${++this.#names}-${name}`);
  }

  /** Starts a program with a home of its own. @param stdin `pipe` is open for as long as the program is to run */
  async start(
    name: string,
    command: string,
    args: readonly string[],
    stdin: 'ignore' | 'pipe' = 'ignore',
  ): Promise<Client> {
    const process = spawn(command, args, {
      cwd: this.folder,
      env: { PATH: globalThis.process.env.PATH, LANG: 'C.UTF-8', HOME: this.folder },
      stdio: [stdin, 'pipe', 'pipe'],
    });
    await once(process, 'spawn');
    const client = new Client(name, process, process.pid!);
    this.#clients.push(client);
    return client;
  }

  /** Starts what cannot choose its port itself. `launch` throws `PortTaken` when somebody else was quicker. */
  async onFreePort<T>(launch: (port: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await launch(await freePort());
      } catch (error) {
        if (!(error instanceof PortTaken) || attempt === PORT_ATTEMPTS) throw error;
      }
    }
  }

  /** Asks `client` until it gives something. A question may fail, as it does while a daemon starts. */
  async answer<T>(client: Client, what: string, ask: () => Promise<T | undefined>): Promise<T> {
    let problem = 'no answer yet';
    while (client.end === undefined && !this.signal.aborted) {
      try {
        const given = await Promise.race([ask(), this.#late]);
        if (given !== undefined) return given;
        problem = 'not so far';
      } catch (error) {
        problem = messageOf(error);
      }
      await delay(ASK_AGAIN_MS);
    }
    throw new Error(`waited in vain for ${what} (${problem}); ${client.name}: ${client.end ?? 'running'}`);
  }

  /** Waits for a process to end, which it must do in this way. */
  async expectEnd(client: Client, expected = 'exit code 0'): Promise<void> {
    const end = await Promise.race([client.ended, this.#late]);
    if (end === undefined) throw new Error(`waited in vain for ${client.name} to end`);
    if (end !== expected) throw new Error(`expected ${client.name} to end with ${expected}, found ${end}`);
  }

  /** Sends TERM to the processes of this name and waits until they have ended, in whatever way. */
  async terminate(name: string): Promise<void> {
    const clients = this.#clients.filter((client) => client.name === name);
    for (const client of clients) client.kill('SIGTERM');
    const ended = await Promise.race([Promise.all(clients.map((client) => client.ended)), this.#late]);
    if (ended === undefined) throw new Error(`waited in vain for ${name} to end after a TERM`);
  }

  /** The end of every log. */
  tails(): string {
    return this.#clients.map((client) => client.tail()).join('\n');
  }

  killAll(): void {
    for (const client of this.#clients) client.kill('SIGKILL');
  }

  async close(): Promise<void> {
    this.killAll();
    await Promise.all(this.#clients.map((client) => client.ended));
    await rm(this.folder, { recursive: true, force: true });
    openLabs.delete(this);
  }
}

/** Labs not closed yet: for the case that a test, or this process, is cut short. */
const openLabs = new Set<Lab>();

process.once('exit', () => {
  for (const lab of openLabs) lab.killAll();
});

/** Runs a case. A failure comes with the logs of all its processes. */
export async function inLab<T>(work: (lab: Lab) => Promise<T>, deadlineMs?: number): Promise<T> {
  const lab = await Lab.open(deadlineMs);
  try {
    return await work(lab);
  } catch (error) {
    throw new Error(`${messageOf(error)}\n${lab.tails()}`, { cause: error });
  } finally {
    await lab.close();
  }
}

/** Ends what a case that was cut short has left. */
export async function closeLabs(): Promise<void> {
  await Promise.all([...openLabs].map((lab) => lab.close()));
}

/** Somebody else has the port. */
export class PortTaken extends Error {}

/** A TCP port on loopback that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The built `spate` command, as a user runs it. Not a test. */
import { fileURLToPath } from 'node:url';
import type { Comparison } from '../../src/bench/comparison.js';
import type { Client, Lab } from './lab.js';
import { type Task, torrentFile } from './task.js';

export const CLI = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
/** Loopback only; the details go to the log that a failure shows. */
const ARGUMENTS = ['--bind', '127.0.0.1', '--json', '-v'];
/** What a command ends with that a TERM has stopped. */
const TERMINATED = 'exit code 143';

/** What is used of a torrent's entry in the summary of `--json`. */
export interface Outcome {
  readonly state: string;
  /** Bytes. */
  readonly downloaded: number;
  readonly uploaded: number;
  /** That were connected at some time. */
  readonly peers: number;
}

/** `spate get`: resolves when it has ended well. */
export async function spateGet(task: Task, ...options: readonly string[]): Promise<Outcome> {
  const get = await startGet(task, options);
  await task.lab.expectEnd(get);
  return outcomeOf(get);
}

/** A `spate` that stays until it is told to leave. */
export interface SpateStay {
  /** Sends TERM; resolves when it has left in good order. */
  leave(): Promise<Outcome>;
}

/** `spate get --seed`: resolves when it runs. */
export async function spateGetAndSeed(task: Task, ...options: readonly string[]): Promise<SpateStay> {
  return stayOf(task, await startGet(task, ['--seed', ...options]));
}

/** `spate seed`: resolves when it says that it is ready. */
export async function spateSeed(task: Task, ...options: readonly string[]): Promise<SpateStay> {
  const seed = await start(task, 'seed', [await torrentFile(task), task.folder, ...options]);
  await seed.line(/^\{"type":"ready"/, task.lab.signal);
  return stayOf(task, seed);
}

/** `spate bench compare`: what it has measured. */
export async function spateCompare(lab: Lab, args: readonly string[]): Promise<Comparison> {
  const race = await lab.start('spate bench compare', process.execPath, [CLI, 'bench', 'compare', '--json', ...args]);
  await lab.expectEnd(race);
  return JSON.parse(race.lines.find((line) => line.startsWith('{"type":"comparison"'))!);
}

function stayOf({ lab }: Task, client: Client): SpateStay {
  return {
    async leave() {
      client.kill('SIGTERM');
      await lab.expectEnd(client, TERMINATED);
      return outcomeOf(client);
    },
  };
}

async function startGet(task: Task, options: readonly string[]): Promise<Client> {
  const fixed = ['-o', task.folder, '--peer-timeout', '20s'];
  return start(task, 'get', [await torrentFile(task), ...fixed, ...options]);
}

function start({ lab }: Task, command: 'get' | 'seed', args: readonly string[]): Promise<Client> {
  return lab.start(`spate ${command}`, process.execPath, [CLI, command, ...ARGUMENTS, ...args]);
}

function outcomeOf({ name, lines }: Client): Outcome {
  const summary = lines.findLast((line) => line.startsWith('{"type":"summary"'));
  if (summary === undefined) throw new Error(`expected ${name} to print a summary, found none`);
  return JSON.parse(summary).downloads[0];
}

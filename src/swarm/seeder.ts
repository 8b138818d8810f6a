/** A seeding process of this engine: `spate seed`, started and waited for until peers can find it. */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { type ExitStatus, type SpateProcess, type SpateProcessOptions, spawnSpate } from './spate-process.js';

export interface SeederOptions extends Pick<SpateProcessOptions, 'cwd' | 'env'> {
  /** Path of the `.torrent`. */
  readonly torrent: string;
  /** Folder of the payload. */
  readonly dir: string;
  /** Local address; loopback when absent. */
  readonly bind?: string;
  /** Further flags of `spate seed`. */
  readonly flags?: readonly string[];
  /** Gives up waiting, and ends the process. */
  readonly signal?: AbortSignal;
}

export interface Seeder {
  readonly pid: number;
  /** That peers connect to. */
  readonly port: number;
  /** Good pieces on disk, and pieces in all. */
  readonly pieces: number;
  readonly of: number;
  readonly exited: Promise<ExitStatus>;
  stop(): Promise<ExitStatus>;
}

interface ReadyLine {
  readonly port: number;
  readonly pieces: number;
  readonly of: number;
}

const LOOPBACK = '127.0.0.1';

/** Lines of stderr told when a seeder does not start. */
const TOLD_LINES = 5;

/**
 * Resolves when the data are hashed, the port listens and a tracker has answered.
 * @throws Error with the process's last words when it ends before that; the signal's reason
 */
export async function startSeeder(options: SeederOptions): Promise<Seeder> {
  const { torrent, dir, bind = LOOPBACK, flags = [], signal } = options;
  signal?.throwIfAborted();
  const args = ['seed', torrent, dir, '--json', '--bind', bind, ...flags];
  const seeder = spawnSpate(args, { ...options, stdout: 'pipe', stderr: 'pipe' });
  const onAbort = (): void => void seeder.stop();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const { port, pieces, of } = await readyLine(seeder);
    return { pid: seeder.child.pid!, port, pieces, of, exited: seeder.exited, stop: () => seeder.stop() };
  } catch (error) {
    await seeder.stop();
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

async function readyLine({ child, exited }: SpateProcess): Promise<ReadyLine> {
  const words = lastLines(child.stderr!);
  const ready = new Promise<ReadyLine>((resolve, reject) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const event = JSON.parse(line);
      if (event.type === 'ready') resolve(event);
    });
    exited.then(({ code, signal }) => {
      reject(
        new Error(`a seeder ended with ${signal ?? `exit code ${code}`} instead of seeding: ${words.join(' | ')}`),
      );
    }, reject);
  });
  return await ready;
}

/** The last lines of a stream, as they come. */
function lastLines(stream: Readable): readonly string[] {
  const lines: string[] = [];
  createInterface({ input: stream }).on('line', (line) => {
    lines.push(line);
    if (lines.length > TOLD_LINES) lines.shift();
  });
  return lines;
}

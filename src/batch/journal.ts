/**
 * What a batch remembers from one run to the next: how each torrent ended. A file of JSON lines that only grows while a run
 * lasts, so that a kill at any moment costs the line that was being written, and with it no more than a second look at what
 * is on disk: resume state is the torrent's own affair.
 *
 * The first line says what the file is; a later line about a torrent counts instead of an earlier one.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileError, messageOf, SpateError } from '../errors.js';
import { makeFolders, nodeDisk } from '../storage/disk.js';
import { type Lock, takeLock } from '../storage/lock.js';

export interface Outcome {
  readonly state: 'done' | 'failed';
  /** Of the wanted files. */
  readonly length: number;
  /** Fetched in that run. */
  readonly downloaded: number;
  readonly seconds: number;
  readonly attempts: number;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface JournalSettings {
  readonly path: string;
  /** Where locks are kept. */
  readonly lockFolder: string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly onWarning: (message: string) => void;
}

const HEADER = { journal: 'spate batch', version: 1 };
/** As long as no line of ours is. */
const MAX_LINE = 65_536;
/** A million torrents, several times over. */
const MAX_BYTES = 1024 * 1_048_576;
/** A journal is written anew when it has so many lines for each torrent. */
const LINES_PER_TORRENT = 2;

export class Journal {
  readonly #settings: JournalSettings;
  readonly #lock: Lock;
  readonly #file: FileHandle;
  readonly #outcomes: ReadonlyMap<string, Outcome>;
  #pending: string[] = [];
  #writing: Promise<void> | undefined;

  private constructor(settings: JournalSettings, lock: Lock, file: FileHandle, outcomes: ReadonlyMap<string, Outcome>) {
    this.#settings = settings;
    this.#lock = lock;
    this.#file = file;
    this.#outcomes = outcomes;
  }

  /**
   * Opens a journal, or begins one.
   * @throws SpateError ALREADY_RUNNING when another process has it open, USAGE for a file that is something else, LOCAL_IO,
   * DISK_FULL
   */
  static async open(settings: JournalSettings): Promise<Journal> {
    const path = resolve(settings.path);
    const folder = dirname(path);
    try {
      await makeFolders(nodeDisk, folder);
    } catch (error) {
      throw fileError(`make ${folder}`, error);
    }
    const lock = await takeLock(settings.lockFolder, path, settings.random);
    if (lock === undefined) {
      throw new SpateError('ALREADY_RUNNING', `the batch of ${path} runs in another process; wait for it, or stop it`);
    }
    try {
      const { outcomes, lines, damaged } = await readJournal(path);
      if (damaged > 0) settings.onWarning(`${path}: ${damaged} damaged lines are left out`);
      const isLong = lines > LINES_PER_TORRENT * outcomes.size + 1;
      if (damaged > 0 || lines === 0 || isLong || !(await endsInLine(path))) await rewrite(path, outcomes);
      return new Journal(settings, lock, await open(path, 'a', 0o600), outcomes);
    } catch (error) {
      lock.release();
      throw error instanceof SpateError ? error : fileError(`open the journal ${path}`, error);
    }
  }

  /** How a torrent ended in an earlier run. */
  outcomeOf(key: string): Outcome | undefined {
    return this.#outcomes.get(key);
  }

  /** Writes down how one has ended; on disk soon, with others. */
  record(key: string, outcome: Outcome): void {
    this.#pending.push(`${JSON.stringify({ key, ...outcome })}\n`);
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** What was recorded is on disk, as far as it can be. Safe to call again. */
  async close(): Promise<void> {
    await this.#writing;
    if (this.#pending.length > 0) await this.#write();
    await this.#file.close().catch(() => {});
    this.#lock.release();
  }

  /** Never rejects: without its journal a batch does its work all the same. */
  async #write(): Promise<void> {
    while (this.#pending.length > 0) {
      const lines = this.#pending;
      this.#pending = [];
      try {
        await this.#file.appendFile(lines.join(''));
        await this.#file.datasync();
      } catch (error) {
        // What was cut off ends here; the lines are written again with the next ones.
        this.#pending = ['\n', ...lines, ...this.#pending];
        const { path, onWarning } = this.#settings;
        return onWarning(
          `cannot write the journal ${path}: ${messageOf(error)}; what is missing is looked at again next time`,
        );
      }
    }
  }
}

interface Contents {
  readonly outcomes: Map<string, Outcome>;
  readonly lines: number;
  readonly damaged: number;
}

/** @throws SpateError USAGE when it is no journal */
async function readJournal(path: string): Promise<Contents> {
  const contents = { outcomes: new Map<string, Outcome>(), lines: 0, damaged: 0 };
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (stats === undefined || (stats.isFile() && stats.size === 0)) return contents;
  const refused = (found: string): SpateError =>
    new SpateError('USAGE', `${path}: expected a journal of spate batch, found ${found}; name another file`);
  if (!stats.isFile()) throw refused('no file');
  if (stats.size > MAX_BYTES) throw refused(`${stats.size} bytes`);
  const input = createReadStream(path, { encoding: 'utf8' });
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (contents.lines === 0 && !isHeader(line)) throw refused('something else');
      if (contents.lines++ === 0 || line === '') continue;
      const parsed = line.length > MAX_LINE ? undefined : parseOutcome(line);
      if (parsed === undefined) contents.damaged++;
      else contents.outcomes.set(...parsed);
    }
  } finally {
    input.destroy();
  }
  return contents;
}

/** Whether what is appended begins a line. */
async function endsInLine(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    return buffer.toString() === '\n';
  } finally {
    await file.close();
  }
}

/** Under a temporary name, flushed, renamed. */
async function rewrite(path: string, outcomes: ReadonlyMap<string, Outcome>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.new`);
  const lines = [HEADER, ...[...outcomes].map(([key, outcome]) => ({ key, ...outcome }))];
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

function isHeader(line: string): boolean {
  const header = parseObject(line.slice(0, MAX_LINE));
  return header?.journal === HEADER.journal && header.version === HEADER.version;
}

function parseOutcome(line: string): [string, Outcome] | undefined {
  const { key, state, length, downloaded, seconds, attempts, error } = parseObject(line) ?? {};
  const isKnown = state === 'done' || state === 'failed';
  if (typeof key !== 'string' || !isKnown || ![length, downloaded, seconds, attempts].every(isCount)) return undefined;
  const counts = { length, downloaded, seconds, attempts } as Pick<
    Outcome,
    'length' | 'downloaded' | 'seconds' | 'attempts'
  >;
  if (error === undefined) return [key, { state, ...counts }];
  const { code, message } = Object(error) as Record<string, unknown>;
  if (typeof code !== 'string' || typeof message !== 'string') return undefined;
  return [key, { state, ...counts, error: { code, message } }];
}

const isCount = (value: unknown): boolean => typeof value === 'number' && value >= 0 && Number.isFinite(value);

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

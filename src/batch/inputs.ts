/**
 * What a batch is given -> items whose torrents were read. An argument is a folder or a glob of `.torrent` files, a `.torrent`,
 * or a list; standard input is a list that is read as it comes. Folders that are watched are `watch.ts`'s.
 */
import { createReadStream, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileError, SpateError } from '../errors.js';
import { requirePath } from '../protocol/source.js';
import { isMissing } from '../storage/torrent-source.js';
import { check } from './check.js';
import { type Checked, type Entry, isRefused, type Refused } from './entry.js';
import { filesMatching, isGlob, torrentsIn } from './glob-files.js';
import { ListParser } from './list.js';

type Item = Checked | Refused;

/** More than a million lines; a disk image given by mistake need not be read to its end. */
const MAX_LIST_BYTES = 256 * 1_048_576;
/** The loop turns as often while torrents are read, so that a signal is heard. */
const SLICE_MS = 10;

export interface Inputs {
  /** In the order of the arguments and their lines. */
  readonly checked: readonly Checked[];
  readonly refused: readonly Refused[];
}

/**
 * Reads and checks everything that the arguments stand for. An argument with nothing in it is refused, too.
 * @param args paths and globs; not `-`, which may never end
 * @throws the signal's reason
 */
export async function readInputs(args: readonly string[], signal: AbortSignal): Promise<Inputs> {
  const checked: Checked[] = [];
  const refused: Refused[] = [];
  const reader = new Reader(signal);
  for (const arg of args) {
    for await (const items of reader.argument(arg)) {
      for (const item of items) {
        if (isRefused(item)) refused.push(item);
        else checked.push(item);
      }
    }
  }
  return { checked, refused };
}

/**
 * The items of a list on standard input, as its lines come. Ends with the stream or the signal.
 * @throws SpateError LOCAL_IO
 */
export async function* streamInput(stdin: Readable, signal: AbortSignal): AsyncGenerator<Item, void, void> {
  const reader = new Reader(signal);
  try {
    for await (const items of reader.stream(stdin, 'stdin')) for (const item of items) yield item;
  } catch (error) {
    if (!signal.aborted) throw error instanceof SpateError ? error : fileError('read standard input', error);
  }
}

/** Gives items in portions: tens of thousands of them need not be awaited one by one. */
class Reader {
  readonly #signal: AbortSignal;
  #turnedAt = performance.now();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async *argument(arg: string): AsyncGenerator<Item[], void, void> {
    let count = 0;
    try {
      requirePath(arg);
      for await (const items of this.#path(arg)) {
        count += items.length;
        yield items;
      }
      if (count === 0) throw new SpateError('INVALID_TORRENT', `${arg}: expected at least one torrent, found none`);
    } catch (error) {
      this.#signal.throwIfAborted();
      yield [refusedArgument(arg, error)];
    }
  }

  /** The lines of a list that may never end. */
  async *stream(stream: Readable, name: string, listFolder?: string): AsyncGenerator<Item[], void, void> {
    addAbortSignal(this.#signal, stream);
    const parser = new ListParser(name);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      yield await this.#checked(parser.push(chunk), listFolder);
      if (parser.isOver) return;
    }
    yield await this.#checked(parser.end(), listFolder);
  }

  async *#path(path: string): AsyncGenerator<Item[], void, void> {
    // Synchronous, as a shell may have made ten thousand arguments of a glob.
    const facts = statSync(path, { throwIfNoEntry: !isGlob(path) });
    if (facts === undefined) {
      for (const file of await filesMatching(path, this.#signal)) yield* this.#file(file, statSync(file));
    } else if (facts.isDirectory()) {
      yield await this.#checked((await torrentsIn(path)).map(entryOf));
    } else yield* this.#file(path, facts);
  }

  async *#file(path: string, facts: Stats): AsyncGenerator<Item[], void, void> {
    if (/\.torrent$/i.test(path) || (facts.isFile() && (await startsAsTorrent(path)))) {
      yield await this.#checked([entryOf(path)]);
    } else if (facts.isFile() && facts.size > MAX_LIST_BYTES) {
      const found = `found ${facts.size}`;
      throw new SpateError('INVALID_TORRENT', `${path}: expected a list of at most ${MAX_LIST_BYTES} bytes, ${found}`);
    } else yield* this.stream(createReadStream(path), path, folderOf(path));
  }

  async #checked(found: readonly (Entry | Refused)[], listFolder?: string): Promise<Item[]> {
    const items: Item[] = [];
    for (const each of found) {
      items.push('error' in each ? each : check(each, listFolder));
      if (performance.now() - this.#turnedAt < SLICE_MS) continue;
      await nextTurn();
      this.#signal.throwIfAborted();
      this.#turnedAt = performance.now();
    }
    return items;
  }
}

/** Of a `.torrent` that is named by no list. */
function entryOf(path: string): Entry {
  return { place: { file: path }, source: path };
}

/** The folder of a list, unless that is the working directory anyway. */
function folderOf(list: string): string | undefined {
  const folder = dirname(list);
  return resolve(folder) === process.cwd() ? undefined : folder;
}

/** Bencode of a dictionary with a key: whatever its name, it is no list. */
async function startsAsTorrent(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(12), 0, 12, 0);
    return /^d\d+:/.test(Buffer.from(buffer.subarray(0, bytesRead)).toString('latin1'));
  } finally {
    await file.close();
  }
}

function refusedArgument(arg: string, error: unknown): Refused {
  const place = { file: arg };
  if (error instanceof SpateError) return { place, source: arg, error };
  const { code } = error as NodeJS.ErrnoException;
  // Anything else is a fault of ours.
  if (code === undefined) throw error;
  if (!isMissing(error)) return { place, source: arg, error: fileError(`read ${arg}`, error) };
  const expected = 'expected a list, a .torrent file, or a folder or glob of them';
  const message = `cannot read ${arg}: ${expected}, but there is no such file`;
  return { place, source: arg, error: new SpateError('INVALID_TORRENT', message, { cause: error }) };
}

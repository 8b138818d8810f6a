/**
 * Folders whose new `.torrent` files are items. The kernel tells of changes where it can, a rescan finds what it did not tell. A
 * file is taken when it is a whole torrent; one that is not yet is looked at again, and refused when it has long stayed the same.
 */
import { type FSWatcher, type Stats, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock } from '../discovery/clock.js';
import { fileError, type SpateError } from '../errors.js';
import { check } from './check.js';
import { type Checked, isRefused, type Refused } from './entry.js';
import { isTorrentName } from './glob-files.js';

export interface WatchSettings {
  readonly clock: Clock;
  /** Between two looks at the folders, when the kernel tells nothing. */
  readonly pollMs: number;
  /** From a word of the kernel to the look: a file that is written has many. */
  readonly settleMs: number;
  /** A file that is no torrent is refused when its size and time of last change have stayed the same for so long. */
  readonly patienceMs: number;
  /** How the kernel is asked to tell: lets a test be without. */
  readonly watch: typeof watch;
}

const DEFAULTS: WatchSettings = { clock: systemClock, pollMs: 1_000, settleMs: 50, patienceMs: 5_000, watch };

/** What is known of a file of a watched folder. */
interface Known {
  /** Size and time of last change. */
  version: string;
  /** When it was first seen with these, by the clock. */
  since: number;
  /** It was reported; where the kernel tells of changes, it is looked at again only then. */
  isSettled: boolean;
  /** As it was reported last. */
  infohash: string | undefined;
}

/**
 * The `.torrent` files of the folders: those that are there, then others as they come. Each once, unless it becomes another
 * torrent. Ends with the signal.
 * @throws SpateError LOCAL_IO, at the first step, for a folder that cannot be read
 */
export async function* watchFolders(
  folders: readonly string[],
  signal: AbortSignal,
  settings: Partial<WatchSettings> = {},
): AsyncGenerator<Checked | Refused, void, void> {
  const all = { ...DEFAULTS, ...settings };
  const { clock, pollMs, settleMs } = all;
  const bell = new Bell();
  const watched = folders.map((path) => new WatchedFolder(path, all, () => bell.ring()));
  try {
    for (const folder of watched) await folder.start();
    while (!signal.aborted) {
      for (const folder of watched) {
        for await (const item of folder.look(clock.now())) {
          yield item;
          if (signal.aborted) return;
        }
      }
      const rang = await bell.wait((stop) => clock.sleep(pollMs, stop), signal);
      if (rang) await clock.sleep(settleMs, signal).catch(() => {});
    }
  } finally {
    for (const folder of watched) folder.close();
  }
}

class WatchedFolder {
  readonly #path: string;
  readonly #settings: Pick<WatchSettings, 'patienceMs' | 'watch'>;
  readonly #onChange: () => void;
  /** By name; a file that goes is forgotten. */
  readonly #known = new Map<string, Known>();
  /** Names that the kernel told of since the last look. */
  readonly #changed = new Set<string>();
  #watcher: FSWatcher | undefined;
  /** It could not be read the last time, and that was said. */
  #isLost = false;

  constructor(path: string, settings: Pick<WatchSettings, 'patienceMs' | 'watch'>, onChange: () => void) {
    this.#path = path;
    this.#settings = settings;
    this.#onChange = onChange;
  }

  async start(): Promise<void> {
    // First the watch, then the look: nothing comes in between.
    this.#watch();
    await this.#names();
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /** What has become an item since the last look. */
  async *look(now: number): AsyncGenerator<Checked | Refused, void, void> {
    let names: string[];
    try {
      names = await this.#names();
    } catch (error) {
      if (!this.#isLost) yield { place: { file: this.#path }, source: this.#path, error: error as SpateError };
      this.#isLost = true;
      return this.close();
    }
    this.#isLost = false;
    const isTold = this.#watcher !== undefined;
    if (!isTold) this.#watch();
    const changed = new Set(this.#changed);
    this.#changed.clear();
    this.#forgetAllBut(new Set(names));
    for (const name of names) {
      if (isTold && this.#known.get(name)?.isSettled === true && !changed.has(name)) continue;
      const item = await this.#examine(name, now);
      if (item !== undefined) yield item;
    }
  }

  /** @returns the item that a file is, when it has become one or never will */
  async #examine(name: string, now: number): Promise<Checked | Refused | undefined> {
    const path = join(this.#path, name);
    const facts = await stat(path).catch(() => undefined);
    if (facts === undefined || facts.isDirectory()) return undefined;
    const version = versionOf(facts);
    const before = this.#known.get(name);
    const isSame = before?.version === version;
    const known = isSame ? before : { version, since: now, isSettled: false, infohash: before?.infohash };
    this.#known.set(name, known);
    const isOld = now - known.since >= this.#settings.patienceMs;
    if (known.isSettled || (isSame && !isOld)) return undefined;
    const item = check({ place: { file: path }, source: path });
    if (isRefused(item)) {
      known.isSettled = isOld;
      return isOld ? item : undefined;
    }
    const isNew = known.infohash !== item.infohash;
    known.isSettled = true;
    known.infohash = item.infohash;
    return isNew ? item : undefined;
  }

  #forgetAllBut(names: ReadonlySet<string>): void {
    for (const name of this.#known.keys()) if (!names.has(name)) this.#known.delete(name);
  }

  /** @throws SpateError LOCAL_IO */
  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#path)).filter(isTorrentName).sort();
    } catch (error) {
      throw fileError(`watch ${this.#path}`, error);
    }
  }

  /** Without a watch, as on some network disks or above the system's limit of watches, the rescan has to do. */
  #watch(): void {
    try {
      const watcher = this.#settings.watch(this.#path, (_, name) => {
        if (name === null || !isTorrentName(name)) return;
        this.#changed.add(name);
        this.#onChange();
      });
      watcher.on('error', () => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch {
      this.#watcher = undefined;
    }
  }
}

/** Wakes who waits; a ring with nobody there is not lost. */
class Bell {
  #rang = false;
  #wake = (): void => {};

  ring(): void {
    this.#rang = true;
    this.#wake();
  }

  /** Until it rings, the sleep is over, or the signal is aborted; then nothing of it is left. @returns whether it rang */
  async wait(sleep: (stop: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<boolean> {
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    this.#wake = onAbort;
    if (this.#rang || signal.aborted) stop.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    await sleep(stop.signal).catch(() => {});
    signal.removeEventListener('abort', onAbort);
    this.#wake = () => {};
    const rang = this.#rang;
    this.#rang = false;
    return rang;
  }
}

function versionOf({ size, mtimeMs, ino }: Stats): string {
  return `${size} ${mtimeMs} ${ino}`;
}

import { once } from 'node:events';
import { type FSWatcher, watch } from 'node:fs';
import { appendFile, mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Checked, isRefused, type Refused, refusedText } from '../../../src/batch/entry.js';
import { type WatchSettings, watchFolders } from '../../../src/batch/watch.js';
import type { Clock } from '../../../src/discovery/clock.js';
import { temporaryFolder } from '../../helpers/fs-temp.js';
import { smallTorrent } from '../../helpers/small-torrent.js';

const bytesOf = (name: string): Buffer => smallTorrent(1, 16_384, { name }).bytes;

/** Time passes as far as it may, sleep by sleep; who would sleep longer waits. */
class Leash implements Clock {
  #now = 0;
  #end = 0;
  #pull = (): void => {};
  #onTaut = (): void => {};

  now(): number {
    return this.#now;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    const until = this.#now + ms;
    while (until > this.#end) {
      this.#onTaut();
      await new Promise<void>((resolve, reject) => {
        this.#pull = resolve;
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        if (signal.aborted) reject(signal.reason);
      });
    }
    await nextTurn();
    signal.throwIfAborted();
    this.#now = Math.max(this.#now, until);
  }

  /** Resolves when all has happened that does in so many milliseconds. */
  async pass(ms: number): Promise<void> {
    const taut = new Promise<void>((resolve) => {
      this.#onTaut = resolve;
    });
    this.#end += ms;
    this.#pull();
    await taut;
  }
}

interface Watching {
  readonly clock: Leash;
  /** What came so far: names, or what was refused. */
  readonly told: string[];
  readonly ended: Promise<void>;
  stop(): void;
}

/** Watches; every item is noted as it comes. */
function watching(folders: readonly string[], settings: Partial<WatchSettings> = {}): Watching {
  const controller = new AbortController();
  const clock = new Leash();
  const told: string[] = [];
  const ended = (async () => {
    for await (const item of watchFolders(folders, controller.signal, { clock, ...settings })) told.push(text(item));
  })();
  onTestFinished(async () => {
    controller.abort();
    await ended.catch(() => {});
  });
  return { clock, told, ended, stop: () => controller.abort() };
}

/** Does something in a folder; resolves when the kernel has told its watchers. */
async function noticed(folder: string, act: () => Promise<void>): Promise<void> {
  const watcher = watch(folder);
  const change = once(watcher, 'change');
  await act();
  await change;
  watcher.close();
  await nextTurn();
}

const text = (item: Checked | Refused): string => (isRefused(item) ? `! ${refusedText(item)}` : item.name);

const watchers = (): number => process.getActiveResourcesInfo().filter((name) => name.startsWith('FSEvent')).length;

describe('a watched folder', () => {
  it('gives the torrents that are there, then those that come, each once', async () => {
    const [one, two] = [await temporaryFolder(), await temporaryFolder()];
    await writeFile(join(one, 'a.torrent'), bytesOf('a'));
    await writeFile(join(one, 'notes.txt'), 'x');
    await writeFile(join(one, '.b.torrent'), bytesOf('hidden'));
    await mkdir(join(one, 'folder.torrent'));
    const { clock, told } = watching([one, two]);
    await clock.pass(10_000);
    expect(told).toEqual(['a']);
    await writeFile(join(two, 'c.torrent'), bytesOf('c'));
    await rename(join(one, '.b.torrent'), join(one, 'b.torrent'));
    await clock.pass(10_000);
    expect(told.sort()).toEqual(['a', 'c', 'hidden']);
    await clock.pass(60_000);
    expect(told).toHaveLength(3);
  });

  it('tells of a torrent as soon as the kernel does, without a rescan', async () => {
    const folder = await temporaryFolder();
    const controller = new AbortController();
    const clock = new Leash();
    const items = watchFolders([folder], controller.signal, { clock, pollMs: 1e9, settleMs: 0 });
    const first = items.next();
    await clock.pass(0);
    await writeFile(join(folder, 'a.torrent'), bytesOf('a'));
    expect(text((await first).value!)).toBe('a');
    const last = items.next();
    controller.abort();
    expect((await last).done).toBe(true);
  });

  it('waits for a file to be whole, and refuses it when it has long stayed as it is', async () => {
    const folder = await temporaryFolder();
    const bytes = bytesOf('a');
    const path = join(folder, 'a.torrent');
    await writeFile(path, bytes.subarray(0, 20));
    await writeFile(join(folder, 'never.torrent'), 'd8:announce');
    const { clock, told } = watching([folder], { patienceMs: 5_000 });
    await clock.pass(4_000);
    await appendFile(path, bytes.subarray(20, 40));
    await clock.pass(2_000);
    expect(told).toEqual([expect.stringMatching(/^! .*never\.torrent: invalid torrent/)]);
    await appendFile(path, bytes.subarray(40));
    await clock.pass(2_000);
    expect(told.slice(1)).toEqual(['a']);
    await clock.pass(60_000);
    expect(told).toHaveLength(2);
  });

  it('tells of a file again when it has become another torrent, not when it was touched', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'a.torrent');
    await writeFile(path, bytesOf('a'));
    const { clock, told } = watching([folder]);
    await clock.pass(2_000);
    await utimes(path, 1, 1);
    await clock.pass(2_000);
    expect(told).toEqual(['a']);
    await noticed(folder, () => writeFile(path, bytesOf('other')));
    await clock.pass(2_000);
    expect(told).toEqual(['a', 'other']);
    await rm(path);
    await clock.pass(2_000);
    await writeFile(path, bytesOf('other'));
    await clock.pass(2_000);
    expect(told).toEqual(['a', 'other', 'other']);
  });

  it('that the kernel does not tell of is looked at all the same: a file that was refused, and one that is replaced', async () => {
    const folder = await temporaryFolder();
    const [late, replaced] = [join(folder, 'late.torrent'), join(folder, 'replaced.torrent')];
    const bytes = bytesOf('late');
    await writeFile(late, bytes.subarray(0, 20));
    await writeFile(replaced, bytesOf('first'));
    let asked = 0;
    const { clock, told } = watching([folder], {
      watch: () => {
        asked++;
        throw Object.assign(new Error('no space left for watches'), { code: 'ENOSPC' });
      },
    });
    await clock.pass(10_000);
    expect(told).toEqual(['first', expect.stringMatching(/^! .*late\.torrent: invalid torrent/)]);
    await appendFile(late, bytes.subarray(20));
    await writeFile(replaced, bytesOf('second'));
    await clock.pass(3_000);
    expect(told.slice(2)).toEqual(['late', 'second']);
    await clock.pass(60_000);
    expect(told).toHaveLength(4);
    expect(asked).toBeGreaterThan(1);
  });

  it('that the kernel tells of again may have changed in between', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'a.torrent');
    await writeFile(path, bytesOf('first'));
    const watches: FSWatcher[] = [];
    const silent = (() => {
      const watcher = watch(folder, () => {});
      watches.push(watcher);
      return watcher;
    }) as typeof watch;
    const { clock, told } = watching([folder], { watch: silent });
    await clock.pass(3_000);
    await writeFile(path, bytesOf('second'));
    await clock.pass(3_000);
    expect(told).toEqual(['first']);
    watches[0]!.emit('error', new Error('the watch is lost'));
    await clock.pass(3_000);
    expect(told).toEqual(['first', 'second']);
    expect(watches).toHaveLength(2);
  });

  it('that goes is told once and watched again when it is back', async () => {
    const parent = await temporaryFolder();
    const folder = join(parent, 'in');
    await mkdir(folder);
    const { clock, told } = watching([folder]);
    await clock.pass(2_000);
    await rm(folder, { recursive: true });
    await clock.pass(5_000);
    expect(told).toEqual([expect.stringContaining(`! cannot watch ${folder}: `)]);
    await mkdir(folder);
    await writeFile(join(folder, 'a.torrent'), bytesOf('a'));
    await clock.pass(5_000);
    expect(told.slice(1)).toEqual(['a']);
  });

  it('that is none is an error at once', async () => {
    const folder = join(await temporaryFolder(), 'none');
    await expect(watching([folder]).ended).rejects.toMatchObject({
      code: 'LOCAL_IO',
      message: expect.stringContaining(`cannot watch ${folder}`),
    });
  });

  it('is left when the signal says so, or when nobody asks any more', async () => {
    const before = watchers();
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a.torrent'), bytesOf('a'));
    const { clock, ended, stop } = watching([folder, folder]);
    await clock.pass(3_000);
    expect(watchers()).toBe(before + 2);
    stop();
    await ended;
    const items = watchFolders([folder], new AbortController().signal);
    await items.next();
    await items.return();
    // Handles are gone a turn after they are closed.
    await nextTurn();
    await nextTurn();
    expect(watchers()).toBe(before);
  });
});

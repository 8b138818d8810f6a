/**
 * Room on disk for the items of a batch: what one will need is reserved before it starts, so that a batch does not fill the
 * disk half way through everything.
 */
import { type Stats, stat, statfs } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { SpateError } from '../errors.js';
import type { MetainfoFile } from '../protocol/metainfo.js';

const statFileSystem = promisify(statfs);
const statPath: (path: string) => Promise<Stats> = promisify(stat);

/** What an item has and needs. */
export interface Need {
  /** Of its file system. */
  readonly device: number;
  /** Bytes that are not on disk yet. */
  readonly bytes: number;
  readonly freeBytes: number;
}

/** @param owner whatever a reservation is for */
export class Room<T> {
  readonly #minFree: number;
  readonly #reserved = new Map<T, Need>();
  /** The last folder that was found: it stays on its file system, and most items of a batch go to the same. */
  #found: { readonly path: string; readonly device: number } | undefined;

  /** @param minFree bytes that stay free on each file system */
  constructor(minFree: number) {
    this.#minFree = minFree;
  }

  /**
   * Reserves what an item needs.
   * @throws SpateError DISK_FULL when that is not there
   */
  reserve(owner: T, need: Need, name: string): void {
    let others = 0;
    for (const { device, bytes } of this.#reserved.values()) if (device === need.device) others += bytes;
    const left = need.freeBytes - others - this.#minFree;
    if (need.bytes > left) {
      const taken = [
        ...(others > 0 ? [`${others} are reserved for others`] : []),
        ...(this.#minFree > 0 ? [`${this.#minFree} have to stay free`] : []),
      ];
      const but = taken.length === 0 ? '' : `, of which ${taken.join(' and ')}`;
      throw new SpateError(
        'DISK_FULL',
        `${name} needs ${need.bytes} bytes, the disk has ${need.freeBytes}${but}; free some space and run the same command again`,
      );
    }
    this.#reserved.set(owner, need);
  }

  /** So much is to be written still. */
  onProgress(owner: T, bytes: number): void {
    const need = this.#reserved.get(owner);
    if (need !== undefined && bytes < need.bytes) this.#reserved.set(owner, { ...need, bytes });
  }

  release(owner: T): void {
    this.#reserved.delete(owner);
  }

  /** Whether something of an item is on disk. @param name of its file or folder in `out` */
  async hasData(out: string, name: string): Promise<boolean> {
    return (await statsOf(join(out, name))) !== undefined;
  }

  /**
   * Looks how much of an item is on disk.
   * @param out folder of the payload, not necessarily there
   * @param name of its file or folder in `out`
   * @param files paths below `out`
   * @param length bytes of the wanted files
   */
  async needOf(out: string, name: string, files: readonly Pick<MetainfoFile, 'path'>[], length: number): Promise<Need> {
    const { device, freeBytes, isThere } = await this.#diskOf(resolve(out));
    let taken = 0;
    if (isThere && (await this.hasData(out, name))) {
      for (const { path } of files) taken += ((await statsOf(join(out, ...path)))?.blocks ?? 0) * BLOCK;
    }
    return { device, bytes: Math.max(0, length - taken), freeBytes };
  }

  /** Of a folder, or where it will be made. */
  async #diskOf(path: string): Promise<{ device: number; freeBytes: number; isThere: boolean }> {
    const found = this.#found?.path === path ? this.#found : undefined;
    const freeBytes = found && (await freeIn(path).catch(() => undefined));
    if (found !== undefined && freeBytes !== undefined) return { device: found.device, freeBytes, isThere: true };
    const { folder, stats } = await nearestFolder(path);
    const isThere = folder === path;
    this.#found = isThere ? { path, device: stats.dev } : undefined;
    return { device: stats.dev, freeBytes: await freeIn(folder), isThere };
  }
}

/** Of `Stats.blocks`, whatever the file system's are. */
const BLOCK = 512;

/** The first folder on the way up that is there. */
async function nearestFolder(path: string): Promise<{ folder: string; stats: Stats }> {
  const stats = await statsOf(path);
  if (stats?.isDirectory()) return { folder: path, stats };
  const parent = dirname(path);
  if (parent === path) throw new SpateError('LOCAL_IO', `cannot find the file system of ${path}`);
  return await nearestFolder(parent);
}

async function freeIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statFileSystem(folder);
  return bavail * bsize;
}

async function statsOf(path: string): Promise<Stats | undefined> {
  return await statPath(path).catch(() => undefined);
}

/**
 * The folders between the root of a torrent and its files: made when first needed, checked to lie inside the root. A torrent
 * names paths and the disk may hold symlinks: what exists already must resolve inside the root, what does not is made here
 * and so is no link. The root itself may be one, it is the user's choice.
 */
import { existsSync, lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { fileError } from '../errors.js';
import { call, type Disk, makeFolders } from './disk.js';

/** As many links in a row as Linux follows. */
const MAX_HOPS = 40;

export class Folders {
  readonly #root: string;
  readonly #disk: Disk;
  readonly #create: boolean;
  /** By path below the root; the promises of folders that are good. */
  readonly #checked = new Map<string, Promise<void>>();
  /** The root with every symlink resolved; no file in the root itself needs it. */
  #realRoot: Promise<string> | undefined;

  constructor(root: string, disk: Disk, create: boolean) {
    this.#root = root;
    this.#disk = disk;
    this.#create = create;
  }

  /**
   * Resolves when the first `depth` elements of `path` are a folder inside the root; 0 is the root. Asked once per folder.
   * @throws SpateError (LOCAL_IO, DISK_FULL) naming the folder
   */
  check(path: readonly string[], depth: number): Promise<void> {
    const key = path.slice(0, depth).join('/');
    const known = this.#checked.get(key);
    if (known !== undefined) return known;
    const checking = depth === 0 ? this.#checkRoot() : this.#checkFolder(path, depth);
    this.#checked.set(key, checking);
    // A reader asks again next time: the folder may be there by then.
    checking.catch(() => this.#checked.delete(key));
    return checking;
  }

  async #checkRoot(): Promise<void> {
    if (!this.#create) return;
    await makeFolders(this.#disk, this.#root).catch((error: unknown) => {
      throw fileError(`use folder ${this.#root}`, error);
    });
  }

  async #checkFolder(path: readonly string[], depth: number): Promise<void> {
    await this.check(path, depth - 1);
    const folder = join(this.#root, ...path.slice(0, depth));
    try {
      if (this.#create && (await this.#make(folder))) return;
      const realRoot = await this.#resolveRoot();
      const real = await call<string>((done) => this.#disk.realpath(folder, done));
      if (!isInside(realRoot, real)) throw outside(realRoot, real);
    } catch (error) {
      throw fileError(`use folder ${folder}`, error);
    }
  }

  #resolveRoot(): Promise<string> {
    const resolving = this.#realRoot ?? call<string>((done) => this.#disk.realpath(this.#root, done));
    this.#realRoot = resolving;
    resolving.catch(() => {
      this.#realRoot = undefined;
    });
    return resolving;
  }

  /** @returns whether it was not there before */
  async #make(folder: string): Promise<boolean> {
    try {
      await call((done) => this.#disk.mkdir(folder, done));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }
}

/** Whether a resolved path is a resolved root or lies below it. */
export function isInside(realRoot: string, real: string): boolean {
  return real === realRoot || real.startsWith(realRoot.endsWith(sep) ? realRoot : realRoot + sep);
}

/** What is wrong with a folder that is not. */
export function outside(realRoot: string, real: string): Error {
  return new Error(`it is a symbolic link out of ${realRoot}, to ${real}`);
}

/** A path free of symlinks, also when what it names, or what a link on it points to, is still to be made. */
export function realPath(path: string, hops = MAX_HOPS): string {
  const absolute = resolve(path);
  const parent = dirname(absolute);
  const found = unlessGone(() => (existsSync(absolute) ? realpathSync.native(absolute) : undefined));
  if (found !== undefined || parent === absolute) return found ?? absolute;
  const real = join(realPath(parent, hops), basename(absolute));
  const target = hops > 0 ? linkAt(real) : undefined;
  return target === undefined ? real : realPath(resolve(dirname(real), target), hops - 1);
}

/** Where a symlink points to; `undefined` for what is none. */
function linkAt(path: string): string | undefined {
  const isLink = (): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return unlessGone(() => (isLink() ? readlinkSync(path) : undefined));
}

/** For what is asked whether it is there first: an error costs more than all the rest, and thousands of paths are to be made. */
function unlessGone(look: () => string | undefined): string | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

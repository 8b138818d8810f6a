/**
 * Where torrents are written, so that no two write one file. Real paths are compared, as the disk does that tells the fewest names
 * apart. A torrent may lie in the folder of another one as long as no files of theirs meet, which is looked at only then.
 *
 * Not seen: two ways to one file by a symlink below a torrent's own folder.
 */
import { join, sep } from 'node:path';
import { fold } from '../protocol/paths.js';
import { realPath } from './folders.js';
import type { FileEntry } from './layout.js';

export interface Target {
  /** Of the file or the folder of the torrent, as `targetPath` has it. */
  readonly path: string;
  /** Whose it is, for people. */
  readonly owner: string;
  /** It only reads what is there, as a seed does. */
  readonly readonly?: boolean;
  /** Below the download folder: the torrent's name is the first element of each path. */
  files(): readonly Pick<FileEntry, 'path' | 'pad'>[];
}

/** What stands for the path of a torrent. @param out download folder */
export function targetPath(out: string, name: string): string {
  return fold(realPath(join(out, name)));
}

export class Targets {
  readonly #byPath = new Map<string, Target>();
  /** By folder above them. */
  readonly #below = new Map<string, Set<Target>>();

  add(target: Target): void {
    this.#byPath.set(target.path, target);
    for (const folder of foldersAbove(target.path)) {
      const below = this.#below.get(folder);
      if (below === undefined) this.#below.set(folder, new Set([target]));
      else below.add(target);
    }
  }

  delete(target: Target): void {
    this.#byPath.delete(target.path);
    for (const folder of foldersAbove(target.path)) {
      const below = this.#below.get(folder);
      below?.delete(target);
      if (below?.size === 0) this.#below.delete(folder);
    }
  }

  /** One with the same path, or with a file where a new one has a file or a folder. */
  inTheWayOf(target: Target): Target | undefined {
    const same = this.#byPath.get(target.path);
    if (same !== undefined) return same;
    for (const other of this.#nested(target.path)) if (meet(target, other)) return other;
    return undefined;
  }

  /** Those with a path above or below another path. */
  *#nested(path: string): Generator<Target> {
    for (const folder of foldersAbove(path)) {
      const target = this.#byPath.get(folder);
      if (target !== undefined) yield target;
    }
    yield* this.#below.get(path) ?? [];
  }
}

/** Whether a file of one is a file of the other, or has to be a folder there; two that only read may share it. */
function meet(one: Target, other: Target): boolean {
  if (one.readonly === true && other.readonly === true) return false;
  const [ones, others] = [pathsOf(one), pathsOf(other)];
  return isAnyIn(ones, others) || isAnyIn(others, ones);
}

/** Whether any of the paths is a file of the others, or lies below one. */
function isAnyIn(paths: ReadonlySet<string>, files: ReadonlySet<string>): boolean {
  for (const path of paths) {
    if (files.has(path)) return true;
    for (const folder of foldersAbove(path)) if (files.has(folder)) return true;
  }
  return false;
}

function pathsOf(target: Target): Set<string> {
  const files = target.files().filter(({ pad }) => !pad);
  return new Set(files.map(({ path }) => fold(join(target.path, ...path.slice(1)))));
}

/** The folders that a path lies in, but the topmost one. */
function* foldersAbove(path: string): Generator<string> {
  for (let end = path.lastIndexOf(sep); end > 0; end = path.lastIndexOf(sep, end - 1)) yield path.slice(0, end);
}

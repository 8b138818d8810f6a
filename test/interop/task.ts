/** What every client is asked to do, whichever it is. Not a test. */
import { mkdir, writeFile } from 'node:fs/promises';
import type { Lab } from './lab.js';

export interface Task {
  readonly lab: Lab;
  /** The bytes of a `.torrent`. */
  readonly torrent: Uint8Array;
  /** The folder that holds the payload when seeding; when leeching, where it is to be put: it is there, and empty. */
  readonly folder: string;
}

/** A client of Debian's. */
export interface ForeignClient {
  readonly name: string;
  /** Resolves when it seeds, which it goes on with, to the address it accepts peers on, if that can be known. */
  seed(task: Task): Promise<string | undefined>;
  /** Resolves when the payload is complete on disk. */
  leech(task: Task): Promise<void>;
  /** It creates no files of length 0. */
  readonly lacksEmptyFiles?: boolean;
}

/** A new empty folder. */
export async function newFolder(lab: Lab, name: string): Promise<string> {
  const path = lab.newPath(name);
  await mkdir(path);
  return path;
}

/** The path of a task's `.torrent`, on disk. */
export async function torrentFile({ lab, torrent }: Task): Promise<string> {
  const path = lab.newPath('it.torrent');
  await writeFile(path, torrent);
  return path;
}

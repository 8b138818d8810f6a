/**
 * The folder in which downloads are remembered and locked: what lies where under which name, and what becomes of that which nobody
 * comes back for. Losing a state costs a later run no verified byte: what is on disk is hashed then, and only blocks of unfinished
 * pieces are fetched again.
 */
import { hash } from 'node:crypto';
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removeIfDead } from './lock.js';

const DAY_MS = 86_400_000;
/** A state that was saved or used last so long ago is removed. */
const KEEP_STATE_MS = 180 * DAY_MS;
/** A socket that is older and answers nobody is that of a process which died. A younger one may be about to. */
const KEEP_LOCK_MS = DAY_MS;
/** Files looked at in each folder per session, other ones each time. */
const LOOKS = 256;
/** Folders of locks looked at per session, of 256. */
const LOCK_FOLDERS = 16;

const STATE = /^[0-9a-f]{40}-[0-9a-f]{16}\.resume(\.new)?$/;
const LOCK_FOLDER = /^[0-9a-f]{2}$/;
const LOCK = /^[0-9a-f]{20}\.[0-9a-f]+(\.new)?$/;

/** What stands for a torrent in a folder. @param folder free of symlinks */
export function stateKey(infohash: Uint8Array, folder: string): string {
  return `${Buffer.from(infohash).toString('hex')}-${hash('sha256', folder, 'hex').slice(0, 16)}`;
}

export function statePath(stateFolder: string, key: string): string {
  return join(resumeFolder(stateFolder), `${key}.resume`);
}

export function lockFolder(stateFolder: string): string {
  return join(stateFolder, 'locks');
}

const resumeFolder = (stateFolder: string): string => join(stateFolder, 'resume');

/**
 * Removes states that are too old, and locks of the dead. Bounded work; never rejects: what cannot be looked at or removed stays.
 * @param now ms since 1970
 * @param random uniform in [0, 1)
 */
export async function prune(stateFolder: string, now: number, random: () => number): Promise<void> {
  const [states, locks] = [resumeFolder(stateFolder), lockFolder(stateFolder)];
  for (const name of await aged(states, STATE, now - KEEP_STATE_MS, random)) {
    // One of a download that runs is made anew with its next save; at worst its next run hashes what is there.
    await rm(join(states, name)).catch(() => {});
  }
  for (const part of await some(locks, LOCK_FOLDER, LOCK_FOLDERS, random)) {
    const folder = join(locks, part);
    for (const name of await aged(folder, LOCK, now - KEEP_LOCK_MS, random)) {
      await removeIfDead(folder, name).catch(() => {});
    }
  }
}

/** Names of files that have not changed since; of a large folder's those of a few that it looks at. */
async function aged(folder: string, pattern: RegExp, since: number, random: () => number): Promise<string[]> {
  const old: string[] = [];
  for (const name of await some(folder, pattern, LOOKS, random)) {
    if (await isOlder(join(folder, name), since)) old.push(name);
  }
  return old;
}

/** So many names in a folder, beginning anywhere. */
async function some(folder: string, pattern: RegExp, most: number, random: () => number): Promise<string[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => pattern.test(name)).sort();
  const from = Math.floor(random() * names.length);
  return [...names.slice(from), ...names.slice(0, from)].slice(0, most);
}

async function isOlder(path: string, since: number): Promise<boolean> {
  return await lstat(path).then(
    (facts) => facts.mtimeMs < since && !facts.isDirectory(),
    () => false,
  );
}

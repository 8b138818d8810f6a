/** The files that a folder or a glob on the command line stands for. What a pattern means is in `protocol/glob.ts`. */
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../errors.js';
import { compilePathGlob } from '../protocol/glob.js';
import { isMissing } from '../storage/torrent-source.js';

const MAGIC = /[*?[\]{}\\]/;

export function isGlob(text: string): boolean {
  return MAGIC.test(text);
}

export function isTorrentName(name: string): boolean {
  return /^[^.].*\.torrent$/is.test(name);
}

/**
 * The `.torrent` files of a folder, sorted; not those of folders in it, and no hidden ones.
 * @throws SpateError LOCAL_IO
 */
export async function torrentsIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await list(folder)) {
    if (isTorrentName(entry.name) && (await kindOf(folder, entry)) === 'file') files.push(join(folder, entry.name));
  }
  return files.sort();
}

/**
 * The files that match, sorted. As in a shell, hidden names are left out unless the pattern names some, and `**` follows no
 * links to folders.
 * @throws SpateError USAGE for a malformed pattern, LOCAL_IO for a folder that cannot be read
 */
export async function filesMatching(pattern: string, signal: AbortSignal): Promise<string[]> {
  const { root, rest } = split(pattern);
  const matches = compilePathGlob(rest);
  const isDeep = /(^|[/{,])\*\*([/},]|$)/.test(rest);
  const depth = isDeep ? Number.POSITIVE_INFINITY : rest.split('/').length;
  const showsHidden = /(^|[/{,])\\?\./.test(rest);
  const files: string[] = [];
  const walk = async (path: readonly string[]): Promise<void> => {
    signal.throwIfAborted();
    const folder = join(root, ...path);
    for (const entry of await list(folder)) {
      if (entry.name.startsWith('.') && !showsHidden) continue;
      const inner = [...path, entry.name];
      if (isDeep && entry.isSymbolicLink() && !matches(inner)) continue;
      const kind = await kindOf(folder, entry);
      if (kind === 'file' && matches(inner)) files.push(join(root, ...inner));
      const follows = kind === 'folder' && inner.length < depth && !(isDeep && entry.isSymbolicLink());
      if (follows) await walk(inner);
    }
  };
  await walk([]);
  return files.sort();
}

/** The folder up to the first element with a wildcard, and the pattern below it. */
function split(pattern: string): { readonly root: string; readonly rest: string } {
  const elements = pattern.split('/');
  const first = elements.findIndex((element) => MAGIC.test(element));
  const root = elements.slice(0, first).join('/');
  return { root: root === '' ? (first > 0 ? '/' : '.') : root, rest: elements.slice(first).join('/') };
}

async function list(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw fileError(`read folder ${folder}`, error);
  }
}

/** A link is what it leads to; one that leads nowhere is nothing. */
async function kindOf(folder: string, entry: Dirent): Promise<'file' | 'folder' | undefined> {
  let facts: Pick<Dirent, 'isFile' | 'isDirectory'> | undefined = entry;
  if (entry.isSymbolicLink()) facts = await stat(join(folder, entry.name)).catch(() => undefined);
  if (facts?.isFile()) return 'file';
  return facts?.isDirectory() ? 'folder' : undefined;
}

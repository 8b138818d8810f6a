/**
 * File names out of a torrent, made safe for any disk: each element on its own, then all paths against one another.
 * Nothing here knows of folders that exist; that no symlink leads out of the root is for the storage to see to.
 */
import { SpateError } from '../errors.js';

/** Longest element in bytes of UTF-8: file systems take 255, and temporary names beside it need some room. */
const MAX_ELEMENT_BYTES = 240;

/** Longest extension kept when a name is cut; what is longer is not taken for one. */
const MAX_EXTENSION_BYTES = 20;

/** Room for ` (n)` in a name that is told from another. */
const NUMBER_BYTES = 12;

/** Controls, separators of lines, and format characters: those of bidi and of zero width are among them; lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Where `:` names a drive or a stream, and `?` or `*` cannot be in a name. Elsewhere they are common in titles. */
const UNSAFE_ON_WINDOWS = /[<>:"|?*]/g;

/** Device names of Windows, in any folder and with any extension. */
const RESERVED = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:\.|$)/i;

/**
 * One element of a path, made safe: `_` for each unsafe character and for a trailing dot or space, `_` before a reserved
 * name, at most 240 bytes of UTF-8 with the extension kept.
 * @param field where the element stands in the torrent, such as `info.files[3].path[1]`
 * @throws SpateError INVALID_TORRENT for an element that is empty, `.` or `..`, or holds `/`, `\` or NUL
 */
export function safeElement(element: string, field: string, windows = process.platform === 'win32'): string {
  if (element === '' || element === '.' || element === '..' || /[/\\\0]/.test(element)) {
    const found = JSON.stringify(cut(element, 80)).replace(UNSAFE, '_');
    throw new SpateError(
      'INVALID_TORRENT',
      `invalid torrent: \`${field}\`: expected the name of one file or folder, found ${found}`,
    );
  }
  let safe = element.replace(UNSAFE, '_');
  if (windows) safe = safe.replace(UNSAFE_ON_WINDOWS, '_');
  if (RESERVED.test(safe)) safe = `_${safe}`;
  const { stem, extension } = split(safe);
  return (cut(stem, MAX_ELEMENT_BYTES - Buffer.byteLength(extension)) + extension).replace(/[. ]$/, '_');
}

/**
 * The same paths, of which no two are one file on a disk that ignores case or Unicode normalisation, and none is a folder
 * of another: the later one, or the file that has a folder's name, gets ` (2)` and so on before its extension. Folders keep
 * their names. Linear in the bytes of all paths, whatever they are.
 * @param paths safe elements each, at least one
 */
export function distinctPaths(paths: readonly (readonly string[])[]): readonly (readonly string[])[] {
  // A key is the number of the folder and the folded name in it, so that a deep path costs no more than its length.
  const folders = new Map<string, number>();
  const parents = paths.map((path) => {
    let folder = 0;
    for (let i = 0; i < path.length - 1; i++) {
      const key = `${folder}/${fold(path[i]!)}`;
      folder = folders.get(key) ?? folders.size + 1;
      folders.set(key, folder);
    }
    return folder;
  });

  const files = new Set<string>();
  const take = (folder: number, name: string): boolean => {
    const key = `${folder}/${fold(name)}`;
    if (folders.has(key) || files.has(key)) return false;
    files.add(key);
    return true;
  };
  // First every name that is free as it is, so that ` (2)` is never taken from a file that is called so.
  const colliding = paths.flatMap((path, i) => (take(parents[i]!, path.at(-1)!) ? [] : [i]));

  const distinct = [...paths];
  // The number last tried for a name: 100,000 equal names try 100,000 numbers, not their square.
  const lastNumber = new Map<string, number>();
  for (const i of colliding) {
    const path = paths[i]!;
    const { stem, extension } = split(path.at(-1)!);
    const short = cut(stem, MAX_ELEMENT_BYTES - NUMBER_BYTES - Buffer.byteLength(extension));
    const key = `${parents[i]}/${fold(short)}/${fold(extension)}`;
    let number = lastNumber.get(key) ?? 1;
    let name: string;
    do name = `${short} (${++number})${extension}`;
    while (!take(parents[i]!, name));
    lastNumber.set(key, number);
    distinct[i] = path.with(-1, name);
  }
  return distinct;
}

/** A name up to its extension, and the extension with its dot; a leading dot starts none. */
function split(name: string): { readonly stem: string; readonly extension: string } {
  const dot = name.lastIndexOf('.');
  const extension = dot > 0 ? name.slice(dot) : '';
  if (Buffer.byteLength(extension) > MAX_EXTENSION_BYTES) return { stem: name, extension: '' };
  return { stem: name.slice(0, name.length - extension.length), extension };
}

const encoder = new TextEncoder();

/** The longest start of a text that is whole code points and at most `maxBytes` of UTF-8. */
function cut(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text;
  return text.slice(0, encoder.encodeInto(text, new Uint8Array(maxBytes)).read);
}

/**
 * Equal for two names that some file system takes for one. JavaScript has no case folding; lower, then upper case of the
 * decomposed form folds at least as much (`ẞ`, `ß` and `ss` are one), and what comes out is decomposed again.
 */
export function fold(name: string): string {
  return name.normalize('NFD').toLowerCase().toUpperCase();
}

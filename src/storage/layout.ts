/**
 * Where the bytes of a torrent lie in its files. Pure: it knows no folder and opens nothing.
 *
 * `offset` is a byte in the torrent, `position` a byte in a file; lengths are bytes. The files of a torrent lie end to end,
 * so zero-length ones share the offset of their successor (BEP 3). Pad files are zeros that are hashed and served but never
 * on disk (BEP 47). A slice of a file table is a file table too: offsets stay those of the torrent.
 */

/** One file of a torrent; plain data that survives structured clone. */
export interface FileEntry {
  /** Checked elements below the root, the file's own name last. */
  readonly path: readonly string[];
  readonly length: number;
  /** Of its first byte. */
  readonly offset: number;
  readonly pad: boolean;
  /**
   * Of its first byte in the file on disk, which is longer than the entry and not its own: the part file, or one of which only
   * the rest lies there (`part-file.ts`).
   */
  readonly position?: number;
  /** Whoever may read it may run it (BEP 47). */
  readonly executable?: boolean;
  /** Where the symlink it is points to, below the root (BEP 47). */
  readonly symlink?: readonly string[];
}

/** The part of one file that a byte range covers; never empty. */
export interface Span {
  /** Index in the file table. */
  readonly file: number;
  readonly position: number;
  readonly length: number;
}

/** A span and the memory that belongs there. */
export interface Chunk extends Span {
  /** Together `length` bytes. */
  readonly views: readonly Uint8Array[];
}

/** The file that holds a byte of the torrent; the offset must lie inside the table. */
export function fileAt(files: readonly FileEntry[], offset: number): number {
  let low = 0;
  let high = files.length - 1;
  // The last file that starts at or before the byte: of those that share an offset only the last has bytes.
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (files[middle]!.offset <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * The files a byte range of the torrent lies in, in order. Zero-length files have no part in any range.
 * @throws RangeError when the range is not inside the table
 */
export function spans(files: readonly FileEntry[], offset: number, length: number): Span[] {
  const first = files[0]?.offset ?? 0;
  const last = files.at(-1);
  const end = last === undefined ? 0 : last.offset + last.length;
  if (!(offset >= first && length >= 0 && offset + length <= end)) {
    throw new RangeError(`${length} bytes at ${offset} are not inside ${first} to ${end}`);
  }
  const found: Span[] = [];
  let at = offset;
  for (let file = fileAt(files, offset); at < offset + length; file++) {
    const entry = files[file]!;
    const part = Math.min(entry.offset + entry.length, offset + length) - at;
    if (part > 0) found.push({ file, position: at - entry.offset + (entry.position ?? 0), length: part });
    at += part;
  }
  return found;
}

/**
 * Adjacent views from `offset` on, cut at file boundaries. The views are cut at once: what happens to their buffers later
 * shows as a chunk whose views are shorter than its length.
 * @throws RangeError when they reach outside of the table
 */
export function chunks(files: readonly FileEntry[], offset: number, views: readonly Uint8Array[]): Chunk[] {
  const parts = spans(files, offset, totalLength(views));
  if (parts.length === 1) return [{ ...parts[0]!, views }];
  let next = 0;
  let used = 0;
  return parts.map((span) => {
    const own: Uint8Array[] = [];
    for (let missing = span.length; missing > 0; ) {
      const view = views[next]!;
      const part = Math.min(missing, view.byteLength - used);
      own.push(view.subarray(used, used + part));
      missing -= part;
      used += part;
      if (used === view.byteLength) {
        next++;
        used = 0;
      }
    }
    return { ...span, views: own };
  });
}

/** Bytes in all views; 0 for those whose buffer was transferred away. */
export function totalLength(views: readonly Uint8Array[]): number {
  let length = 0;
  for (const view of views) length += view.byteLength;
  return length;
}

/** The views without their first `count` bytes. */
export function withoutFirst(views: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  const rest: Uint8Array[] = [];
  for (const view of views) {
    if (skip < view.byteLength) rest.push(skip === 0 ? view : view.subarray(skip));
    skip = Math.max(0, skip - view.byteLength);
  }
  return rest;
}
